using System.Diagnostics;
using System.Globalization;
using Millrace.Tests.Fixtures;

namespace Millrace.Benchmarks;

/// <summary>A server in a process of its own: redis-server, or <c>millrace serve</c> as it is built.</summary>
internal sealed class ServerProcess : IAsyncDisposable
{
    private readonly IAsyncDisposable _owner;
    private readonly Process _process;

    private ServerProcess(string name, int port, IAsyncDisposable owner)
    {
        (Name, Port, _owner) = (name, port, owner);
        using var connection = new RawConnection(port);
        var id = connection.Ask("INFO", "server").Split('\n').First(line => line.StartsWith("process_id:", StringComparison.Ordinal)).Split(':')[1];
        _process = Process.GetProcessById(int.Parse(id, CultureInfo.InvariantCulture));
    }

    public string Name { get; }

    public int Port { get; }

    /// <summary>Processor time it has used.</summary>
    public TimeSpan Busy
    {
        get
        {
            _process.Refresh();
            return _process.TotalProcessorTime;
        }
    }

    /// <summary>In memory only, unless the arguments say otherwise.</summary>
    public static async Task<ServerProcess> StartRedisAsync(params string[] arguments)
    {
        var redis = await RedisServer.StartAsync(arguments);
        return new("redis-server", redis.Port, redis);
    }

    /// <summary>In memory only.</summary>
    public static Task<ServerProcess> StartMillraceAsync() => StartMillraceAsync("--memory");

    public static async Task<ServerProcess> StartMillraceAsync(params string[] arguments)
    {
        var started = await MillraceProcess.StartAsync(arguments);
        return new("millrace", started.Port, started);
    }

    /// <summary>The tool, beside this program's own output: artifacts/bin/project/configuration.</summary>
    public static string Tool
    {
        get
        {
            var directory = new DirectoryInfo(AppContext.BaseDirectory);
            return Path.Combine(directory.Parent!.Parent!.FullName, "Millrace.Cli", directory.Name, "millrace.dll");
        }
    }

    public ValueTask DisposeAsync()
    {
        _process.Dispose();
        return _owner.DisposeAsync();
    }

    private sealed class MillraceProcess(Process process, int port) : IAsyncDisposable
    {
        public int Port { get; } = port;

        public static async Task<MillraceProcess> StartAsync(string[] arguments)
        {
            var process = Process.Start(new ProcessStartInfo("dotnet", [Tool, "serve", "--port", "0", .. arguments]) { RedirectStandardOutput = true })!;
            var line = await process.StandardOutput.ReadLineAsync() ?? throw new InvalidOperationException("millrace serve did not start.");
            return new(process, int.Parse(line.Split(':')[^1], CultureInfo.InvariantCulture));
        }

        public async ValueTask DisposeAsync()
        {
            process.Kill();
            await process.WaitForExitAsync();
            process.Dispose();
        }
    }
}
