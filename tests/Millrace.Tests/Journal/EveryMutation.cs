using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Engine.Records;
using Millrace.Tests.Embedded;

namespace Millrace.Tests.Journal;

/// <summary>
/// A short life of a store with every mutation there is, each of which changes something, and every kind of value left at the end. Always the
/// same, by a clock that the script moves.
/// </summary>
internal sealed class EveryMutation(EmbeddedStreamStore store, ManualTime time)
{
    private static readonly EntryFields Fields = EntryFields.Create(("name", "value"), ("", "é"));

    /// <summary>Called when one more thing is durable.</summary>
    public Action Applied { get; init; } = static () => { };

    /// <summary>The kinds applied so far.</summary>
    public HashSet<MutationKind> Kinds { get; } = [];

    public async Task RunAsync()
    {
        await ApplyAsync<SetOption, bool>(new(EngineOption.StreamNodeMaxEntries, 4));
        await EntriesAsync();
        await GroupsAsync();
        await ValuesAsync();
        await CommitsAsync();
        await TransactionAsync();
    }

    /// <summary>Applies one mutation as a command of the server would, and waits until it is durable.</summary>
    public async Task<TResult> ApplyAsync<TMutation, TResult>(TMutation mutation, int database = 0)
        where TMutation : struct, IMutation<TResult>
    {
        await store.WhenTurnPossibleAsync(TestContext.Current.CancellationToken);
        var (result, lsn) = Turn();
        await store.WhenDurableAsync(lsn);
        Kinds.Add(mutation.Kind);
        Applied();
        return result;

        (TResult Result, long Lsn) Turn()
        {
            var nowMs = store.BeginTurn();
            try
            {
                var before = store.LastLsnNeedsLock;
                store.EngineNeedsLock.Select(database);
                var result = store.ApplyNeedsLock<TMutation, TResult>(mutation, nowMs);
                Assert.True(store.LastLsnNeedsLock > before, $"{mutation} changed nothing.");
                store.LeaveTurnNeedsLock(nowMs);
                return (result, store.LastLsnNeedsLock);
            }
            finally
            {
                store.ExitTurn();
            }
        }
    }

    private async Task EntriesAsync()
    {
        await ApplyAsync<AppendMany, IReadOnlyList<EntryId>>(new("orders", [Fields, Fields, Fields, Fields, Fields, Fields, Fields, Fields]));
        await ApplyAsync<AppendOnce, EntryId>(new("producer", "once", new("orders", Fields)));
        await ApplyAsync<ConfigureProducers, bool>(new("orders", 60, 10));
        var id = await ApplyAsync<Append, EntryId>(new("orders", Fields, new TrimRequest { MaxLength = 1_000 }));
        await ApplyAsync<RecordProduced, EntryId>(new("orders", "producer", "told", id));
        await ApplyAsync<Delete, long>(new("orders", [id]));
        await ApplyAsync<SetStreamId, bool>(new("orders", id.Next(), EntriesAdded: 20));

        await ApplyAsync<AppendMany, IReadOnlyList<EntryId>>(new("gone", [Fields, Fields]));
        await ApplyAsync<Trim, long>(new("gone", new TrimRequest { MaxLength = 1 }));
        await ApplyAsync<DeleteStream, bool>(new("gone"));
    }

    private async Task GroupsAsync()
    {
        await ApplyAsync<CreateGroup, bool>(new("orders", "billing", GroupStart.Beginning));
        await ApplyAsync<CreateGroup, bool>(new("orders", "late", GroupStart.Now));
        await ApplyAsync<CreateGroup, bool>(new("orders", "short", GroupStart.Now));
        await ApplyAsync<CreateConsumer, bool>(new("orders", "billing", "idle"));
        await ApplyAsync<CreateConsumer, bool>(new("orders", "billing", "gone"));
        await ApplyAsync<DeleteConsumer, long>(new("orders", "billing", "gone"));
        await ApplyAsync<SetGroup, bool>(new("orders", "late", GroupStart.Beginning));
        await ApplyAsync<DestroyGroup, bool>(new("orders", "short"));

        await ApplyAsync<ReadGroup, DeliveredRange>(new("orders", "billing", "worker", 7));
        await ApplyAsync<ReadGroup, DeliveredRange>(new("orders", "late", "worker", 3));
        var ids = PendingOf("billing", "worker");
        time.Move(TimeSpan.FromSeconds(3));
        await ApplyAsync<Ack, long>(new("orders", "billing", [ids[0]]));
        await ApplyAsync<AckAndDelete, DeleteOutcome[]>(new("orders", "billing", [ids[1]]));
        await ApplyAsync<DeleteReferenced, DeleteOutcome[]>(new("orders", ReferencePolicy.Delete, [ids[2]]));
        await ApplyAsync<Extend, IReadOnlyList<EntryId>>(new("orders", "billing", "worker", [new(ids[3], 1)]));
        await ApplyAsync<Claim, ClaimResult>(new("orders", "billing", "other", 1_000, [ids[4]]));
        await ApplyAsync<ClaimAs, EntryId[]>(new("orders", "billing", "other", 0, 1_000, 9, true, false, EntryId.Zero, [ids[5]]));
        await ApplyAsync<ReadHistory, EntryId[]>(new("orders", "billing", "other", EntryId.Zero, 1));
        await ApplyAsync<Nack, long>(new("orders", "billing", 3, false, false, [ids[3]]));
        await ApplyAsync<AutoClaim, AutoClaimed>(new("orders", "late", "thief", 1_000, EntryId.Zero, 2, false));
        await ApplyAsync<SkipTime, bool>(new(500));
    }

