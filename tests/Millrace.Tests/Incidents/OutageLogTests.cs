using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Embedded;
using Millrace.EntityFrameworkCore;
using Millrace.OutboxWorker;
using Millrace.Projections;
using Millrace.Redis;
using Millrace.Redis.Connections;
using Millrace.Sqlite;
using Millrace.Streams;
using Millrace.Tests.EventSourcing;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Projections;
using Millrace.Tests.WorkQueues;
using Millrace.WorkQueues;

namespace Millrace.Tests.Incidents;

/// <summary>
/// 30 GB of one log line in a day (dapr#4302): what tries again and again beside the groups, whose lines <see cref="StoreFailureIncidentTests"/> counts.
/// </summary>
public sealed class OutageLogTests(SharedRedis redis)
{
    // What the parts log, by the number of the event.
    private const int RenewalFailed = 1422;
    private const int ProjectionFailing = 1423;
    private const int JobNotesFailed = 1440;
    private const int JobProgressFailed = 1441;
    private const int RelayFailed = 1500;
    private const int ListeningFailed = 1503;
    private const int WakeUpFailed = 1504;
    private const int CareFailed = 1505;
    private const int CleaningFailed = 1520;
    private const int ConnectFailed = 3000;
    private const int ConnectionBroke = 3002;
    private const int SubscriptionsInterrupted = 3003;

    private readonly ManualTimeProvider _time = new();
    private readonly WarningCount _log = new();

    [Fact]
    public async Task Redis_client_that_cannot_connect_tells_it_once_a_minute_at_most()
    {
        await using var proxy = CuttingProxy.Start(serverPort: 1); // Nobody listens there.
        await using var client = new RedisClient(OptionsOf(proxy), _time, _log);
        var subscribing = client.SubscribeAsync("news", _ => { }, default).AsTask();

        var minutes = await MinutesUntilAsync("it tried again and again", TimeSpan.FromSeconds(1), () => proxy.AcceptedCount >= 200);

        AssertTold(minutes, ConnectFailed, SubscriptionsInterrupted);
        await Assert.ThrowsAsync<StreamException>(() => subscribing);
    }

    /// <summary>A server, or something before it, that takes connections and drops them again.</summary>
    [Fact]
    public async Task Redis_client_whose_connection_breaks_again_and_again_tells_it_once_a_minute_at_most()
    {
        await using var proxy = CuttingProxy.Start((await redis.StartedAsync()).Port);
        await using var client = new RedisClient(OptionsOf(proxy), _time, _log);
        var connecting = Task.CompletedTask;

        var minutes = await MinutesUntilAsync("it connected again and again", TimeSpan.FromSeconds(1), () =>
        {
            if (connecting.IsCompletedSuccessfully)
            {
                proxy.Cut();
                connecting = client.ConnectAsync(default).AsTask();
            }

            return proxy.AcceptedCount >= 100;
        });

        AssertTold(minutes, ConnectionBroke);
        proxy.Cut();
    }

    [Fact]
    public async Task Projection_and_job_queue_whose_store_fails_tell_it_once_a_minute_at_most()
    {
        var isDown = false;
        var begun = new TaskCompletionSource<JobContext>();
        var end = new TaskCompletionSource();
        await using var store = new EmbeddedStreamStore(new(), _time);
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddMessage<PointsEarned>().AddMessage<Resize>()
                .AddProjection("tallies", "points", Tally.Folds)
                .AddJob<Resize>("work", async (_, context, _) =>
                {
                    begun.SetResult(context);
                    await end.Task;
                }),
            FaultyStore.Wrap(store, _ => Volatile.Read(ref isDown) ? FaultyStore.Fault.Before : FaultyStore.Fault.None),
            _time,
            log: _log);
        await host.Host.Services.GetRequiredKeyedService<JobQueue>("work").EnqueueAsync(new Resize(1));
        var job = await begun.Task.WaitAsync(Eventually.Deadline);
        var control = host.Host.Services.GetRequiredService<ProjectionControl>();
        await Eventually.TrueAsync("the projection runs", () => new(control.Local[0].State == ProjectionState.Live));

        Volatile.Write(ref isDown, true);
        var (start, reports) = (_time.GetUtcNow(), 0);
        var minutes = await MinutesUntilAsync("ten minutes are over", TimeSpan.FromSeconds(1), () =>
        {
            job.Report(++reports);
            return _time.GetUtcNow() - start > TimeSpan.FromMinutes(10);
        });

