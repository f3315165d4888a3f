using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.EntityFrameworkCore;
using Millrace.Embedded;
using Millrace.OutboxWorker;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>The parts of a relay, one at a time: what happens between two of its steps.</summary>
public sealed class OutboxRelayTests : IAsyncLifetime
{
    private readonly EmbeddedStreamStore _store = new(new());
    private readonly OutboxOptions _options = new() { Name = "shop" };
    private TestDatabase? _database;

    public async ValueTask InitializeAsync() => _database = await TestDatabase.OnSqliteAsync();

    public async ValueTask DisposeAsync()
    {
        await _store.DisposeAsync();
        await _database!.DisposeAsync();
    }

    /// <summary>A failover to a replica that was behind: the database comes back without the deletion that it had acknowledged.</summary>
    [Fact]
    public async Task Batch_whose_settling_the_database_lost_when_it_failed_is_not_published_again()
    {
        _options.KeepRelayed = TimeSpan.FromDays(1);
        await using var db = _database!.Open();
        var (drain, table) = (Drain(), new OutboxTable(db));
        await AddRowAsync(db);
        var outcome = OutboxDrain.Outcome.Progress;
        while (outcome == OutboxDrain.Outcome.Progress)
            outcome = await drain.RelayPageAsync(table, default);
        await db.Outbox.ExecuteUpdateAsync(set => set.SetProperty(row => row.State, OutboxRowState.Waiting));
        await Assert.ThrowsAnyAsync<Exception>(() => drain.RelayPageAsync(table, new CancellationToken(canceled: true)));

        Assert.Equal(OutboxDrain.Outcome.Empty, await drain.RelayPageAsync(table, default));
        Assert.Single(await _store.RangeAsync("placed", new()));
    }

    /// <summary>A relay that stood still after the store refused a row parks it late, when another has published it already.</summary>
    [Fact]
    public async Task Row_that_was_parked_although_it_is_in_the_store_is_settled_and_not_retried()
    {
        await using var db = _database!.Open();
        var table = new OutboxTable(db);
        var row = RelayedRow.Of(await AddRowAsync(db));
        await table.RefuseAsync(row with { Token = row.Token + 1 }, "another row, which had its number", park: true, default);
        Assert.Equal(OutboxRowState.Waiting, (await db.Outbox.AsNoTracking().SingleAsync()).State);

        await table.RefuseAsync(row, "refused before", park: true, default);
        await table.SettleAsync([row], keep: false, default);

        Assert.Equal(0, await table.RetryParkedAsync(default));
        Assert.False(await db.Outbox.AnyAsync());
    }

    /// <summary>Each commit brings a new row, so that the relay never comes to the end.</summary>
    [Fact]
    public async Task Kept_rows_are_deleted_also_when_there_is_always_more_to_relay()
    {
        _options.KeepRelayed = TimeSpan.FromMilliseconds(1);
        var line = FaultyStore.Wrap(_store, member =>
        {
            if (member != nameof(IStreamStore.CommitAsync))
                return FaultyStore.Fault.None;
            using var other = _database!.Open();
            other.Outbox.Add(Row());
            other.SaveChanges();
            return FaultyStore.Fault.None;
        });
        await using var services = new ServiceCollection().AddDbContext<ShopDb>(_database!.Configure).BuildServiceProvider();
        var source = new OutboxSource(typeof(ShopDb));
        (source.Options.Name, source.Options.KeepRelayed) = ("shop", _options.KeepRelayed);
        await using var db = _database.Open();
        var first = await AddRowAsync(db);
        using var relay = new OutboxRelay<ShopDb>(
            source, line, services.GetRequiredService<IServiceScopeFactory>(), new(null, "shop"), new HastyTime(), NullLogger.Instance);
        await relay.StartAsync(default);

        await Eventually.TrueAsync("the first row is deleted", async () => !await db.Outbox.AnyAsync(row => row.Id == first.Id));
        await relay.StopAsync(default);
    }

