using Millrace.Streams;

namespace Millrace.Tests.Conformance;

/// <summary>
/// The contract of <see cref="IStreamStore"/> as tests, one file per verb. Every store has one small class that inherits them all; a store
/// that passes is a store. Where a test and the documentation of the contract disagree, one of them is a bug.
/// </summary>
public abstract partial class StoreConformance : IAsyncLifetime
{
    /// <summary>How long a wait may take before the test fails. Reached only by failures.</summary>
    protected static readonly TimeSpan Patience = TimeSpan.FromSeconds(30);

    /// <summary>A short real wait, for what only the store's clock can bring about. Above the timer resolution of every system.</summary>
    protected static readonly TimeSpan Moment = TimeSpan.FromMilliseconds(50);

    // One tag for all streams of a test, so that its commits would stay in one slot of a cluster.
    private readonly string _tag = Guid.NewGuid().ToString("N")[..12];
    private readonly List<string> _streams = [];
    private readonly List<StateKey> _states = [];

    /// <summary>The store under test, opened; each test has its own.</summary>
    protected IStreamStore Store { get; private set; } = null!;

    public async ValueTask InitializeAsync()
    {
        Store = await CreateStoreAsync();
        await Store.OpenAsync();
    }

    public virtual async ValueTask DisposeAsync()
    {
        await Store.DisposeAsync();
        GC.SuppressFinalize(this);
    }

    /// <summary>Makes the store, over what this test has stored so far.</summary>
    protected abstract ValueTask<IStreamStore> CreateStoreAsync();

    /// <summary>Completes when this many reads wait in the store. By default a read waits as soon as the call has returned.</summary>
    protected virtual Task UntilBlockedAsync(int readers) => Task.CompletedTask;

    /// <summary>Closes the store and opens it again, where its streams outlive the object.</summary>
    protected virtual ValueTask ReopenAsync() => ValueTask.CompletedTask;

    /// <summary>For the implementation of <see cref="ReopenAsync"/>.</summary>
    protected async ValueTask CloseAndOpenAsync()
    {
        await Store.DisposeAsync();
        await InitializeAsync();
    }

    /// <summary>A stream no other test uses. It does not exist yet, but snapshots show it.</summary>
    private string NewStream()
    {
        var stream = $"{{{_tag}}}:s{_streams.Count}";
        _streams.Add(stream);
        return stream;
    }

    /// <summary>A state document no other test uses. It does not exist yet, but snapshots show it.</summary>
    private StateKey NewState()
    {
        var key = new StateKey($"{{{_tag}}}:s", $"d{_states.Count}");
        _states.Add(key);
        return key;
    }

    private static EntryFields Fields(string value) => EntryFields.Create(("v", value));

    private static HeldEntry Held(DeliveredEntry entry) => new(entry.Id, entry.DeliveryCount);

    private static string ValueOf(StreamEntry entry) => entry.Fields.GetText("v"u8)!;

    private static string ValueOf(DeliveredEntry entry) => entry.Fields.GetText("v"u8)!;

    private async Task<EntryId> AppendAsync(string stream, string value = "x") => await Store.AppendAsync(stream, Fields(value));

    /// <summary>Appends entries with the values 0, 1, 2 and so on.</summary>
    private async Task<IReadOnlyList<EntryId>> AppendAsync(string stream, int count) =>
        await Store.AppendManyAsync(stream, [.. Enumerable.Range(0, count).Select(i => Fields($"{i}"))]);

    /// <summary>A stream with entries, and the group <c>g</c> at its beginning.</summary>
    private async Task<(string Stream, IReadOnlyList<EntryId> Ids)> NewGroupAsync(int entries)
    {
        var stream = NewStream();
        await Store.CreateGroupAsync(stream, "g", GroupStart.Beginning);
        return (stream, await AppendAsync(stream, entries));
    }

    /// <summary>A stream whose entries are pending for the consumer <c>c1</c> of the group <c>g</c>.</summary>
    private async Task<(string Stream, IReadOnlyList<DeliveredEntry> Entries)> NewPendingAsync(int entries)
    {
        var (stream, _) = await NewGroupAsync(entries);
        return (stream, await DeliverAsync(stream, "c1", count: entries));
    }

    /// <summary>Reads new entries of one stream for a group.</summary>
    private async Task<IReadOnlyList<DeliveredEntry>> DeliverAsync(
        string stream,
        string consumer,
        string group = "g",
        int count = 100,
        TimeSpan block = default,
        CancellationToken cancellationToken = default)
    {
        var read = new GroupRead { Group = group, Consumer = consumer, Streams = [stream], Count = count, Block = block };
        var batches = await Store.ReadGroupAsync(read, cancellationToken);
        return batches.Count == 0 ? [] : Assert.Single(batches).Entries;
    }

    private async Task<IReadOnlyList<DeliveredEntry>> ClaimAsync(string stream, string consumer, params IEnumerable<EntryId> ids) =>
        (await Store.ClaimAsync(stream, "g", new() { Consumer = consumer, Ids = [.. ids], MinIdleTime = TimeSpan.Zero })).Entries;

    private async Task<IReadOnlyList<StreamEntry>> RangeAsync(string stream) =>
        await Store.RangeAsync(stream, new() { Count = StreamLimits.MaxBatch });

    private async Task<string[]> ValuesAsync(string stream) => [.. (await RangeAsync(stream)).Select(ValueOf)];

    private async Task<IReadOnlyList<PendingEntry>> PendingAsync(string stream, string group = "g") =>
        await Store.PendingAsync(stream, group, new() { Count = StreamLimits.MaxBatch });

    private async Task<GroupInfo> GroupAsync(string stream, string group = "g") =>
        Assert.Single(await Store.GetGroupsAsync(stream), info => info.Name == group);

    /// <summary>Stores a document in a commit of its own.</summary>
    private async Task PutAsync(StateKey key, string payload = "x", TimeSpan? timeToLive = null) =>
        Assert.True((await Store.CommitAsync(Change(new CommitChange.PutState(key, Utf8(payload), timeToLive)))).IsApplied);

    private static Commit Change(params IReadOnlyList<CommitChange> changes) => new() { Changes = changes };

    private static byte[] Utf8(string text) => System.Text.Encoding.UTF8.GetBytes(text);

    /// <summary>Lets time pass by the store's clock: a blocked read of a stream that stays empty.</summary>
    private async Task PassAsync(TimeSpan time) => Assert.Empty(await Store.ReadAsync([new(NewStream(), EntryId.Zero)], 1, time));

    private static async Task FailsAsync(StreamErrorCode code, Func<Task> call) =>
        Assert.Equal(code, (await Assert.ThrowsAsync<StreamException>(call)).Code);
}
