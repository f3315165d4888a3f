using System.Diagnostics;
using System.Globalization;

namespace Millrace.Benchmarks;

/// <summary>Our server beside redis-server, over the same loopback with the same clients, both in memory.</summary>
internal static class ServedBenchmark
{
    private const string Stream = "bench";
    private const string Group = "handlers";
    private static readonly string Value = new('x', 100);
    private static readonly byte[] Xadd = RawConnection.Command("XADD", Stream, "*", "f", Value);

    /// <summary>XADD through redis-benchmark with 50 connections, at four depths of its pipeline.</summary>
    public static async Task AppendAsync()
    {
        await using var redis = await ServerProcess.StartRedisAsync();
        await using var millrace = await ServerProcess.StartMillraceAsync();
        Pairs.Head("Served XADD of 100 bytes: redis-benchmark -c 50", "entries/s");
        foreach (var (depth, count, goal) in new[] { (1, 200_000, 0.85), (16, 2_000_000, 1.4), (64, 3_000_000, 2.5), (256, 3_000_000, 4.0) })
            Pairs.Run($"-P {depth}", goal, () => RunRedisBenchmark(redis, depth, count), () => RunRedisBenchmark(millrace, depth, count), warmUps: 2);
        Console.WriteLine();
    }

    /// <summary>One connection reads a group's new entries, 100 at a time, and acknowledges them with the next read.</summary>
    public static async Task GroupReadAsync()
    {
        await using var redis = await ServerProcess.StartRedisAsync();
        await using var millrace = await ServerProcess.StartMillraceAsync();
        Pairs.Head("Served group reads", "entries/s");
        Pairs.Run("XREADGROUP COUNT 100 and XACK, one connection", 3, () => Consume(redis), () => Consume(millrace), warmUps: 2);
        Pairs.Run("XADD, XREADGROUP and XACK at once, 1,000 each", 2.5, () => PassThrough(redis), () => PassThrough(millrace), warmUps: 2);
        Console.WriteLine();
    }

    /// <summary>From sending an XADD until a reader that was blocked in XREADGROUP has the entry; both connections on one thread.</summary>
    public static async Task WakeUpAsync()
    {
        const int Samples = 20_000;
        await using var redis = await ServerProcess.StartRedisAsync();
        await using var millrace = await ServerProcess.StartMillraceAsync();
        Pairs.Head($"Publish to a blocked reader, {Samples:N0} messages of 100 bytes one at a time", "microseconds");
        var (theirs, ours) = (new List<Samples>(), new List<Samples>());
        for (var i = -3; i < Pairs.Count; i++)
        {
            var (their, our) = (MeasureWakeUp(redis, Samples), MeasureWakeUp(millrace, Samples));
            if (i < 0)
                continue;
            theirs.Add(their);
            ours.Add(our);
        }

        foreach (var (fraction, goal) in new[] { (0.5, 1.15), (0.99, 1.3) })
        {
            Pairs.Print(
                $"p{fraction * 100:0}",
                goal,
                [.. theirs.Select(samples => new Measured(samples.Percentile(fraction)))],
                [.. ours.Select(samples => new Measured(samples.Percentile(fraction)))],
                isCeiling: true);
        }

        Console.WriteLine();
    }

    /// <summary>XADD at a depth of 256, which is the best a redis-server does: what a call in process is compared with.</summary>
    internal static Measured RunRedisBenchmark(ServerProcess server, int depth, int count)
    {
        using var connection = new RawConnection(server.Port);
        connection.Do("DEL", Stream);
        var before = server.Busy;
        using var benchmark = Process.Start(new ProcessStartInfo(
            "redis-benchmark",
            ["-p", $"{server.Port}", "-c", "50", "-P", $"{depth}", "-n", $"{count}", "--csv", "XADD", Stream, "*", "f", Value])
        {
            RedirectStandardOutput = true,
            RedirectStandardError = true,
        })!;
        var lines = benchmark.StandardOutput.ReadToEnd().Split('\n', StringSplitOptions.RemoveEmptyEntries);
        benchmark.WaitForExit();
        var perSecond = double.Parse(lines[^1].Split(',')[^7].Trim('"'), CultureInfo.InvariantCulture);
        return new(perSecond, (server.Busy - before).TotalNanoseconds / count);
    }

