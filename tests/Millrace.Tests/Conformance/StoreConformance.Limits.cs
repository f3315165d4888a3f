using Millrace.Streams;

namespace Millrace.Tests.Conformance;

/// <summary>What is outside <see cref="StreamLimits"/> is an argument error on every store, before anything is sent.</summary>
public abstract partial class StoreConformance
{
    private static readonly string TooLong = new('n', StreamLimits.MaxNameBytes + 1);

    // 1,026 bytes in fewer characters than the limit has bytes.
    private static readonly string TooManyBytes = new('€', StreamLimits.MaxNameBytes / 3 + 1);

    // Half of a character outside the basic plane: no UTF-8 has it, so it would come back as another name.
    private const string HalfAPair = "n\uD83D";

    [Theory]
    [MemberData(nameof(AllMembers))]
    public async Task Limit_of_a_stream_name(string member)
    {
        foreach (var name in (string[])["", null!, TooLong, TooManyBytes, HalfAPair])
            await RefusesAsync(() => StoreMember.All[member](Store, name, default));
    }

    [Fact]
    public async Task Limit_of_names_of_groups_consumers_and_documents()
    {
        var (stream, entries) = await NewPendingAsync(1);
        var held = Held(entries[0]);
        var id = held.Id;
        foreach (var name in (string[])["", null!, TooLong, TooManyBytes, HalfAPair])
        {
            await RefusesAsync(() => Store.ReadGroupAsync(new() { Group = name, Consumer = "c1", Streams = [stream] }).AsTask());
            await RefusesAsync(() => Store.ReadGroupAsync(new() { Group = "g", Consumer = name, Streams = [stream] }).AsTask());
            await RefusesAsync(() => Store.AckAsync(stream, name, [id]).AsTask());
            await RefusesAsync(() => Store.AckAndDeleteAsync(stream, name, [id]).AsTask());
            await RefusesAsync(() => Store.ExtendAsync(stream, name, "c1", [held]).AsTask());
            await RefusesAsync(() => Store.ExtendAsync(stream, "g", name, [held]).AsTask());
            await RefusesAsync(() => Store.ClaimAsync(stream, name, new() { Consumer = "c2", Ids = [id], MinIdleTime = default }).AsTask());
            await RefusesAsync(() => Store.ClaimAsync(stream, "g", new() { Consumer = name, Ids = [id], MinIdleTime = default }).AsTask());
            await RefusesAsync(() => Store.PendingAsync(stream, name, new()).AsTask());
            await RefusesAsync(() => Store.PendingSummaryAsync(stream, name).AsTask());
            await RefusesAsync(() => Store.CreateGroupAsync(stream, name, default).AsTask());
            await RefusesAsync(() => Store.SetGroupAsync(stream, name, default).AsTask());
            await RefusesAsync(() => Store.DestroyGroupAsync(stream, name).AsTask());
            await RefusesAsync(() => Store.CreateConsumerAsync(stream, name, "c2").AsTask());
            await RefusesAsync(() => Store.CreateConsumerAsync(stream, "g", name).AsTask());
            await RefusesAsync(() => Store.DeleteConsumerAsync(stream, name, "c1").AsTask());
            await RefusesAsync(() => Store.DeleteConsumerAsync(stream, "g", name).AsTask());
            await RefusesAsync(() => Store.GetConsumersAsync(stream, name).AsTask());
            await RefusesAsync(() => Store.GetStatesAsync([new(stream, name)]).AsTask());
        }

        Assert.Single(await PendingAsync(stream));
    }

    [Fact]
    public async Task Limit_of_names_allows_the_longest()
    {
        var stream = $"{{{_tag}}}".PadRight(StreamLimits.MaxNameBytes, 's');
        string group = TooLong[1..], consumer = TooLong[1..];
        await Store.CreateGroupAsync(stream, group, GroupStart.Beginning);
        await AppendAsync(stream, "found");

        Assert.Equal("found", ValueOf(Assert.Single(await DeliverAsync(stream, consumer, group))));
        Assert.Equal(consumer, Assert.Single(await PendingAsync(stream, group)).Consumer);
        await Store.DeleteStreamAsync(stream);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(StreamLimits.MaxBatch + 1)]
    public async Task Limit_of_a_count(int count)
    {
        var (stream, _) = await NewGroupAsync(1);

        await RefusesAsync(() => Store.RangeAsync(stream, new() { Count = count }).AsTask());
        await RefusesAsync(() => Store.ReadAsync([new(stream, default)], count, default).AsTask());
        await RefusesAsync(() => DeliverAsync(stream, "c1", count: count));
        await RefusesAsync(() => Store.PendingAsync(stream, "g", new() { Count = count }).AsTask());

        Assert.Empty(await PendingAsync(stream));
    }