        // A projection that was at a batch tells of that besides. Its lease is over after ten seconds, and is not renewed any more.
        Assert.Multiple(
            () => AssertTold(minutes + 1, JobNotesFailed, JobProgressFailed, ProjectionFailing),
            () => Assert.Equal(1, _log.ByEvent.GetValueOrDefault(RenewalFailed)),
            () => Assert.All(_log.ByEvent, told => Assert.True(told.Value <= minutes + 1, $"{told.Key} came {told.Value} times in {minutes} minutes.")));
        end.SetResult();
        Volatile.Write(ref isDown, false);
    }

    [Fact]
    public async Task Projection_whose_target_fails_tells_it_once_a_minute_at_most()
    {
        var target = new BrokenTarget();
        await using var store = new EmbeddedStreamStore(new(), _time);
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddMessage<PointsEarned>().AddProjection("tallies", "points", _ => target), store, _time, log: _log);
        await host.Publisher.PublishAsync("points", new PointsEarned(1, "test"));

        var minutes = await MinutesUntilAsync("it tried again and again", TimeSpan.FromSeconds(5), () => target.Attempts >= 40);

        AssertTold(minutes, ProjectionFailing);
    }

    [Fact]
    public async Task Outbox_and_inbox_whose_database_fails_tell_it_once_a_minute_at_most()
    {
        SqliteLibrary.Load();
        var nowhere = Path.Combine(Path.GetTempPath(), $"millrace-{Guid.NewGuid():N}", "shop.db");
        await using var store = new EmbeddedStreamStore(new(), _time);
        await using var services = new ServiceCollection()
            .AddDbContext<ShopDb>(options => options.UseSqlite($"Data Source={nowhere}")).BuildServiceProvider();
        var scopes = services.GetRequiredService<IServiceScopeFactory>();
        var wakeUp = new BrokenWakeUp();
        var (relaying, writing) = (new OutboxSource(typeof(ShopDb)), new OutboxSource(typeof(ShopDb)));
        foreach (var options in new[] { relaying.Options, writing.Options })
        {
            (options.Name, options.WakeUp) = ("shop", wakeUp);
            (options.RetryMaxDelay, options.KeepRelayed) = (TimeSpan.FromSeconds(1), TimeSpan.FromDays(1));
        }

        using var relay = new OutboxRelay<ShopDb>(relaying, store, scopes, new(null, "shop"), _time, _log);
        using var notifier = new OutboxNotifier<ShopDb>(writing, scopes, _time, _log);
        using var cleaner = new InboxCleaner<ShopDb>(new() { CleaningInterval = TimeSpan.FromSeconds(1) }, scopes, _time, _log);
        await relay.StartAsync(default);
        await notifier.StartAsync(default);
        await cleaner.StartAsync(default);

        var minutes = await MinutesUntilAsync("they tried again and again", TimeSpan.FromSeconds(1), () =>
        {
            writing.Signal.Wake();
            return wakeUp.Listens >= 200 && wakeUp.Sends >= 200;
        });

        AssertTold(minutes, RelayFailed, CareFailed, ListeningFailed, WakeUpFailed, CleaningFailed);
        await cleaner.StopAsync(default);
        await notifier.StopAsync(default);
        await relay.StopAsync(default);
    }

    private static RedisOptions OptionsOf(CuttingProxy proxy) => new()
    {
        Host = "127.0.0.1",
        Port = proxy.Port,
        ReconnectDelay = TimeSpan.FromSeconds(1),
        MaxReconnectDelay = TimeSpan.FromSeconds(1),

        // The clock goes faster than the machine.
        ConnectTimeout = TimeSpan.FromHours(1),
        CommandTimeout = TimeSpan.FromHours(1),
    };

    /// <summary>Moves the clock until something is so.</summary>
    /// <returns>The minutes that took, the one that was begun included.</returns>
    private async Task<int> MinutesUntilAsync(string reason, TimeSpan step, Func<bool> isSo)
    {
        var start = _time.GetUtcNow();
        await Eventually.TrueAsync(reason, () =>
        {
            _time.Advance(step);
            return new(isSo());
        });
        return (int)(_time.GetUtcNow() - start).TotalMinutes + 1;
    }

    private void AssertTold(int minutes, params int[] events) => Assert.All(
        events, one => Assert.InRange(_log.ByEvent.GetValueOrDefault(one), 2, minutes));

    private sealed class BrokenTarget : IProjectionTarget
    {
        private int _attempts;

        public int Attempts => Volatile.Read(ref _attempts);

        public ValueTask<ProjectionCheckpoint> LoadAsync(int generation, CancellationToken cancellationToken) => new(ProjectionCheckpoint.Start);

        public ValueTask<bool> ApplyAsync(ProjectionBatch batch, CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref _attempts);
            throw new TimeoutException("The database is away.");
        }

        public ValueTask<bool> RemoveAsync(int generation, CancellationToken cancellationToken) => new(true);
    }

    private sealed class BrokenWakeUp : OutboxWakeUp
    {
        private int _sends;
        private int _listens;

        public int Sends => Volatile.Read(ref _sends);

        public int Listens => Volatile.Read(ref _listens);

        public override Task SendAsync(DbContext db, CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref _sends);
            throw new TimeoutException("The database is away.");
        }

        public override Task ListenAsync(DbContext db, Action wake, CancellationToken cancellationToken)
        {
            Interlocked.Increment(ref _listens);
            throw new TimeoutException("The database is away.");
        }
    }
}
