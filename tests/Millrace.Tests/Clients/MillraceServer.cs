using System.Collections.Concurrent;
using System.Diagnostics;
using System.Globalization;
using System.Net;

namespace Millrace.Tests.Clients;

/// <summary>The built <c>millrace serve</c> in a process of its own, on a free port of 127.0.0.1.</summary>
public sealed class MillraceServer : IAsyncDisposable
{
    // Generous, because other tests and builds may share two cores; a healthy start takes half a second.
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    private readonly string[] _arguments;
    private readonly ConcurrentQueue<string> _output = new();
    private Process? _process;

    /// <summary>A server that is not started yet, with these arguments besides the port.</summary>
    public MillraceServer(params string[] arguments) => _arguments = arguments;

    /// <summary>Words in front of the command, for a program that becomes it, such as <c>prlimit</c> and its options.</summary>
    public string[] Wrapper { get; init; } = [];

    /// <summary>Variables of the process's environment besides our own.</summary>
    public Dictionary<string, string?> Variables { get; init; } = [];

    /// <summary>Where it listens; the same after a restart.</summary>
    public IPEndPoint Endpoint { get; private set; } = new(IPAddress.Loopback, 0);

    /// <summary>Everything it printed.</summary>
    public string Output => string.Join('\n', _output);

    /// <summary>Whether the process still runs.</summary>
    public bool IsRunning => _process is { HasExited: false };

    /// <summary>The process last started.</summary>
    public Process Process => _process!;

    /// <summary>Memory of the process that is in RAM, in bytes, as the system counts it.</summary>
    public long ResidentBytes
    {
        get
        {
            _process!.Refresh();
            return _process.WorkingSet64;
        }
    }

    /// <summary>Starts a server with these arguments besides the port, and waits until it listens.</summary>
    public static async Task<MillraceServer> StartAsync(params string[] arguments)
    {
        var server = new MillraceServer(arguments);
        try
        {
            await server.StartAgainAsync();
            return server;
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>Starts it, or starts it again after <see cref="KillAsync"/> or <see cref="StopAsync"/>, on the same port.</summary>
    public async Task StartAgainAsync()
    {
        Endpoint = await Launch().WaitAsync(Deadline) is { } text
            ? IPEndPoint.Parse(text)
            : throw new InvalidOperationException($"millrace serve ended before it listened:\n{Output}");
    }

    /// <summary>Starts the process and waits for nothing.</summary>
    /// <returns>The address it listens on, once it does; null when it ends before.</returns>
    public Task<string?> Launch()
    {
        string[] command =
        [
            .. Wrapper, "dotnet", "exec", FindTool(), "serve", "--port", Endpoint.Port.ToString(CultureInfo.InvariantCulture), .. _arguments,
        ];
        var start = new ProcessStartInfo(command[0], command[1..])
        {
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        foreach (var (name, value) in Variables)
            start.Environment[name] = value;
        var process = Process.Start(start) ?? throw new InvalidOperationException($"{command[0]} cannot be started.");
        _process = process;
        var address = new TaskCompletionSource<string?>(TaskCreationOptions.RunContinuationsAsynchronously);
        process.ErrorDataReceived += (_, line) => _output.Enqueue(line.Data ?? "");
        process.OutputDataReceived += (_, line) =>
        {
            _output.Enqueue(line.Data ?? "");
            if (line.Data is null)
                address.TrySetResult(null);
            else if (line.Data.StartsWith("Listening on ", StringComparison.Ordinal))
                address.TrySetResult(line.Data.Split(' ')[2]);
        };
        process.BeginErrorReadLine();
        process.BeginOutputReadLine();
        return address.Task;
    }

    /// <summary>Kills the process as <c>kill -9</c> does.</summary>
    public async Task KillAsync()
    {
        if (_process is not { HasExited: false } process)
            return;
        process.Kill();
        await process.WaitForExitAsync();
    }

    /// <summary>Sends SIGTERM and waits for the end; returns the exit code.</summary>
    public async Task<int> StopAsync()
    {
        using var kill = Process.Start("kill", ["-TERM", _process!.Id.ToString(CultureInfo.InvariantCulture)]);
        await kill.WaitForExitAsync();
        return await WaitForExitAsync();
    }

    /// <summary>Waits for the end, which something else has brought about; returns the exit code.</summary>
    public async Task<int> WaitForExitAsync()
    {
        using var deadline = new CancellationTokenSource(Deadline);
        await _process!.WaitForExitAsync(deadline.Token);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        await KillAsync();
        _process?.Dispose();
    }

    /// <summary>The test project builds the tool first, beside itself: artifacts/bin/Millrace.Cli/[configuration].</summary>
    public static string FindTool()
    {
        var ours = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));
        var path = Path.Combine(ours.Parent!.Parent!.FullName, "Millrace.Cli", ours.Name, "millrace.dll");
        return File.Exists(path) ? path : throw new FileNotFoundException("The tool is not built.", path);
    }
}
