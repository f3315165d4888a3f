using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Conformance;

/// <summary>When the memory is used up, consumers must be able to go on settling, nothing may grow, and every store says the same.</summary>
public abstract class FullStoreConformance : IAsyncLifetime
{
    private static readonly EntryFields Fields = EntryFields.Create(("v", "x"));
    private static readonly StateKey Document = new("s", "d");

    private LimitedStore _limited = null!;
    private IStreamStore _store = null!;

    public async ValueTask InitializeAsync()
    {
        _limited = await StartAsync();
        _store = _limited.Store;
    }

    public ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        return _limited.DisposeAsync();
    }

    protected abstract Task<LimitedStore> StartAsync();

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

        await _limited.LimitAsync(0);
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

    /// <summary>Each kind begins with another write, and what comes behind it in the list gets no memory for that.</summary>
    [Theory]
    [InlineData("put")]
    [InlineData("replace")]
    [InlineData("append and ack")]
    [InlineData("put and append")]
    [InlineData("schedule and ack")]
    [InlineData("release")]
    [InlineData("release later")]
    [InlineData("release again")]
    public async Task Upkeep_passes_and_nothing_else_of_its_list(string kind)
    {
        await _store.CommitAsync(new Commit { Changes = [new CommitChange.PutState(Document, new byte[] { 1 })] });
        var before = (await _store.GetStateAsync(Document))!.Version;
        if (kind == "release again")
            await _store.CreateGroupAsync(StreamNames.Again("s", "g"), "g", GroupStart.Beginning);
        var ids = await FillAsync(1);
        await _limited.LimitAsync(0);
        await _limited.FillAsync();
        var (held, delay) = (new HeldEntry(ids[0], 1), TimeSpan.FromHours(1));
        CommitChange[] changes = kind switch
        {
            "put" => [new CommitChange.PutState(new("s", "new"), new byte[] { 2 }, TimeSpan.FromHours(1))],
            "replace" => [new CommitChange.PutState(Document, new byte[] { 2 })],
            "append and ack" => [new CommitChange.Append("dead", Fields), new CommitChange.Ack("s", "g", ids[0])],
            "put and append" => [new CommitChange.PutState(Document, new byte[] { 2 }), new CommitChange.Append("log", Fields)],
            "schedule and ack" => [new CommitChange.Schedule("again", Fields, delay), new CommitChange.Ack("s", "g", ids[0])],
            "release" => [new CommitChange.Release("s", "g", held)],
            _ => [new CommitChange.Release("s", "g", held, delay)],
        };

        var results = await _store.CommitAsync(
        [
            new() { Changes = [new CommitChange.Append("out", Fields)] },
            new() { Conditions = [CommitCondition.StateAbsent(new("s", "none")), CommitCondition.StateAbsent(Document)], Changes = changes, IsUpkeep = true },
            new() { Conditions = [CommitCondition.StateIs(Document, before)], Changes = changes, IsUpkeep = true },
            new() { Changes = [new CommitChange.Append("out", Fields)] },
            new() { Changes = [new CommitChange.PutState(new("s", "other"), default)] },
            new() { Changes = [new CommitChange.DeleteState(new("s", "none"))] },
        ]);

        StreamErrorCode? oom = StreamErrorCode.OutOfMemory;
        Assert.Equal([oom, null, null, oom, oom, null], results.Select(result => result.Failure?.Code));
        Assert.Equal(CommitCondition.StateAbsent(Document), results[1].Conflict);
        Assert.True(results[2].IsApplied);
        var isPut = kind is "put" or "replace" or "put and append";
        var document = (await _store.GetStateAsync(kind == "put" ? new("s", "new") : Document))!;
        Assert.Equal(isPut ? 2 : 1, document.Payload.Span[0]);
        Assert.Equal(isPut, document.Version > before);
        Assert.Equal(isPut ? 1 : 0, (await _store.PendingSummaryAsync("s", "g")).Count);
        await AssertLengthAsync("dead", kind == "append and ack");
        await AssertLengthAsync("log", kind == "put and append");
        await AssertLengthAsync(StreamNames.Again("s", "g"), kind == "release");
        Assert.Equal(kind == "schedule and ack" ? 1 : 0, (await _store.GetScheduleAsync("again")).Count);
        Assert.Equal(kind is "release later" or "release again" ? 1 : 0, (await _store.GetScheduleAsync(StreamNames.Again("s", "g"))).Count);
        Assert.Null(await _store.GetStreamInfoAsync("out"));
        Assert.Null(await _store.GetStateAsync(new("s", "other")));
        await _limited.CheckIsFullAsync();
    }

    [Fact]
    public async Task Upkeep_that_fails_changes_nothing_on_a_full_store()
    {
        await _store.CommitAsync(new Commit
        {
            Changes = [new CommitChange.PutState(Document, new byte[] { 1 }), new CommitChange.Append("end", Fields, EntryId.Max)],
        });
        var ids = await FillAsync(1);
        await _limited.LimitAsync(0);
        await _limited.FillAsync();

        var results = await _store.CommitAsync(
        [
            new()
            {
                Changes =
                [
                    new CommitChange.PutState(Document, new byte[] { 2 }),
                    new CommitChange.Append("end", Fields),
                    new CommitChange.Ack("s", "g", ids[0]),
                ],
                IsUpkeep = true,
            },
            new() { Changes = [new CommitChange.Append("out", Fields)] },
        ]);

        Assert.Equal([StreamErrorCode.IdNotIncreasing, StreamErrorCode.OutOfMemory], results.Select(result => result.Failure?.Code));
        Assert.Equal(1, (await _store.GetStateAsync(Document))!.Payload.Span[0]);
        Assert.Equal(1, (await _store.PendingSummaryAsync("s", "g")).Count);
    }

    [Fact]
    public async Task What_is_due_comes_on_a_full_store()
    {
        await _limited.FillAsync();
        await _store.CommitAsync(new Commit { Changes = [new CommitChange.Schedule("again", Fields, TimeSpan.FromMilliseconds(1))], IsUpkeep = true });

        Assert.Single(await _store.ReadAsync([new("again", EntryId.Zero)], 1, Eventually.Deadline));

        await _limited.CheckIsFullAsync();
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

    private async Task AssertLengthAsync(string stream, bool hasOne) =>
        Assert.Equal(hasOne ? 1 : 0, (await _store.GetStreamInfoAsync(stream))?.Length ?? 0);

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
        await _limited.LimitAsync(1);
        return ids;
    }
}

/// <summary>In this process.</summary>
public sealed class FullEmbeddedConformance : FullStoreConformance
{
    protected override Task<LimitedStore> StartAsync() => LimitedStore.StartEmbeddedAsync(WhenFull.Reject);
}

/// <summary>A Redis of its own.</summary>
public sealed class FullRedisConformance : FullStoreConformance
{
    protected override Task<LimitedStore> StartAsync() => LimitedStore.StartRedisAsync();
}

/// <summary>Our server.</summary>
public sealed class FullServerConformance : FullStoreConformance
{
    protected override Task<LimitedStore> StartAsync() => LimitedStore.StartServerAsync();
}
