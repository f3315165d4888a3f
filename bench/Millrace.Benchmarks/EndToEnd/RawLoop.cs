using System.Diagnostics;
using System.Text.Json;

namespace Millrace.Benchmarks;

/// <summary>
/// What one redis-server can give for the same messages: one socket appends in pipelines of 1,000, another reads and acknowledges 1,000 at a
/// time, each on a thread of its own. Nothing is serialized, parsed or handled.
/// </summary>
internal static class RawLoop
{
    private const int Batch = 1_000;

    public static Measured Run(ServerProcess server, int messages)
    {
        EndToEndBenchmark.Empty(server);
        using var consumer = new RawConnection(server.Port);
        consumer.Do("XGROUP", "CREATE", BenchHost.Stream, BenchHost.Group, "0", "MKSTREAM");
        var json = JsonSerializer.Serialize(new BenchMessage(0, 0, BenchMessage.Filling), JsonSerializerOptions.Web);
        var xadd = RawConnection.Command("XADD", BenchHost.Stream, "*", "data", json);
        var read = RawConnection.Command(
            "XREADGROUP", "GROUP", BenchHost.Group, "one", "COUNT", $"{Batch}", "BLOCK", "1000", "STREAMS", BenchHost.Stream, ">");
        var (before, start) = (server.Busy, Stopwatch.GetTimestamp());
        var publisher = new Thread(() =>
        {
            using var connection = new RawConnection(server.Port);
            connection.Append(xadd, messages);
        });
        publisher.Start();
        var ack = new AckCommand(BenchHost.Stream, BenchHost.Group);
        for (var (left, acksSent) = (messages, 0); left > 0; acksSent = 1)
        {
            consumer.Send(read);
            consumer.Skip(acksSent);
            left -= consumer.ReadEntries(ack);
            consumer.Send(ack.Take());
        }

        consumer.Skip();
        publisher.Join();
        return new(messages / Stopwatch.GetElapsedTime(start).TotalSeconds, (server.Busy - before).TotalNanoseconds / messages);
    }
}
