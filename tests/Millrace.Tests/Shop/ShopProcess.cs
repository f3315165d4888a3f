using System.Collections.Concurrent;
using System.Diagnostics;
using System.Threading.Channels;

namespace Millrace.Tests.Shop;

/// <summary>The built Shop in a process of its own, in a directory of its own.</summary>
public sealed class ShopProcess : IAsyncDisposable
{
    // Generous, because other tests and builds may share two cores; a healthy start takes half a second.
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(3);

    private readonly Process _process;
    private readonly ConcurrentQueue<string> _errors = new();
    private readonly List<string> _output = [];
    private readonly Channel<string> _lines = Channel.CreateUnbounded<string>();

    private ShopProcess(Process process) => _process = process;

    /// <summary>Where the API listens, once <see cref="OpenAsync"/> returned.</summary>
    public Uri Address { get; private set; } = new("http://localhost");

    /// <summary>What came on standard error so far.</summary>
    public string Errors => string.Join('\n', _errors);

    /// <summary>Starts the Shop; does not wait for anything.</summary>
    public static ShopProcess Start(string directory, params string[] arguments)
    {
        var start = new ProcessStartInfo("dotnet", ["exec", FindShop(), .. arguments])
        {
            WorkingDirectory = directory,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        };
        var process = Process.Start(start) ?? throw new InvalidOperationException("dotnet cannot be started.");
        var shop = new ShopProcess(process);
        process.ErrorDataReceived += (_, line) => shop._errors.Enqueue(line.Data ?? "");
        process.OutputDataReceived += (_, line) => shop.OnOutput(line.Data);
        process.BeginErrorReadLine();
        process.BeginOutputReadLine();
        return shop;
    }

    /// <summary>Starts the Shop for visitors, on a free port, and waits until it is open.</summary>
    public static async Task<ShopProcess> OpenAsync(string directory, params string[] arguments)
    {
        var shop = Start(directory, ["--port", "0", .. arguments]);
        var greeting = await shop.WaitForLineAsync("The shop is open at ");
        shop.Address = new Uri(greeting.Split(' ')[5]);
        return shop;
    }

    /// <summary>Runs the Shop to its end.</summary>
    public static async Task<(int ExitCode, string[] Output, string Errors)> RunAsync(string directory, params string[] arguments)
    {
        await using var shop = Start(directory, arguments);
        var exitCode = await shop.WaitForExitAsync();
        return (exitCode, [.. shop._output], shop.Errors);
    }

    /// <summary>Waits for a line of standard output.</summary>
    public async Task<string> WaitForLineAsync(string start)
    {
        using var deadline = new CancellationTokenSource(Deadline);
        await foreach (var line in _lines.Reader.ReadAllAsync(deadline.Token))
        {
            if (line.StartsWith(start, StringComparison.Ordinal))
                return line;
        }

        throw new InvalidOperationException($"The Shop ended before it printed '{start}':\n{Errors}");
    }

    /// <summary>Kills the process as <c>kill -9</c> does.</summary>
    public async Task KillAsync()
    {
        _process.Kill();
        await _process.WaitForExitAsync();
    }

    /// <summary>Presses Ctrl+C and waits for the end; returns the exit code.</summary>
    public async Task<int> InterruptAsync()
    {
        using var kill = Process.Start("kill", ["-INT", _process.Id.ToString()]);
        await kill.WaitForExitAsync();
        return await WaitForExitAsync();
    }

    public async Task<int> WaitForExitAsync()
    {
        using var deadline = new CancellationTokenSource(Deadline);
        await _process.WaitForExitAsync(deadline.Token);
        return _process.ExitCode;
    }

    public async ValueTask DisposeAsync()
    {
        if (!_process.HasExited)
            await KillAsync();
        _process.Dispose();
    }

    private void OnOutput(string? line)
    {
        if (line is null)
        {
            _lines.Writer.TryComplete();
            return;
        }

        lock (_output)
            _output.Add(line);
        _lines.Writer.TryWrite(line);
    }

    /// <summary>The test project builds the Shop first, beside itself: artifacts/bin/Shop/[configuration].</summary>
    private static string FindShop()
    {
        var ours = new DirectoryInfo(AppContext.BaseDirectory.TrimEnd(Path.DirectorySeparatorChar));
        var path = Path.Combine(ours.Parent!.Parent!.FullName, "Shop", ours.Name, "Shop.dll");
        return File.Exists(path) ? path : throw new FileNotFoundException("The Shop is not built.", path);
    }
}
