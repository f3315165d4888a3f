using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using Millrace.ChaosWorker;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Chaos;

/// <summary>
/// A place for a worker process with a line of its own to the server: process after process runs there, and all write to one history.
/// </summary>
internal sealed class WorkerProcess(
    string name, int serverPort, string historyPath, int? drainMinutes = null, bool isSlowToDispose = false, bool exitsOnSecondSignal = true) : IAsyncDisposable
{
    /// <summary>Deadlines that fit a lease of a second.</summary>
    public const string ConnectionOptions = "commandTimeout=1000,connectTimeout=1000,connectAttempts=100,maxReconnectDelay=500";

    // Generous, because other tests and builds may share two cores; a healthy start takes half a second.
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    private readonly ConcurrentQueue<string> _errors = new();
    private Process? _process;
    private int _starts;
    private bool _isOurDoing;
    private int _killings;

    public string Name => name;

    public string HistoryPath => historyPath;

    /// <summary>The line to the server.</summary>
    public CuttingProxy Line { get; } = CuttingProxy.Start(serverPort);

    /// <summary>Whoever does something to the process that takes time, or looks whether it has to be started again, has this.</summary>
    public SemaphoreSlim Gate { get; } = new(1);

    public bool IsRunning => _process is { HasExited: false };

    /// <summary>Whether the process ended and nobody had told it to; then what it said.</summary>
    public string? UnexpectedEnd => _process is { HasExited: true } && !_isOurDoing && !HasKilledItself
        ? $"{name} ended with {_process.ExitCode}:\n{string.Join('\n', _errors)}"
        : null;

    /// <summary>Whether a message ended the process.</summary>
    private bool HasKilledItself => CountKillings() > _killings;

    /// <summary>Starts a process again whenever a message has ended it, until told to stop.</summary>
    public async Task KeepAliveAsync(CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            await Gate.WaitAsync(CancellationToken.None);
            try
            {
                if (_process is { HasExited: true } && !_isOurDoing && HasKilledItself)
                    await StartAsync(asBefore: CountKillings() % 2 == 0);
            }
            finally
            {
                Gate.Release();
            }

            await Task.Delay(TimeSpan.FromMilliseconds(100), stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Starts a process and waits until it reads.</summary>
    /// <param name="asBefore">Whether it has the name in its groups that the one before had, and so takes back at once what that one left.</param>
    public async Task StartAsync(bool asBefore)
    {
        if (!asBefore)
            _starts++;
        _isOurDoing = false;
        _killings = CountKillings();
        string[] arguments =
        [
            "exec", FindProgram(),
            $"127.0.0.1:{Line.Port.ToString(CultureInfo.InvariantCulture)},{ConnectionOptions}",
            name,
            $"{name}-{_starts}",
            historyPath,
            .. drainMinutes is { } minutes ? [minutes.ToString(CultureInfo.InvariantCulture)] : Array.Empty<string>(),
            .. isSlowToDispose ? ["dispose"] : exitsOnSecondSignal ? Array.Empty<string>() : ["drain"],
        ];
        var start = new ProcessStartInfo("dotnet", arguments)
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        var process = Process.Start(start)!;
        _process = process;
        process.ErrorDataReceived += (_, line) => _errors.Enqueue(line.Data ?? "");
        process.BeginErrorReadLine();
        if (await ReadLineAsync() != "ready" && !_isOurDoing && !HasKilledItself)
            throw new InvalidOperationException($"{name} did not start:\n{string.Join('\n', _errors)}");
    }

    /// <summary>The next line that it says.</summary>
    public Task<string?> ReadLineAsync() => _process!.StandardOutput.ReadLineAsync().WaitAsync(Deadline);

    public async Task KillAsync()
    {
        if (_process is not { } process)
            return;
        _isOurDoing = true;
        process.Kill();
        await process.WaitForExitAsync();
        process.Dispose();
        _process = null;
    }

    /// <summary>Tells it to stop.</summary>
    public void Signal()
    {
        _isOurDoing = true;
        Signals.Terminate(_process!);
    }

    /// <summary>Tells it to stop and waits until it has.</summary>
    public async Task TerminateAsync()
    {
        if (_process is not { } process)
            return;
        Signal();
        await process.WaitForExitAsync().WaitAsync(Deadline);
        var code = process.ExitCode;
        process.Dispose();
        _process = null;
        if (code != 0 && !HasKilledItself)
            throw new InvalidOperationException($"{name} ended with {code} when it was told to stop:\n{string.Join('\n', _errors)}");
    }

    /// <summary>Waits until it has ended, and tells with what.</summary>
    public async Task<int> WaitForEndAsync(TimeSpan deadline)
    {
        await _process!.WaitForExitAsync().WaitAsync(deadline);
        return _process.ExitCode;
    }

    public void Freeze() => Signals.Stop(_process!);

    public void Thaw() => Signals.Continue(_process!);

    public IReadOnlyList<HistoryEvent> ReadHistory() => File.Exists(historyPath) ? FileHistory.Read(historyPath) : [];

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        await Line.DisposeAsync();
        Gate.Dispose();
    }

    private int CountKillings() => ReadHistory().Count(happened => happened is { What: Happened.Fault, Detail: nameof(ChaosFault.Killer) });

    /// <summary>The test project builds the program first, beside itself.</summary>
    private static string FindProgram() => Path.Combine(AppContext.BaseDirectory, "Millrace.ChaosWorker.dll");
}
