using System.Diagnostics;
using System.Globalization;
using Millrace.Tests.Fixtures;

namespace Millrace.Benchmarks;

/// <summary>A server in a process of its own, in memory only: redis-server, or <c>millrace serve</c> as it is built.</summary>
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

    public static async Task<ServerProcess> StartRedisAsync()
    {
        var redis = await RedisServer.StartAsync();
        return new("redis-server", redis.Port, redis);
    }

    public static async Task<ServerProcess> StartMillraceAsync()
    {
        var started = await MillraceProcess.StartAsync();
        return new("millrace", started.Port, started);
    }

    public ValueTask DisposeAsync()
    {
        _process.Dispose();
        return _owner.DisposeAsync();
    }

    private sealed class MillraceProcess(Process process, int port) : IAsyncDisposable
    {
        public int Port { get; } = port;

        public static async Task<MillraceProcess> StartAsync()
        {
            // Beside this program's own output: artifacts/bin/<project>/<configuration>.
            var directory = new DirectoryInfo(AppContext.BaseDirectory);
            var tool = Path.Combine(directory.Parent!.Parent!.FullName, "Millrace.Cli", directory.Name, "millrace.dll");
            var process = Process.Start(new ProcessStartInfo("dotnet", [tool, "serve", "--port", "0", "--memory"]) { RedirectStandardOutput = true })!;
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