    [Fact]
    public void Wait_after_many_failures_is_the_longest_however_long_the_first_is()
    {
        (_options.RetryBaseDelay, _options.RetryMaxDelay) = (TimeSpan.FromHours(1), TimeSpan.FromDays(1));

        Assert.Equal(TimeSpan.FromHours(2), OutboxDrain.Wait(2, _options));
        Assert.Equal(TimeSpan.FromDays(1), OutboxDrain.Wait(1_000, _options));
    }

    [Fact]
    public async Task Lease_that_was_taken_without_an_answer_is_given_back()
    {
        _options.Lease = TimeSpan.FromHours(1);
        var line = FaultyStore.Wrap(_store, member =>
            member == nameof(IStreamStore.CommitAsync) && _isAnswerLost ? FaultyStore.Fault.After : FaultyStore.Fault.None);
        var lease = new RelayLease(line, _options, TimeProvider.System);
        var other = new RelayLease(_store, _options, TimeProvider.System);
        _isAnswerLost = true;
        await Assert.ThrowsAsync<StreamException>(async () => await lease.TryTakeAsync(default));
        Assert.False(await other.TryTakeAsync(default));
        _isAnswerLost = false;

        await lease.ReleaseAsync(default);

        Assert.True(await other.TryTakeAsync(default));
    }

    /// <summary>The store keeps it all the while, as a Redis does whose clock was set back.</summary>
    [Fact]
    public async Task Lease_that_is_renewed_is_kept_and_one_that_is_not_is_over_after_twice_its_time()
    {
        var time = new ManualTimeProvider();
        _options.Lease = TimeSpan.FromHours(1);
        var lease = new RelayLease(_store, _options, time);
        var other = new RelayLease(_store, new() { Name = _options.Name, Lease = TimeSpan.FromMinutes(1) }, time);
        for (var i = 0; i < 10; i++)
        {
            Assert.True(await lease.TryTakeAsync(default));
            Assert.False(await other.TryTakeAsync(default));
            time.Advance(_options.Lease * 0.9);
        }

        time.Advance(_options.Lease);
        Assert.False(await other.TryTakeAsync(default));
        time.Advance(_options.Lease * 0.2);
        Assert.True(await other.TryTakeAsync(default));
        Assert.False(await lease.TryTakeAsync(default));
    }

    /// <summary>The name of a container often begins with digits, which passed for the time of the lease in milliseconds.</summary>
    [Fact]
    public async Task Lease_of_an_earlier_version_lives_as_long_as_the_store_keeps_it()
    {
        var time = new ManualTimeProvider();
        var lease = new RelayLease(_store, _options, time);
        await _store.CommitAsync(new Commit
        {
            Changes = [new CommitChange.PutState(OutboxNames.Lease(_options.Name!), "7d3f08a1c2b4/1/0b1e"u8.ToArray(), TimeSpan.FromHours(1))],
        });

        for (var i = 0; i < 3; i++)
        {
            Assert.False(await lease.TryTakeAsync(default));
            time.Advance(TimeSpan.FromHours(1));
        }
    }

    private bool _isAnswerLost;

    private OutboxDrain Drain() => new(_options, _store, new(null, "shop"), TimeProvider.System, NullLogger.Instance);

    private static OutboxRow Row() => new("placed", token: 7, orderKey: 7, EntryFields.Create(("body", "x")).Packed.ToArray());

    private static async Task<OutboxRow> AddRowAsync(ShopDb db)
    {
        var row = Row();
        db.Outbox.Add(row);
        await db.SaveChangesAsync();
        return row;
    }

    /// <summary>Whatever is done every now and then is always due.</summary>
    private sealed class HastyTime : TimeProvider
    {
        private long _timestamp;

        public override long GetTimestamp() => Interlocked.Add(ref _timestamp, TimestampFrequency * 60);
    }
}