    [Fact]
    public async Task Limit_of_a_batch()
    {
        var (stream, entries) = await NewPendingAsync(1);
        EntryId[] ids = [.. Enumerable.Repeat(entries[0].Id, StreamLimits.MaxBatch + 1)];
        EntryFields[] fields = [.. Enumerable.Repeat(Fields("x"), StreamLimits.MaxBatch + 1)];
        HeldEntry[] held = [.. Enumerable.Repeat(Held(entries[0]), StreamLimits.MaxBatch + 1)];
        StreamPosition[] positions = [.. Enumerable.Repeat(new StreamPosition(stream, default), StreamLimits.MaxStreamsPerRead + 1)];
        string[] streams = [.. positions.Select(position => position.Stream)];
        StateKey[] keys = [.. Enumerable.Repeat(NewState(), StreamLimits.MaxBatch + 1)];
        Commit[] commits = [.. Enumerable.Repeat(Change(new CommitChange.Append(stream, Fields("x"))), StreamLimits.MaxBatch + 1)];
        var before = await SnapshotAsync();

        await RefusesAsync(() => Store.AppendManyAsync(stream, fields).AsTask());
        await RefusesAsync(() => Store.ReadAsync(positions, 1, default).AsTask());
        await RefusesAsync(() => Store.ReadGroupAsync(new() { Group = "g", Consumer = "c1", Streams = streams }).AsTask());
        await RefusesAsync(() => Store.AckAsync(stream, "g", ids).AsTask());
        await RefusesAsync(() => Store.AckAndDeleteAsync(stream, "g", ids).AsTask());
        await RefusesAsync(() => Store.ExtendAsync(stream, "g", "c1", held).AsTask());
        await RefusesAsync(() => Store.ClaimAsync(stream, "g", new() { Consumer = "c2", Ids = ids, MinIdleTime = default }).AsTask());
        await RefusesAsync(() => Store.DeleteAsync(stream, ids).AsTask());
        await RefusesAsync(() => Store.GetStatesAsync(keys).AsTask());
        await RefusesAsync(() => Store.CommitAsync(commits).AsTask());

        Assert.Equal(before, await SnapshotAsync());
    }

    [Fact]
    public async Task Limit_of_a_list_that_is_missing()
    {
        var (stream, _) = await NewPendingAsync(1);

        await RefusesAsync(() => Store.AppendManyAsync(stream, null!).AsTask());
        await RefusesAsync(() => Store.RangeAsync(stream, null!).AsTask());
        await RefusesAsync(() => Store.ReadAsync(null!, 1, default).AsTask());
        await RefusesAsync(() => Store.ReadGroupAsync(null!).AsTask());
        await RefusesAsync(() => Store.AckAsync(stream, "g", null!).AsTask());
        await RefusesAsync(() => Store.AckAndDeleteAsync(stream, "g", null!).AsTask());
        await RefusesAsync(() => Store.ExtendAsync(stream, "g", "c1", null!).AsTask());
        await RefusesAsync(() => Store.ClaimAsync(stream, "g", null!).AsTask());
        await RefusesAsync(() => Store.PendingAsync(stream, "g", null!).AsTask());
        await RefusesAsync(() => Store.DeleteAsync(stream, null!).AsTask());
        await RefusesAsync(() => Store.TrimAsync(stream, null!).AsTask());
        await RefusesAsync(() => Store.GetStatesAsync(null!).AsTask());
        await RefusesAsync(() => Store.CommitAsync((IReadOnlyList<Commit>)null!).AsTask());
        await RefusesAsync(() => Store.CommitAsync([null!]).AsTask());
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(3651L * 24 * 60 * 60 * 1000)]
    public async Task Limit_of_a_duration(long milliseconds)
    {
        var duration = TimeSpan.FromMilliseconds(milliseconds);
        var (stream, entries) = await NewPendingAsync(1);
        var held = Held(entries[0]);
        var claim = new ClaimRequest { Consumer = "c2", Ids = [held.Id], MinIdleTime = duration };
        var before = await SnapshotAsync();

        await RefusesAsync(() => Store.ReadAsync([new(stream, default)], 1, duration).AsTask());
        await RefusesAsync(() => DeliverAsync(stream, "c1", block: duration));
        await RefusesAsync(() => Store.PendingAsync(stream, "g", new() { MinIdleTime = duration }).AsTask());
        await RefusesAsync(() => Store.ClaimAsync(stream, "g", claim).AsTask());
        await RefusesAsync(() => Store.ReleaseAsync(stream, "g", "c1", [held], duration).AsTask());
        await RefusesAsync(() => Store.CommitAsync(Change(new CommitChange.Schedule(stream, Fields("x"), duration))).AsTask());
        await RefusesAsync(() => PutAsync(NewState(), "x", duration));

        Assert.Equal(before, await SnapshotAsync());
    }