    /// <summary>Reads and acknowledges everything of a filled stream.</summary>
    /// <param name="server">The server.</param>
    /// <param name="depth">Reads that are sent at once.</param>
    internal static Measured Consume(ServerProcess server, int depth = 1)
    {
        const int Count = 800_000;
        using var connection = new RawConnection(server.Port);
        MakeGroup(connection);
        connection.Append(Xadd, Count);
        var read = RawConnection.Repeat(Read(100), depth);
        var acks = Enumerable.Range(0, depth).Select(_ => new AckCommand(Stream, Group)).ToArray();
        var (before, start, left, acksSent) = (server.Busy, Stopwatch.GetTimestamp(), Count, 0);
        while (left > 0)
        {
            connection.Send(read);
            connection.Skip(acksSent);
            foreach (var ack in acks)
                left -= connection.ReadEntries(ack);
            foreach (var ack in acks)
                connection.Send(ack.Take());
            acksSent = depth;
        }

        connection.Skip(acksSent);
        return new(Count / Stopwatch.GetElapsedTime(start).TotalSeconds, (server.Busy - before).TotalNanoseconds / Count);
    }

    /// <summary>One connection publishes while another reads and acknowledges, each on a thread of its own.</summary>
    private static Measured PassThrough(ServerProcess server)
    {
        const int Count = 800_000;
        using var consumer = new RawConnection(server.Port);
        MakeGroup(consumer);
        var (before, start) = (server.Busy, Stopwatch.GetTimestamp());
        var publisher = new Thread(() =>
        {
            using var connection = new RawConnection(server.Port);
            connection.Append(Xadd, Count);
        });
        publisher.Start();
        var (read, ack) = (Read(1_000, blockMs: 1_000), new AckCommand(Stream, Group));
        for (var (left, acksSent) = (Count, 0); left > 0; acksSent = 1)
        {
            consumer.Send(read);
            consumer.Skip(acksSent);
            left -= consumer.ReadEntries(ack);
            consumer.Send(ack.Take());
        }

        consumer.Skip();
        publisher.Join();
        return new(Count / Stopwatch.GetElapsedTime(start).TotalSeconds, (server.Busy - before).TotalNanoseconds / Count);
    }

    private static Samples MeasureWakeUp(ServerProcess server, int count)
    {
        using var publisher = new RawConnection(server.Port);
        using var consumer = new RawConnection(server.Port);
        MakeGroup(consumer);
        var (read, ack) = (Read(1, blockMs: 0), new AckCommand(Stream, Group));
        var samples = new Samples(count);
        consumer.Send(read);
        publisher.Do("PING");
        for (var i = 0; i < count; i++)
        {
            var start = Stopwatch.GetTimestamp();
            publisher.Send(Xadd);
            consumer.ReadEntries(ack);
            samples.Add(start, Stopwatch.GetTimestamp());
            publisher.Skip();

            // In one write: when the acknowledgement is answered, the read that came with it waits.
            consumer.Send([.. ack.Take(), .. read]);
            consumer.Skip();
        }

        return samples;
    }

    private static void MakeGroup(RawConnection connection)
    {
        connection.Do("DEL", Stream);
        connection.Do("XGROUP", "CREATE", Stream, Group, "0", "MKSTREAM");
    }

    private static byte[] Read(int count, int blockMs = -1)
    {
        string[] block = blockMs < 0 ? [] : ["BLOCK", $"{blockMs}"];
        return RawConnection.Command([.. (string[])["XREADGROUP", "GROUP", Group, "one", "COUNT", $"{count}"], .. block, "STREAMS", Stream, ">"]);
    }
}
