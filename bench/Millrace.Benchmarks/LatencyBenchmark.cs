using System.Diagnostics;
using Millrace.Tests.Fixtures;

namespace Millrace.Benchmarks;

/// <summary>
/// From the call of <c>PublishAsync</c> to the first line of the handler, one message at a time, beside the raw PING round trip to the same
/// redis-server. Everything is measured in turns, so that a noisy moment hits all alike; the figure is the median of the turns.
/// </summary>
internal static class LatencyBenchmark
{
    private const int Turns = 9;
    private const int MessagesPerTurn = 2_000;
    private const int PingsPerTurn = 5_000;

    /// <summary>The mission's bound for publish-to-handler on Redis, in PING round trips.</summary>
    private const double GoalPings = 5;

    public static async Task RunAsync()
    {
        await using var redis = await RedisServer.StartAsync();
        using var ping = new PingConnection(redis.Port);
        using var asyncPing = new PingConnection(redis.Port);
        await using var onRedis = await Probe.StartAsync(handler => BenchHost.StartOnRedisAsync(redis.Endpoint, handler));
        await using var embedded = await Probe.StartAsync(handler => BenchHost.StartEmbeddedAsync(handler));

        // The first turn compiles and tiers up; it is measured and thrown away.
        var turns = new List<Turn>();
        for (var turn = 0; turn <= Turns; turn++)
        {
            var now = new Turn();
            ping.Measure(now.Ping, PingsPerTurn);
            await onRedis.MeasureAsync(now.Redis, MessagesPerTurn);
            await asyncPing.MeasureAsync(now.AsyncPing, PingsPerTurn);
            await embedded.MeasureAsync(now.Embedded, MessagesPerTurn);
            if (turn > 0)
                turns.Add(now);
        }

        Console.WriteLine($"## Latency: publish to handler, one message at a time ({Turns} turns of {MessagesPerTurn} messages and {PingsPerTurn} pings, interleaved)");
        Console.WriteLine();
        Report.Row("microseconds, median of the turns", "p50", "p99", "p50 of each turn");
        Report.Row("---", "---:", "---:", "---");
        Print("raw PING, blocking socket", turns, turn => turn.Ping);
        Print("raw PING, async socket", turns, turn => turn.AsyncPing);
        Print("Redis: PublishAsync to handler", turns, turn => turn.Redis);
        Print("embedded: PublishAsync to handler", turns, turn => turn.Embedded);
        Console.WriteLine();
        var ratio = Report.Median(turns.Select(turn => turn.Redis.Percentile(0.5) / turn.Ping.Percentile(0.5)));
        Console.WriteLine($"Redis publish-to-handler p50 / raw PING p50, median of the turns: **{ratio:N2}** (goal: at most {GoalPings:N0}: {(ratio <= GoalPings ? "met" : "missed")})");
        Console.WriteLine();
    }

    private static void Print(string name, List<Turn> turns, Func<Turn, Samples> samples) => Report.Row(
        name,
        Report.Median(turns.Select(turn => samples(turn).Percentile(0.5))),
        Report.Median(turns.Select(turn => samples(turn).Percentile(0.99))),
        string.Join(" ", turns.Select(turn => samples(turn).Percentile(0.5).ToString("N0"))));

    private sealed class Turn
    {
        public Samples Ping { get; } = new(PingsPerTurn);

        public Samples AsyncPing { get; } = new(PingsPerTurn);

        public Samples Redis { get; } = new(MessagesPerTurn);

        public Samples Embedded { get; } = new(MessagesPerTurn);
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

        public async Task MeasureAsync(Samples samples, int count)
        {
            for (var i = 0; i < count; i++)
            {
                var start = Stopwatch.GetTimestamp();
                await _host.Publisher.PublishAsync(BenchHost.Stream, new BenchMessage(++_number, start, BenchMessage.Filling));
                if (!await _handled.WaitAsync(Deadline))
                    throw new TimeoutException($"Message {_number} did not reach its handler within {Deadline}.");
                samples.Add(start, _handledAt);
            }
        }

        public ValueTask DisposeAsync() => _host.DisposeAsync();
    }
}
