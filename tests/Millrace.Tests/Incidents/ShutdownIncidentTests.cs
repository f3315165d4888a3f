using System.Collections.Concurrent;
using System.Diagnostics;
using Millrace.ChaosWorker;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Chaos;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Hosting;

namespace Millrace.Tests.Incidents;

/// <summary>Deployments that lost messages, or let them wait until a lease was over.</summary>
public abstract class ShutdownIncidentTests(SharedRedis? redis, ITestOutputHelper output) : IncidentTests(redis)
{
    public sealed class OnEmbedded(ITestOutputHelper output) : ShutdownIncidentTests(null, output);

    public sealed class OnRedis(SharedRedis redis, ITestOutputHelper output) : ShutdownIncidentTests(redis, output)
    {
        /// <summary>
        /// Whoever pressed Ctrl+C again, because a handler would not end, had to wait nevertheless or to kill the process. A real process with
        /// ten minutes to drain, a service that takes as long to stop, and handlers that take an hour: at the second signal it ends, and everything is
        /// there for the next one.
        /// </summary>
        [Theory]
        [InlineData(false)]
        [InlineData(true)]
        public async Task Second_signal_ends_the_process_at_once_and_loses_nothing(bool isDeaf)
        {
            const int Jobs = 10;
            await using var server = await RedisServer.StartAsync();
            await using var store = new RedisStreamStore(RedisOptions.Parse(server.Endpoint));
            var history = Path.GetTempFileName();
            await using var worker = new WorkerProcess("shop", server.Port, history, drainMinutes: 10);
            await worker.StartAsync(asBefore: false);
            await using (var publisher = await ConsumerHost.StartAsync(_ => { }, store, instance: "publisher"))
            {
                var job = new Job("key0", JobKind.Works, 0, WorkMs: 3_600_000, isDeaf);
                await publisher.Publisher.PublishManyAsync(ChaosWorkload.Jobs, Enumerable.Repeat(job, Jobs).ToList());
            }

            // It holds more than it runs; when it is told to stop, it gives those back first.
            var again = StreamNames.Again(ChaosWorkload.Jobs, ChaosWorkload.Work);
            await Eventually.TrueAsync("it holds entries that wait", async () =>
                (await store.GetGroupsAsync(ChaosWorkload.Jobs)).FirstOrDefault(group => group.Name == ChaosWorkload.Work) is { PendingCount: > 4 });
            worker.Signal();
            await Eventually.TrueAsync("it drains", async () => await store.GetStreamInfoAsync(again) is { EntriesAdded: > 0 });
            Assert.True(worker.IsRunning);
            worker.Signal();
            Assert.Equal(SecondSignalTests.EndedBySigterm, await worker.WaitForEndAsync(SecondSignalTests.AtOnce));

            File.Delete(history);
            var found = new ConcurrentDictionary<string, int>();
            await using var next = await ConsumerHost.StartAsync(
                m => m.AddConsumer<Job>(
                    ChaosWorkload.Jobs,
                    ChaosWorkload.Work,
                    (_, context, _) =>
                    {
                        found.AddOrUpdate(context.MessageId, 1, static (_, count) => count + 1);
                        return Task.CompletedTask;
                    }),
                store,
                instance: "shop-1");
            await next.WhenSettledAsync(ChaosWorkload.Jobs, ChaosWorkload.Work);
            await next.WhenSettledAsync(again, ChaosWorkload.Work);
            Assert.Equal(Enumerable.Repeat(1, Jobs), found.Values);
        }
    }

    /// <summary>
    /// Each process that stopped kept what it had read and not begun until its idle time was over: a deployment was a stall of a minute.
    /// Three processes are replaced one after the other, twice, under load: nothing is delivered twice, and nothing waits for a lease, or for a second.
    /// </summary>
    [Fact]
    public async Task Rolling_restart_lets_no_message_wait_for_a_lease()
    {
        var handled = new ConcurrentDictionary<string, (long DeliveryCount, long Published, long Begun)>();
        var published = new ConcurrentDictionary<string, long>();
        var doubled = 0;
        var hosts = new List<ConsumerHost>();
        for (var i = 0; i < 3; i++)
            hosts.Add(await StartOneAsync(i));
        using var end = new CancellationTokenSource();
        using var endWatch = new CancellationTokenSource();
        var watching = StallWatch.WatchAsync(Store, TimeSpan.FromMilliseconds(50), endWatch.Token);
        await using var publisher = await ConsumerHost.StartAsync(_ => { }, Store, instance: "publisher");
        var publishing = PublishUntilAsync(publisher, published, end.Token);

        for (var i = 3; i < 9; i++)
        {
            var count = handled.Count;
            await hosts[i - 3].StopAsync();
            await hosts[i - 3].DisposeAsync();
            hosts.Add(await StartOneAsync(i));
            await Eventually.TrueAsync("the load is handled", () => new(handled.Count > count + 20));
        }

        await end.CancelAsync();
        await publishing;
        await Eventually.TrueAsync("everything is handled", () => new(handled.Count == published.Count));
        foreach (var host in hosts.TakeLast(3))
            await host.DisposeAsync();

        await endWatch.CancelAsync();
        var stalls = await watching;
        var delays = handled.Values.Select(delivery => Delay(delivery.Published, delivery.Begun)).Order().ToList();
        output.WriteLine($"{delays.Count} messages, p50 {delays[delays.Count / 2]}, p99 {delays[delays.Count * 99 / 100]}, longest {delays[^1]}");
        Assert.Equal(0, doubled);
        Assert.All(handled.Values, delivery => Assert.Equal(1, delivery.DeliveryCount));

        // Not the p99 alone: the longer a stop takes, the more messages there are beside those few that it delays.
        Assert.InRange(delays[^1], TimeSpan.MinValue, TimeSpan.FromSeconds(1));

        // Less what the machine stalled meanwhile, twice: what came in during a stall is worked off in less time than that took.
        TimeSpan Delay(long published, long begun) => stalls
            .Where(stall => begun > stall.From && published < stall.Until + (stall.Until - stall.From))
            .Aggregate(Stopwatch.GetElapsedTime(published, begun), (left, stall) => left - (2 * Stopwatch.GetElapsedTime(stall.From, stall.Until)));

        Task<ConsumerHost> StartOneAsync(int number) => StartAsync(
            async (order, context, token) =>
            {
                if (!handled.TryAdd(order.OrderId, (context.DeliveryCount, published[order.OrderId], Stopwatch.GetTimestamp())))
                    Interlocked.Increment(ref doubled);
                await Task.Delay(TimeSpan.FromMilliseconds(10), token);
            },
            o => (o.Concurrency, o.Prefetch, o.Lease, o.HandlerTimeout) = (2, 20, TimeSpan.FromMinutes(10), Timeout.InfiniteTimeSpan),
            $"shop-{number}");
    }

    private async Task PublishUntilAsync(ConsumerHost publisher, ConcurrentDictionary<string, long> published, CancellationToken end)
    {
        using var timer = new PeriodicTimer(TimeSpan.FromMilliseconds(20));
        for (var i = 0; !end.IsCancellationRequested; i++)
        {
            // A burst keeps more waiting than runs.
            var burst = Enumerable.Range(0, 4).Select(n => $"o{i}-{n}").ToArray();
            foreach (var order in burst)
                published[order] = Stopwatch.GetTimestamp();
            await PublishAsync(publisher, burst);
            await timer.WaitForNextTickAsync(CancellationToken.None);
        }
    }
}
