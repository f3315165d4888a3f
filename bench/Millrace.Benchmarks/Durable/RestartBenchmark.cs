using System.Diagnostics;
using System.Globalization;
using System.Net.Sockets;
using Millrace.Embedded;

namespace Millrace.Benchmarks;

/// <summary>How long a killed server takes until it answers again with everything, and what memory that takes.</summary>
/// <remarks>
/// Each server is filled once over a socket and killed; what it left is copied for each measurement, and the copies are written to the disk
/// before the clock starts, so that neither side is read from a cold disk. Redis's file is the plain one it wrote: rewriting is off.
/// </remarks>
internal static class RestartBenchmark
{
    private const int Pipeline = 1_000;

    /// <summary>For the largest file that Redis wrote; the smaller ones show how the time grows.</summary>
    private const double Goal = 1 / 5.0;

    private const int MostEntries = 10_000_000;
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(5);

    public static async Task RunAsync()
    {
        Pairs.Head("From the start of the process until DBSIZE is answered, entries of 100 bytes", "seconds");
        foreach (var (entries, streams) in new[] { (1_000_000, 1), (3_000_000, 1), (MostEntries, 1), (MostEntries, 100) })
            await MeasureAsync($"{entries:N0} entries in {streams} streams", entries, streams, isRewritten: false);
        await MeasureAsync("10,000,000 entries in 1 streams, after BGREWRITEAOF", MostEntries, 1, isRewritten: true);
        Console.WriteLine();
    }

    /// <summary>Memory of a process that recovers 10,000,000 entries: at its peak, when recovery is done, and after a forced collection.</summary>
    public static async Task MemoryAsync()
    {
        Console.WriteLine("## Memory of a process that opens a store of 10,000,000 entries of 100 bytes");
        Console.WriteLine();
        Report.Row("MB", "peak", "when open", "after a forced collection", "managed heap then", "peak / after", "goal", "");
        Report.Row("---", "---:", "---:", "---:", "---:", "---:", "---", "---");
        foreach (var streams in new[] { 1, 100 })
        {
            using var filled = await FillAsync(isRedis: false, MostEntries, streams, isRewritten: false);
            for (var i = 0; i < 3; i++)
            {
                using var copy = filled.Copy();
                using var child = Process.Start(new ProcessStartInfo(Environment.ProcessPath!, ["open", copy.Path]) { RedirectStandardOutput = true })!;
                var line = (await child.StandardOutput.ReadToEndAsync()).TrimEnd();
                var figures = line.Split(' ').Select(static text => double.Parse(text, CultureInfo.InvariantCulture)).ToArray();
                var ratio = figures[0] / figures[2];
                Report.Row(
                    $"{streams} streams", figures[0], figures[1], figures[2], figures[3], ratio.ToString("0.00", CultureInfo.InvariantCulture),
                    "at most 1.20", ratio <= 1.2 ? "met" : "**missed**");
            }
        }

        Console.WriteLine();
    }