    [Fact]
    public async Task Limit_of_an_entry()
    {
        var stream = NewStream();
        var tooLarge = new EntryFieldsWriter().Add("v"u8, new byte[StreamLimits.MaxEntryBytes]).ToFields();
        foreach (var fields in (EntryFields[])[EntryFields.Empty, ManyFields(StreamLimits.MaxFields + 1), tooLarge])
        {
            await RefusesAsync(() => Store.AppendAsync(stream, fields).AsTask());
            await RefusesAsync(() => Store.AppendManyAsync(stream, [Fields("fine"), fields]).AsTask());
            await RefusesAsync(() => Store.CommitAsync(Change(new CommitChange.Append(stream, fields))).AsTask());
            await RefusesAsync(() => Store.CommitAsync(Change(new CommitChange.Schedule(stream, fields, default))).AsTask());
        }

        Assert.Null(await Store.GetStreamInfoAsync(stream));
    }

    [Fact]
    public async Task Limit_of_a_commit()
    {
        var stream = NewStream();
        var key = NewState();
        var append = new CommitChange.Append(stream, Fields("x"));
        CommitChange[] tooMany = [.. Enumerable.Repeat(append, StreamLimits.MaxCommitChanges + 1)];
        CommitCondition[] tooManyConditions = [.. Enumerable.Repeat(CommitCondition.NoStream(stream), StreamLimits.MaxCommitChanges + 1)];
        Commit[] refused =
        [
            Change(),
            Change(tooMany),
            new() { Conditions = tooManyConditions, Changes = [append] },
            Change(append, new CommitChange.PutState(key, new byte[StreamLimits.MaxEntryBytes + 1])),
            Change(append, new CommitChange.PutState(key, Utf8("x"), TimeSpan.Zero)),
            Change(append, new CommitChange.PutState(new(stream, TooLong), Utf8("x"))),
            Change(append, new CommitChange.PutState(new("stray{brace", "x"), Utf8("x"))),
            Change(append, new CommitChange.DeleteState(new("stray}brace", "x"))),
            new() { Conditions = [CommitCondition.StateAbsent(new("stray{brace", "x"))], Changes = [append] },
            Change(append, new CommitChange.Ack(stream, "", new(1, 1))),
            Change(append, new CommitChange.Release("stray{brace", "g", new(new(1, 1), 1))),
            new() { Conditions = [CommitCondition.StillHeld(stream, "g", TooLong, new(new(1, 1), 1))], Changes = [append] },
        ];

        foreach (var commit in refused)
        {
            await RefusesAsync(() => Store.CommitAsync(commit).AsTask());
            await RefusesAsync(() => Store.CommitAsync([Change(append), commit]).AsTask());
        }

        Assert.Null(await Store.GetStreamInfoAsync(stream));
    }

    private static async Task RefusesAsync(Func<Task> call) => await Assert.ThrowsAnyAsync<ArgumentException>(call);
}