    private async Task ValuesAsync()
    {
        await ApplyAsync<SetString, bool>(new("text", "any bytes \0ÿ"u8.ToArray(), null));
        await ApplyAsync<SetExpiry, bool>(new("text", time.GetUtcNow().ToUnixTimeMilliseconds() + 3_600_000));
        await ApplyAsync<PushList, long>(new("list", true, ["a"u8.ToArray(), "b"u8.ToArray(), []]));
        await ApplyAsync<PopList, byte[][]>(new("list", false, 1));
        await ApplyAsync<AddMembers, long>(new("set", ["x", "y", "\udcff"]));
        await ApplyAsync<RemoveMembers, long>(new("set", ["x"]));
        await ApplyAsync<CopyKey, bool>(new("list", 5, "copied"));
        await ApplyAsync<MoveKey, bool>(new("copied", 6, "moved"), database: 5);
        await ApplyAsync<RestoreKey, bool>(new("restored", ValueRecord.Write(new StringValue("v"u8.ToArray()), 100), null));
        await ApplyAsync<SetString, bool>(new("cleared", default, null), database: 9);
        await ApplyAsync<ClearKeys, long>(new(EveryDatabase: false), database: 9);
        await ApplyAsync<SetString, bool>(new("deleted", default, null));
        await ApplyAsync<DeleteKeys, long>(new(["deleted"]));
        await ApplyAsync<SwapDatabases, bool>(new(6, 7));
    }

    private async Task CommitsAsync()
    {
        await CommitAsync(
            new CommitChange.Append("orders", Fields),
            new CommitChange.PutState(new("orders", "kept"), new byte[] { 1, 2 }),
            new CommitChange.PutState(new("orders", "short"), new byte[] { 3 }, TimeSpan.FromSeconds(5)),
            new CommitChange.Schedule("orders", Fields, TimeSpan.FromSeconds(5)),
            new CommitChange.Schedule("orders", Fields, TimeSpan.FromDays(3650)));

        // The clock ticks by itself when something is due.
        time.Move(TimeSpan.FromSeconds(6));
        Kinds.Add(MutationKind.TickSome);
        Applied();

        var read = await ApplyAsync<ReadGroup, DeliveredRange>(new("orders", "late", "worker", 3));
        Assert.Equal(3, read.Count);
        var ids = PendingOf("late", "worker");
        await CommitAsync(
            new CommitChange.Ack("orders", "late", ids[^1]),
            new CommitChange.AckAndDelete("orders", "late", ids[^2]),
            new CommitChange.DeleteConsumer("orders", "late", "worker"),
            new CommitChange.Release("orders", "late", new(ids[^3], 1)),
            new CommitChange.DeleteState(new("orders", "kept")),
            new CommitChange.PutState(new("orders", "doc"), new byte[] { 4, 5, 6 }));
        await ApplyAsync<CreateGroup, bool>(new("orders", "abandoned", GroupStart.Beginning));
        await CommitAsync(new CommitChange.DestroyGroup("orders", "abandoned"));
    }

    private async Task TransactionAsync()
    {
        await store.WhenTurnPossibleAsync(TestContext.Current.CancellationToken);
        await store.WhenDurableAsync(Turn());
        Kinds.Add(MutationKind.Group);
        Applied();

        long Turn()
        {
            var nowMs = store.BeginTurn();
            try
            {
                var before = store.LastLsnNeedsLock;
                store.BeginTransactionNeedsLock();
                store.ApplyNeedsLock<Append, EntryId>(new("orders", Fields), nowMs);
                store.ApplyNeedsLock<Delete, long>(new("orders", [EntryId.Max]), nowMs);
                store.ApplyNeedsLock<Append, EntryId>(new("orders", Fields), nowMs);
                store.EndTransactionNeedsLock();
                Assert.Equal(before + 1, store.LastLsnNeedsLock);
                store.LeaveTurnNeedsLock(nowMs);
                return store.LastLsnNeedsLock;
            }
            finally
            {
                store.ExitTurn();
            }
        }
    }

    private async Task CommitAsync(params CommitChange[] changes)
    {
        var result = await ApplyAsync<ApplyCommit, CommitResult>(new(new() { Changes = changes }));
        Assert.True(result.IsApplied);
    }

    private EntryId[] PendingOf(string group, string consumer)
    {
        var ids = new List<EntryId>();
        foreach (var (id, pending) in store.EngineNeedsLock.FindGroup("orders", group, out _)!.Pending)
        {
            if (pending.Owner?.Name == consumer)
                ids.Add(id);
        }

        return [.. ids];
    }
}
