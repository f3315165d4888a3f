using Millrace.Embedded;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Server;

namespace Millrace.Tests.Conformance;

/// <summary>When the memory is used up, consumers must be able to go on settling, nothing may grow, and every store says the same.</summary>
public abstract class FullStoreConformance : IAsyncLifetime
{
    private static readonly EntryFields Fields = EntryFields.Create(("v", "x"));
    private static readonly StateKey Document = new("s", "d");

    private IStreamStore _store = null!;

    public async ValueTask InitializeAsync() => _store = await StartAsync();

    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        await _store.DisposeAsync();
        await StopAsync();
    }

    protected abstract Task<IStreamStore> StartAsync();

    protected abstract Task StopAsync();

    /// <summary>Sets the limit of memory, 0 for none.</summary>
    protected abstract Task LimitAsync(long maxMemoryBytes);

    [Fact]
    public async Task What_needs_memory_is_refused_and_passes_again_when_there_is_some()
    {
        await FillAsync(1);

        Assert.Equal(StreamErrorCode.OutOfMemory, await RefusalAsync(() => _store.AppendAsync("s", Fields)));
        Assert.Equal(StreamErrorCode.OutOfMemory, await RefusalAsync(() => _store.AppendAsync("new", Fields, StreamTrim.ToLength(1))));
        Assert.Equal(StreamErrorCode.OutOfMemory, await RefusalAsync(() => _store.AppendManyAsync("s", [Fields, Fields])));
        Assert.Equal(StreamErrorCode.OutOfMemory, await RefusalAsync(() => _store.CreateGroupAsync("s", "other", GroupStart.Now)));
        Assert.Equal(StreamErrorCode.OutOfMemory, await RefusalAsync(() => _store.CreateGroupAsync("new", "g", GroupStart.Now)));
        Assert.Equal(StreamErrorCode.OutOfMemory, await RefusalAsync(() => _store.CreateConsumerAsync("s", "g", "other")));

        await LimitAsync(0);
        await _store.AppendAsync("s", Fields);
        Assert.Equal(2, (await _store.GetStreamInfoAsync("s"))?.Length);
        Assert.Null(await _store.GetStreamInfoAsync("new"));
    }

    [Fact]
    public async Task What_settles_reads_or_frees_passes()
    {
        var ids = await FillAsync(6, delivered: 5);

        Assert.False(await _store.CreateGroupAsync("s", "g", GroupStart.Beginning));
        Assert.Equal(ids[5], Assert.Single(Assert.Single(await ReadAsync()).Entries).Id);
        Assert.Equal(6, (await _store.RangeAsync("s", new())).Count);
        Assert.Equal(6, (await _store.PendingSummaryAsync("s", "g")).Count);
        Assert.Single(await _store.ExtendAsync("s", "g", "c", [new(ids[0], 1)]));
        var claim = new ClaimRequest { Consumer = "other", Ids = [ids[4]], MinIdleTime = TimeSpan.Zero };
        Assert.Single((await _store.ClaimAsync("s", "g", claim)).Entries);
        Assert.Equal(1, await _store.AckAsync("s", "g", [ids[0]]));
        Assert.Equal(1, await _store.AckAndDeleteAsync("s", "g", [ids[1]]));
        Assert.Equal(1, await _store.DeleteAsync("s", [ids[2]]));
        Assert.Equal(3, await _store.TrimAsync("s", StreamTrim.ToLength(1)));
        await _store.SetGroupAsync("s", "g", GroupStart.Now);
        Assert.Equal(1, await _store.DeleteConsumerAsync("s", "g", "other"));
        Assert.True(await _store.DestroyGroupAsync("s", "g"));
        Assert.True(await _store.DeleteStreamAsync("s"));
    }

    [Fact]
    public async Task Commits_pass_only_when_they_add_nothing()
    {
        var ids = await FillAsync(6);
        Commit Change(params CommitChange[] changes) => new() { Changes = changes };

        var results = await _store.CommitAsync(
        [
            Change(new CommitChange.Ack("s", "g", ids[0])),
            Change(new CommitChange.Append("s", Fields), new CommitChange.Ack("s", "g", ids[1])),
            Change(new CommitChange.AckAndDelete("s", "g", ids[2])),
            Change(new CommitChange.Schedule("s", Fields, TimeSpan.FromHours(1)), new CommitChange.Ack("s", "g", ids[3])),
            Change(new CommitChange.DeleteState(Document)),
            Change(new CommitChange.DeleteState(Document), new CommitChange.PutState(Document, default), new CommitChange.Ack("s", "g", ids[3])),
            Change(new CommitChange.Release("s", "g", new(ids[4], 1))),
            Change(new CommitChange.Ack("s", "g", ids[5])),
        ]);

        StreamErrorCode? oom = StreamErrorCode.OutOfMemory;
        Assert.Equal([null, oom, null, oom, null, oom, oom, null], results.Select(result => result.Failure?.Code));
        var pending = await _store.PendingAsync("s", "g", new());
        Assert.Equal([ids[1], ids[3], ids[4]], pending.Select(entry => entry.Id));
        Assert.Equal(5, (await _store.RangeAsync("s", new())).Count);
        Assert.Null(await _store.GetStateAsync(Document));
        Assert.Null(await _store.GetStreamInfoAsync(StreamNames.Again("s", "g")));
    }

    /// <summary>Who repeats a settlement that was applied must learn so, or it would repeat it until there is memory.</summary>
    [Fact]
    public async Task Commit_whose_condition_does_not_hold_conflicts_also_when_it_needs_memory()
    {
        var ids = await FillAsync(1);
        await _store.AckAsync("s", "g", ids);

        var result = await _store.CommitAsync(new Commit
        {
            Conditions = [CommitCondition.StillHeld("s", "g", "c", new(ids[0], 1))],
            Changes = [new CommitChange.Append("s", Fields), new CommitChange.Ack("s", "g", ids[0])],
        });

        Assert.NotNull(result.Conflict);
    }

    [Fact]
    public async Task Commit_that_is_refused_for_its_document_has_acknowledged_nothing()
    {
        var ids = await FillAsync(1);

        var results = await _store.CommitAsync(
            [new() { Changes = [new CommitChange.Ack("s", "g", ids[0]), new CommitChange.PutState(Document, default)] }]);

        Assert.Equal(StreamErrorCode.OutOfMemory, Assert.Single(results).Failure?.Code);
        Assert.Equal(1, (await _store.PendingSummaryAsync("s", "g")).Count);
    }

    private static async Task<StreamErrorCode> RefusalAsync<T>(Func<ValueTask<T>> call)
    {
        var refusal = await Assert.ThrowsAsync<StreamException>(async () => await call());
        Assert.True(refusal.IsTransient);
        return refusal.Code;
    }

    private ValueTask<IReadOnlyList<StreamBatch<DeliveredEntry>>> ReadAsync(int count = 100) =>
        _store.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = ["s"], Count = count });

    /// <summary>Entries of stream s, pending for consumer c of group g; then the memory is used up.</summary>
    private async Task<IReadOnlyList<EntryId>> FillAsync(int count, int delivered = 100)
    {
        await _store.CreateGroupAsync("s", "g", GroupStart.Beginning);
        var ids = await _store.AppendManyAsync("s", [.. Enumerable.Repeat(Fields, count)]);
        await ReadAsync(delivered);
        await LimitAsync(1);
        return ids;
    }
}

