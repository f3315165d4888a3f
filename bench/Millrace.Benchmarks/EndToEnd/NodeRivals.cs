using System.Diagnostics;
using System.Globalization;

namespace Millrace.Benchmarks;

/// <summary>
/// The scripts of <c>bench/rivals</c> in a Node process that stays, so that its code is warm like ours. Packages are restored by npm under artifacts.
/// </summary>
internal sealed class NodeRivals : IAsyncDisposable
{
    private readonly Process _node;
    private readonly ServerProcess _redis;

    private NodeRivals(Process node, ServerProcess redis) => (_node, _redis) = (node, redis);

    /// <param name="redis">The server they use, which each measurement empties first.</param>
    public static async Task<NodeRivals> StartAsync(ServerProcess redis)
    {
        // This program is at artifacts/bin/project/configuration.
        var artifacts = new DirectoryInfo(AppContext.BaseDirectory).Parent!.Parent!.Parent!;
        var source = Path.Combine(artifacts.Parent!.FullName, "bench", "rivals");
        var directory = artifacts.CreateSubdirectory("bench-rivals").FullName;
        foreach (var file in Directory.GetFiles(source))
            File.Copy(file, Path.Combine(directory, Path.GetFileName(file)), overwrite: true);
        var install = new ProcessStartInfo("npm", ["install", "--no-audit", "--no-fund", "--loglevel=error"]) { WorkingDirectory = directory };
        using (var npm = Process.Start(install)!)
        {
            await npm.WaitForExitAsync();
            if (npm.ExitCode != 0)
                throw new InvalidOperationException($"npm install ended with {npm.ExitCode}.");
        }

        var start = new ProcessStartInfo("node", ["rivals.mjs", $"{redis.Port}"])
        {
            WorkingDirectory = directory,
            RedirectStandardInput = true,
            RedirectStandardOutput = true,
        };
        return new(Process.Start(start)!, redis);
    }

    /// <summary>Messages a second, and the server's processor time for each.</summary>
    public Measured Run(string rival, int messages)
    {
        EndToEndBenchmark.Empty(_redis);
        var (before, busy) = (_redis.Busy, NodeBusy);
        _node.StandardInput.WriteLine($"{rival} {messages}");
        var answer = _node.StandardOutput.ReadLine() ?? throw new InvalidOperationException($"The rival {rival} gave up; see above.");
        var perSecond = messages / double.Parse(answer, CultureInfo.InvariantCulture) * 1_000;
        Report.Note($"{rival}: {perSecond:N0} messages/s, {(NodeBusy - busy).TotalNanoseconds / messages:N0} ns of Node's processor time each");
        return new(perSecond, (_redis.Busy - before).TotalNanoseconds / messages);
    }

    private TimeSpan NodeBusy
    {
        get
        {
            _node.Refresh();
            return _node.TotalProcessorTime;
        }
    }

    public async ValueTask DisposeAsync()
    {
        _node.StandardInput.Close();
        await _node.WaitForExitAsync();
        _node.Dispose();
    }
}
