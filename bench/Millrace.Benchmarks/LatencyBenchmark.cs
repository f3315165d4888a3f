using System.Diagnostics;
using Millrace.Tests.Fixtures;

namespace Millrace.Benchmarks;

/// <summary>
/// From the call of <c>PublishAsync</c> to the first line of the handler, one message at a time, beside the raw PING round trip to the same
/// redis-server. Everything is measured in turns, so that a noisy moment hits all alike; the figure is the median of the turns.
/// </summary>
/// <remarks>
/// Twice: with a pause, in which the consumer settles the last message and waits for the next one, as a consumer with little to do; and back
/// to back, where the next message competes with the acknowledgement of the last one and the read after it. The pause is spun, for pings
/// alike, so that neither side pays for a processor that went to sleep.
/// </remarks>
internal static class LatencyBenchmark
{
    private const int Turns = 9;

    /// <summary>Turns that are measured and thrown away: the code is compiled, and compiled again for speed, in the first seconds.</summary>
    private const int WarmUpTurns = 4;

    private const int SamplesPerTurn = 2_000;
    private static readonly TimeSpan Pause = TimeSpan.FromMicroseconds(300);

    /// <summary>The mission's bound for publish-to-handler on Redis, in PING round trips.</summary>
    private const double GoalPings = 5;

    public static async Task RunAsync()
    {
        await using var redis = await RedisServer.StartAsync();
        using var ping = new PingConnection(redis.Port);
        using var asyncPing = new PingConnection(redis.Port);
        await using var onRedis = await Probe.StartAsync(handler => BenchHost.StartOnRedisAsync(redis.Endpoint, handler));
        await using var embedded = await Probe.StartAsync(handler => BenchHost.StartEmbeddedAsync(handler));

        foreach (var pause in new[] { Pause, TimeSpan.Zero })
        {
            var turns = new List<Turn>();
            for (var i = -WarmUpTurns; i < Turns; i++)
            {
                var turn = new Turn();
                ping.Measure(turn.Ping, SamplesPerTurn, pause);
                await onRedis.MeasureAsync(turn.Redis, SamplesPerTurn, pause);
                await asyncPing.MeasureAsync(turn.AsyncPing, SamplesPerTurn, pause);
                await embedded.MeasureAsync(turn.Embedded, SamplesPerTurn, pause);
                if (i >= 0)
                    turns.Add(turn);
            }

            Print(pause, turns);
        }
    }

    private static void Print(TimeSpan pause, List<Turn> turns)
    {
        var spacing = pause == TimeSpan.Zero ? "back to back" : $"{pause.TotalMicroseconds:N0} microseconds apart";
        Console.WriteLine($"## Latency: publish to handler, one message at a time, {spacing} ({Turns} turns of {SamplesPerTurn} each, interleaved)");
        Console.WriteLine();
        Report.Row("microseconds, median of the turns", "p50", "p99", "p50 of each turn");
        Report.Row("---", "---:", "---:", "---");
        Print("raw PING, blocking socket", turns, turn => turn.Ping);
        Print("raw PING, async socket", turns, turn => turn.AsyncPing);
        Print("Redis: PublishAsync to handler", turns, turn => turn.Redis);
        Print("embedded: PublishAsync to handler", turns, turn => turn.Embedded);
        Console.WriteLine();
        var ratio = Report.Median(turns.Select(turn => turn.Redis.Percentile(0.5) / turn.Ping.Percentile(0.5)));
        var asyncRatio = Report.Median(turns.Select(turn => turn.Redis.Percentile(0.5) / turn.AsyncPing.Percentile(0.5)));

        // Back to back, a message also waits for the acknowledgement of the one before and for the next read to reach the server, and a blocking
        // PING for nothing at all once the scheduler has put both its ends on one core: a figure to watch, not the latency that is promised.
        var verdict = pause == TimeSpan.Zero ? "" : $" (goal: at most {GoalPings:N0}: {(ratio <= GoalPings ? "met" : "missed")})";
        Console.WriteLine(
            $"Redis publish-to-handler p50 / raw PING p50, median of the turns: **{ratio:N2}** with a blocking socket{verdict}, " +
            $"{asyncRatio:N2} with an async one");
        Console.WriteLine();
    }

    private static void Print(string name, List<Turn> turns, Func<Turn, Samples> samples) => Report.Row(
        name,
        Report.Median(turns.Select(turn => samples(turn).Percentile(0.5))),
        Report.Median(turns.Select(turn => samples(turn).Percentile(0.99))),
        string.Join(" ", turns.Select(turn => samples(turn).Percentile(0.5).ToString("N0"))));

    private sealed class Turn
    {
        public Samples Ping { get; } = new(SamplesPerTurn);

        public Samples AsyncPing { get; } = new(SamplesPerTurn);

        public Samples Redis { get; } = new(SamplesPerTurn);

        public Samples Embedded { get; } = new(SamplesPerTurn);
    }

    /// <summary>A host whose handler says when it was entered.</summary>
    private sealed class Probe : IAsyncDisposable
    {
        private static readonly TimeSpan Deadline = TimeSpan.FromSeconds(10);

        private readonly SemaphoreSlim _handled = new(0);
        private BenchHost _host = null!;
        private long _handledAt;
        private long _number;

        public static async Task<Probe> StartAsync(Func<Func<BenchMessage, CancellationToken, Task>, Task<BenchHost>> start)
        {
            var probe = new Probe();
            probe._host = await start((_, _) =>
            {
                probe._handledAt = Stopwatch.GetTimestamp();
                probe._handled.Release();
                return Task.CompletedTask;
            });
            return probe;
        }

        public async Task MeasureAsync(Samples samples, int count, TimeSpan pause)
        {
            for (var i = 0; i < count; i++)
            {
                var start = Stopwatch.GetTimestamp();
                await _host.Publisher.PublishAsync(BenchHost.Stream, new BenchMessage(++_number, start, BenchMessage.Filling));
                if (!await _handled.WaitAsync(Deadline))
                    throw new TimeoutException($"Message {_number} did not reach its handler within {Deadline}.");
                samples.Add(start, _handledAt);
                Samples.Spin(pause);
            }
        }

        public ValueTask DisposeAsync() => _host.DisposeAsync();
    }
}