    /// <summary>The process of <see cref="MemoryAsync"/>: opens a store and prints megabytes.</summary>
    public static async Task OpenAsync(string directory)
    {
        await using var store = new EmbeddedStreamStore(new() { Directory = directory });
        await store.OpenAsync();
        var (peak, open) = (StatusMegabytes("VmHWM"), StatusMegabytes("VmRSS"));
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Aggressive, blocking: true, compacting: true);
        var heap = GC.GetTotalMemory(forceFullCollection: true) / 1e6;
        Console.WriteLine(string.Create(CultureInfo.InvariantCulture, $"{peak} {open} {StatusMegabytes("VmRSS")} {heap}"));
    }

    private static async Task MeasureAsync(string row, int entries, int streams, bool isRewritten)
    {
        using var redis = await FillAsync(isRedis: true, entries, streams, isRewritten);
        using var millrace = await FillAsync(isRedis: false, entries, streams, isRewritten);
        Pairs.Run(
            $"{row}; on disk {redis.SizeBytes / 1e6:N0} and {millrace.SizeBytes / 1e6:N0} MB",
            entries == MostEntries && !isRewritten ? Goal : null,
            () => Restart(redis, isRedis: true, streams), () => Restart(millrace, isRedis: false, streams), isCeiling: true);
    }

    /// <summary>What a killed server leaves.</summary>
    private static async Task<DiskDirectory> FillAsync(bool isRedis, int entries, int streams, bool isRewritten)
    {
        var directory = new DiskDirectory();
        var (process, port) = Start(isRedis, directory);
        using (process)
        {
            using var connection = await WhenAnswersAsync(port, streams: 0);
            var value = new string('x', 100);
            var pipeline = Enumerable.Range(0, Pipeline).SelectMany(i => RawConnection.Command("XADD", $"bench:{i % streams}", "*", "f", value)).ToArray();
            for (var i = 0; i < entries; i += Pipeline)
            {
                connection.Send(pipeline);
                connection.Skip(Pipeline);
            }

            if (isRewritten)
                await RewriteAsync(connection);
            process.Kill();
            await process.WaitForExitAsync();
        }

        return directory;
    }

    private static async Task RewriteAsync(RawConnection connection)
    {
        connection.Do("BGREWRITEAOF");
        while (!connection.Ask("INFO", "persistence").Contains("aof_rewrite_in_progress:0", StringComparison.Ordinal))
            await Task.Delay(TimeSpan.FromMilliseconds(100));
    }

    private static Measured Restart(DiskDirectory filled, bool isRedis, int streams)
    {
        using var copy = filled.Copy();
        using (var sync = Process.Start("sync"))
            sync.WaitForExit();
        var start = Stopwatch.GetTimestamp();
        var (process, port) = Start(isRedis, copy);
        using (process)
        {
            WhenAnswersAsync(port, streams).GetAwaiter().GetResult().Dispose();
            var (seconds, busy) = (Stopwatch.GetElapsedTime(start).TotalSeconds, process.TotalProcessorTime);
            process.Kill();
            process.WaitForExit();
            return new(seconds, busy.TotalNanoseconds);
        }
    }

    private static (Process Process, int Port) Start(bool isRedis, DiskDirectory directory)
    {
        // Another process may take the port meanwhile; then the benchmark fails and is run again.
        using var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp);
        socket.Bind(new System.Net.IPEndPoint(System.Net.IPAddress.Loopback, 0));
        var port = ((System.Net.IPEndPoint)socket.LocalEndPoint!).Port;
        socket.Close();
        string[] redis = ["--dir", directory.Path, "--port", $"{port}", "--save", "", "--appendonly", "yes", "--auto-aof-rewrite-percentage", "0"];
        string[] millrace = [ServerProcess.Tool, "serve", "--data", directory.Path, "--port", $"{port}"];
        var start = new ProcessStartInfo(isRedis ? "redis-server" : "dotnet", isRedis ? redis : millrace) { RedirectStandardOutput = true };
        var process = Process.Start(start)!;
        process.OutputDataReceived += static (_, _) => { };
        process.BeginOutputReadLine();
        return (process, port);
    }

    /// <summary>Asks until the number of streams is answered: before, nobody listens, or Redis says that it is loading.</summary>
    private static async Task<RawConnection> WhenAnswersAsync(int port, int streams)
    {
        for (var start = Stopwatch.GetTimestamp(); ; await Task.Delay(TimeSpan.FromMilliseconds(2)))
        {
            RawConnection? connection = null;
            try
            {
                connection = new(port);
                if (connection.AskNumber("DBSIZE") == streams)
                    return connection;
                throw new InvalidOperationException("There are too few streams.");
            }
            catch (Exception e) when (e is SocketException or InvalidOperationException && Stopwatch.GetElapsedTime(start) < Patience)
            {
                connection?.Dispose();
            }
        }
    }

    private static double StatusMegabytes(string name)
    {
        var line = File.ReadLines("/proc/self/status").First(line => line.StartsWith(name, StringComparison.Ordinal));
        return double.Parse(line.Split(':')[1].Replace("kB", "", StringComparison.Ordinal), CultureInfo.InvariantCulture) / 1e3;
    }
}
