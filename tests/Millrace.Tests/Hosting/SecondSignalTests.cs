using Millrace.ChaosWorker;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Chaos;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Hosting;

/// <summary>A signal while the host stops, in a real process. What it holds then is looked at in <c>ShutdownIncidentTests</c>.</summary>
public sealed class SecondSignalTests
{
    // What a signal and the end of a process take, generously; whatever else could end it takes ten minutes or more.
    internal static readonly TimeSpan AtOnce = TimeSpan.FromSeconds(10);

    internal const int EndedBySigterm = 128 + 15;

    [Fact]
    public async Task Second_signal_ends_a_process_whose_other_services_are_slow_to_stop()
    {
        await using var server = await RedisServer.StartAsync();
        await using var store = new RedisStreamStore(RedisOptions.Parse(server.Endpoint));
        var history = Path.GetTempFileName();
        await using var worker = new WorkerProcess("shop", server.Port, history, drainMinutes: 10);
        await worker.StartAsync(asBefore: false);
        var registry = new ConsumerRegistry(store);
        Task<IReadOnlyList<GroupConsumer>> ConsumersAsync() => registry.ListAsync(ChaosWorkload.Jobs, ChaosWorkload.Work).AsTask();
        await Eventually.TrueAsync("it says that it lives", async () => await ConsumersAsync() is [{ IsAlive: true }]);
        worker.Signal();
        await Eventually.TrueAsync("it has drained and left its groups", async () => await ConsumersAsync() is []);
        Assert.True(worker.IsRunning);

        worker.Signal();

        Assert.Equal(EndedBySigterm, await worker.WaitForEndAsync(AtOnce));
        File.Delete(history);
    }

    /// <summary>Of the services the handler of the signal cannot ask any more.</summary>
    [Fact]
    public async Task Second_signal_ends_a_process_whose_host_is_slow_to_be_disposed()
    {
        await using var server = await RedisServer.StartAsync();
        var history = Path.GetTempFileName();
        await using var worker = new WorkerProcess("shop", server.Port, history, drainMinutes: 10, isSlowToDispose: true);
        await worker.StartAsync(asBefore: false);
        worker.Signal();
        Assert.Equal("disposing", await worker.ReadLineAsync());

        worker.Signal();

        Assert.Equal(EndedBySigterm, await worker.WaitForEndAsync(AtOnce));
        File.Delete(history);
    }

    /// <summary>The drain would take ten minutes, and the handlers an hour.</summary>
    [Fact]
    public async Task Second_signal_that_must_not_end_the_process_ends_its_consumers_and_other_services_are_waited_for()
    {
        const int Running = 4; // As many as the group runs at once.
        await using var server = await RedisServer.StartAsync();
        await using var store = new RedisStreamStore(RedisOptions.Parse(server.Endpoint));
        var history = Path.GetTempFileName();
        await using var worker = new WorkerProcess("shop", server.Port, history, drainMinutes: 10, exitsOnSecondSignal: false);
        await worker.StartAsync(asBefore: false);
        await using (var publisher = await ConsumerHost.StartAsync(_ => { }, store, instance: "publisher"))
        {
            var deaf = new Job("key0", JobKind.Works, 0, WorkMs: 3_600_000, IsDeaf: true);
            await publisher.Publisher.PublishManyAsync(ChaosWorkload.Jobs, Enumerable.Repeat(deaf, Running + 1).ToList());
        }

        await Eventually.TrueAsync("it holds what it runs, and one more", async () =>
            (await store.GetGroupsAsync(ChaosWorkload.Jobs)).FirstOrDefault(group => group.Name == ChaosWorkload.Work) is { PendingCount: Running + 1 });
        await Eventually.TrueAsync("its handlers run", () => ValueTask.FromResult(
            FileHistory.Read(history).Count(happened => happened is { What: Happened.Begin, Group: ChaosWorkload.Work }) == Running));
        worker.Signal();
        await Eventually.TrueAsync("it drains", async () =>
            await store.GetStreamInfoAsync(StreamNames.Again(ChaosWorkload.Jobs, ChaosWorkload.Work)) is { EntriesAdded: 1 });
        worker.Signal();

        Assert.Equal("stopping", await worker.ReadLineAsync());
        Assert.True(worker.IsRunning);
        Assert.Equal(Running, (await store.PendingSummaryAsync(ChaosWorkload.Jobs, ChaosWorkload.Work)).Count);
        File.Delete(history);
    }
}