/// <summary>In this process.</summary>
public sealed class FullEmbeddedConformance : FullStoreConformance
{
    private EmbeddedStreamStore _store = null!;

    protected override Task<IStreamStore> StartAsync() => Task.FromResult<IStreamStore>(_store = new(new()));

    protected override Task StopAsync() => Task.CompletedTask;

    protected override Task LimitAsync(long maxMemoryBytes)
    {
        _store.LimitMemory(maxMemoryBytes);
        return Task.CompletedTask;
    }
}

/// <summary>A Redis of its own.</summary>
public sealed class FullRedisConformance : FullStoreConformance
{
    private RedisServer _server = null!;

    protected override async Task<IStreamStore> StartAsync()
    {
        _server = await RedisServer.StartAsync();
        return new RedisStreamStore(new() { Host = "127.0.0.1", Port = _server.Port });
    }

    protected override async Task StopAsync() => await _server.DisposeAsync();

    protected override Task LimitAsync(long maxMemoryBytes) => _server.CliAsync("CONFIG", "SET", "maxmemory", $"{maxMemoryBytes}");
}

/// <summary>Our server.</summary>
public sealed class FullServerConformance : FullStoreConformance
{
    private TestServer _server = null!;

    protected override async Task<IStreamStore> StartAsync()
    {
        _server = await TestServer.StartAsync();
        return new RedisStreamStore(new() { Host = "127.0.0.1", Port = _server.Port });
    }

    protected override async Task StopAsync() => await _server.DisposeAsync();

    protected override Task LimitAsync(long maxMemoryBytes)
    {
        _server.Store.LimitMemory(maxMemoryBytes);
        return Task.CompletedTask;
    }
}
