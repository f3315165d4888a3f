using System.Globalization;
using System.Runtime.InteropServices;
using Millrace.Embedded;
using Millrace.Server;

namespace Millrace.Benchmarks;

/// <summary>
/// Bytes that an entry and a pending entry take. Redis tells its own; ours runs in this process, filled over a socket like Redis: the heap after a
/// forced collection, and what the process has grown beside the heap. Medians of interleaved pairs.
/// </summary>
internal static partial class MemoryBenchmark
{
    private const int Entries = 1_000_000;
    private const int ReadBatch = 1_000;
    private const int PairCount = 5;
    private const string Stream = "bench";
    private const string Group = "handlers";

    public static async Task RunAsync()
    {
        Console.WriteLine(
            $"## Memory: {Entries:N0} entries of one field, filled over a socket, then all read by one consumer ({PairCount} interleaved pairs, medians)");
        Console.WriteLine();
        Report.Row("bytes for each", "redis-server", "millrace", "ratio", "goal", "", "ratios of the pairs");
        Report.Row("---", "---:", "---:", "---:", "---:", "---", "---");
        foreach (var (size, goal) in new[] { (100, 0.97), (1_024, 0.87) })
        {
            var (entries, pending) = (new List<(double, double)>(), new List<(double, double)>());
            for (var i = 0; i < PairCount; i++)
            {
                var theirs = await MeasureRedisAsync(size);
                var ours = await MeasureMillraceAsync(size);
                entries.Add((theirs.Entry, ours.Entry));
                pending.Add((theirs.Pending, ours.Pending));
            }

            Print($"entry of {size} bytes", entries, goal);
            Print($"pending entry, of {size} bytes", pending, 0.25);
        }

        Console.WriteLine();
    }

    private static void Print(string row, List<(double Theirs, double Ours)> pairs, double goal)
    {
        var ratios = pairs.Select(pair => pair.Ours / pair.Theirs).ToArray();
        var ratio = Report.Median(ratios);
        Report.Row(
            row,
            Report.Median(pairs.Select(pair => pair.Theirs)),
            Report.Median(pairs.Select(pair => pair.Ours)),
            Text(ratio),
            $"at most {goal.ToString(CultureInfo.InvariantCulture)}",
            ratio <= goal ? "met" : "**missed**",
            string.Join(" ", ratios.Select(Text)));
    }

    private static string Text(double ratio) => ratio.ToString("0.000", CultureInfo.InvariantCulture);

    private static async Task<(double Entry, double Pending)> MeasureRedisAsync(int size)
    {
        await using var redis = await ServerProcess.StartRedisAsync();
        return Fill(redis.Port, size, UsedMemory);
    }

    /// <summary>What a Redis says it uses.</summary>
    public static long UsedMemory(RawConnection connection) => long.Parse(
        connection.Ask("INFO", "memory").Split('\n').First(line => line.StartsWith("used_memory:", StringComparison.Ordinal)).Split(':')[1],
        CultureInfo.InvariantCulture);

    private static async Task<(double Entry, double Pending)> MeasureMillraceAsync(int size)
    {
        await using var store = new EmbeddedStreamStore(new());
        await using var server = new RespServer(store, new() { Port = 0 });
        await server.StartAsync();
        return Fill(server.Endpoint.Port, size, static _ => GC.GetTotalMemory(forceFullCollection: true) + NativeBytes());
    }

    /// <summary>What the C library has given out and not got back.</summary>
    private static long NativeBytes()
    {
        var info = GetMallocInfo();
        return (long)(info.Used + info.Mapped);
    }

    private static (double Entry, double Pending) Fill(int port, int size, Func<RawConnection, long> measure)
    {
        using var connection = new RawConnection(port);

        // What a first command of each kind allocates for good is not an entry's.
        Fill(connection, "warm-up", size, 10_000);
        Read(connection, "warm-up", 10_000);
        connection.Do("XGROUP", "CREATE", Stream, Group, "0", "MKSTREAM");
        var before = measure(connection);
        Fill(connection, Stream, size, Entries);
        var filled = measure(connection);
        Read(connection, Stream, Entries);
        var read = measure(connection);
        return ((double)(filled - before) / Entries, (double)(read - filled) / Entries);
    }

    private static void Fill(RawConnection connection, string stream, int size, int count)
    {
        if (stream != Stream)
            connection.Do("XGROUP", "CREATE", stream, Group, "0", "MKSTREAM");
        connection.Append(RawConnection.Command("XADD", stream, "*", "f", new('x', size)), count);
    }

    private static void Read(RawConnection connection, string stream, int count)
    {
        var read = RawConnection.Command("XREADGROUP", "GROUP", Group, "one", "COUNT", $"{ReadBatch}", "STREAMS", stream, ">");
        for (var i = 0; i < count; i += ReadBatch)
        {
            connection.Send(read);
            connection.Skip();
        }
    }

    [LibraryImport("libc", EntryPoint = "mallinfo2")]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    private static partial MallocInfo GetMallocInfo();

    /// <summary>glibc's <c>struct mallinfo2</c>.</summary>
    [StructLayout(LayoutKind.Sequential)]
    private readonly struct MallocInfo
    {
        private readonly nuint _arena, _freeChunks, _fastChunks, _mappedRegions;
        public readonly nuint Mapped;
        private readonly nuint _highWater, _fastFree;
        public readonly nuint Used;
        private readonly nuint _free, _releasable;
    }
}
