using System.Text;
using Millrace.Streams;

namespace Millrace.Tests.Conformance;

public abstract partial class StoreConformance
{
    [Fact]
    public async Task Condition_LastIdIs()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 2);

        await HoldsAsync(CommitCondition.LastIdIs(stream, ids[1]));
        await ConflictsAsync(CommitCondition.LastIdIs(stream, ids[0]));
        await ConflictsAsync(CommitCondition.LastIdIs(stream, EntryId.Zero));
        await ConflictsAsync(CommitCondition.LastIdIs(NewStream(), ids[0]));
        await ConflictsAsync(CommitCondition.LastIdIs(NewStream(), EntryId.Zero));
    }

    [Fact]
    public async Task Condition_LastIdIs_counts_entries_that_are_no_longer_there()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 2);
        await Store.DeleteAsync(stream, ids);

        await HoldsAsync(CommitCondition.LastIdIs(stream, ids[1]));
        await ConflictsAsync(CommitCondition.LastIdIs(stream, EntryId.Zero));
    }

    [Fact]
    public async Task Condition_LastIdIs_zero_holds_for_a_stream_that_never_had_an_entry()
    {
        var (stream, _) = await NewGroupAsync(0);

        await HoldsAsync(CommitCondition.LastIdIs(stream, EntryId.Zero));
    }

    [Fact]
    public async Task Condition_NoStream()
    {
        string missing = NewStream(), emptied = NewStream();
        var (made, _) = await NewGroupAsync(0);
        var ids = await AppendAsync(emptied, 1);
        await Store.DeleteAsync(emptied, ids);

        await HoldsAsync(CommitCondition.NoStream(missing));
        await ConflictsAsync(CommitCondition.NoStream(emptied));
        await ConflictsAsync(CommitCondition.NoStream(made));

        await Store.DeleteStreamAsync(emptied);
        await HoldsAsync(CommitCondition.NoStream(emptied));
    }

    [Fact]
    public async Task Condition_StateIs()
    {
        var key = NewState();
        await PutAsync(key, "old");
        var old = (await Store.GetStateAsync(key))!.Version;
        await PutAsync(key, "new");
        var current = (await Store.GetStateAsync(key))!.Version;

        await HoldsAsync(CommitCondition.StateIs(key, current));
        await ConflictsAsync(CommitCondition.StateIs(key, old));
        await ConflictsAsync(CommitCondition.StateIs(key, current + 1));
        await ConflictsAsync(CommitCondition.StateIs(NewState(), current));
    }

    [Fact]
    public async Task Condition_StateAbsent()
    {
        StateKey key = NewState(), missing = NewState(), deleted = NewState();
        await PutAsync(key);
        await PutAsync(deleted);
        await Store.CommitAsync(Change(new CommitChange.DeleteState(deleted)));

        await ConflictsAsync(CommitCondition.StateAbsent(key));
        await HoldsAsync(CommitCondition.StateAbsent(missing));
        await HoldsAsync(CommitCondition.StateAbsent(deleted));
    }

    [Fact]
    public async Task Condition_on_a_state_whose_time_to_live_is_over_sees_none()
    {
        var key = NewState();
        await PutAsync(key, "short-lived", TimeSpan.FromHours(1));
        var version = (await Store.GetStateAsync(key))!.Version;
        await HoldsAsync(CommitCondition.StateIs(key, version));

        // Long enough to be read before it is over, on a machine that is busy with other tests.
        await PutAsync(key, "short-lived", 10 * Moment);
        version = (await Store.GetStateAsync(key))!.Version;

        await PassAsync(11 * Moment);

        await ConflictsAsync(CommitCondition.StateIs(key, version));
        await HoldsAsync(CommitCondition.StateAbsent(key));
    }

    [Fact]
    public async Task Condition_StillHeld()
    {
        var (stream, entries) = await NewPendingAsync(3);
        var claimed = Assert.Single(await ClaimAsync(stream, "c2", entries[1].Id));
        await Store.AckAsync(stream, "g", [entries[2].Id]);

        await HoldsAsync(CommitCondition.StillHeld(stream, "g", "c1", Held(entries[0])));
        await HoldsAsync(CommitCondition.StillHeld(stream, "g", "c2", Held(claimed)));
        await ConflictsAsync(CommitCondition.StillHeld(stream, "g", "c2", Held(entries[0])));
        await ConflictsAsync(CommitCondition.StillHeld(stream, "g", "c1", Held(entries[0]) with { DeliveryCount = 2 }));
        await ConflictsAsync(CommitCondition.StillHeld(stream, "g", "c1", Held(entries[1])));
        await ConflictsAsync(CommitCondition.StillHeld(stream, "g", "c1", Held(claimed)));
        await ConflictsAsync(CommitCondition.StillHeld(stream, "g", "c1", Held(entries[2])));
        await ConflictsAsync(CommitCondition.StillHeld(stream, "g", "nobody", Held(entries[0])));
        await ConflictsAsync(CommitCondition.StillHeld(stream, "no group", "c1", Held(entries[0])));
        await ConflictsAsync(CommitCondition.StillHeld(NewStream(), "g", "c1", Held(entries[0])));
    }

    [Fact]
    public async Task Condition_StillHeld_holds_after_an_extend_and_for_an_entry_that_was_deleted()
    {
        var (stream, entries) = await NewPendingAsync(1);
        var held = CommitCondition.StillHeld(stream, "g", "c1", Held(entries[0]));

        await Store.ExtendAsync(stream, "g", "c1", [Held(entries[0])]);
        await HoldsAsync(held);
        await Store.DeleteAsync(stream, [entries[0].Id]);
        await HoldsAsync(held);
    }

    [Fact]
    public async Task Condition_StillHeld_in_scattered_commits_of_one_list()
    {
        var (stream, entries) = await NewPendingAsync(600);
        var others = await ClaimAsync(stream, "c2", entries.Where((_, i) => i % 2 == 0).Select(entry => entry.Id));
        DeliveredEntry[] mine = [entries[599], entries[1], entries[301]];

        var results = await Store.CommitAsync([.. mine.Append(others[150]).Select(entry => new Commit
        {
            Conditions = [CommitCondition.StillHeld(stream, "g", "c1", Held(entry))],
            Changes = [new CommitChange.Ack(stream, "g", entry.Id)],
        })]);

        Assert.Equal([true, true, true, false], results.Select(result => result.IsApplied));
        Assert.Equal(597, (await GroupAsync(stream)).PendingCount);
    }

    /// <summary>What handlers leave, many of them in one list, in the usual shape and in others.</summary>
    [Fact]
    public async Task Settlements_of_one_list_are_applied_or_refused_each_by_itself()
    {
        var (stream, entries) = await NewPendingAsync(12);
        string output = $"{stream}:out";
        StateKey one = new(stream, "one"), two = new(stream, "two"), broken = new(stream, "broken");
        await Store.AppendAsync(StreamNames.State(broken), EntryFields.Create(("v", "x")));
        CommitChange Output(string value) => new CommitChange.Append(output, EntryFields.Create(("v", value)));
        CommitChange Put(StateKey key, string value, TimeSpan? timeToLive = null) => new CommitChange.PutState(key, Utf8(value), timeToLive);
        Commit Settle(int held, int acked, params CommitChange[] effects) => new()
        {
            Conditions = [CommitCondition.StillHeld(stream, "g", "c1", Held(entries[held]))],
            Changes = [.. effects, new CommitChange.Ack(stream, "g", entries[acked].Id)],
        };
        var lost = Settle(3, 3, Output("lost"), Put(one, "lost")) with
        {
            Conditions = [CommitCondition.StillHeld(stream, "g", "c1", new(entries[3].Id, entries[3].DeliveryCount + 1))],
        };

        var results = await Store.CommitAsync(
        [
            Settle(0, 0, Output("0"), Put(one, "0"), Put(two, "0")),
            Settle(1, 1, Output("1"), Put(one, "1"), Put(two, "1")),
            Settle(2, 2, Put(two, "2"), Output("2")),
            lost,
            Settle(4, 4, Output("4"), Output("5")),
            Settle(5, 5, Output("refused"), Put(broken, "refused")),
            Settle(6, 6, Put(one, "6"), new CommitChange.DeleteState(two)),
            Settle(7, 7, Put(one, "7", TimeSpan.FromMinutes(1))),
            Settle(8, 9, Output("8")),
            Settle(0, 0, Output("settled before")),
            Settle(10, 10, Put(one, "a"), Put(one, "b")),
            Settle(11, 11),
        ]);

        Assert.Equal([true, true, true, false, true, false, true, true, true, false, true, true], results.Select(result => result.IsApplied));
        Assert.Equal([3, 9], results.Index().Where(result => result.Item.Conflict is CommitCondition.Held).Select(result => result.Index));
        Assert.Equal(StreamErrorCode.WrongType, results[5].Failure?.Code);
        var appended = await Store.RangeAsync(output, new());
        Assert.Equal(["0", "1", "2", "4", "5", "8"], appended.Select(entry => entry.Fields.GetText("v"u8)));
        Assert.Equal(appended.Select(entry => entry.Id), results.SelectMany(result => result.Ids));
        Assert.Equal("b", Encoding.UTF8.GetString((await Store.GetStateAsync(one))!.Payload.Span));
        Assert.Null(await Store.GetStateAsync(two));
        Assert.Equal(
            [entries[3].Id, entries[5].Id, entries[8].Id], (await Store.PendingAsync(stream, "g", new())).Select(pending => pending.Id));
    }

    [Fact]
    public async Task Condition_EntryExists()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 2);
        await Store.DeleteAsync(stream, [ids[1]]);

        await HoldsAsync(CommitCondition.EntryExists(stream, ids[0]));
        await ConflictsAsync(CommitCondition.EntryExists(stream, ids[1]));
        await ConflictsAsync(CommitCondition.EntryExists(NewStream(), ids[0]));
    }

    [Fact]
    public async Task Condition_EntryExists_lets_one_of_several_commits_delete_the_entry()
    {
        string stream = NewStream(), moved = NewStream();
        var ids = await AppendAsync(stream, 3);
        var move = new Commit
        {
            Conditions = [CommitCondition.EntryExists(stream, ids[1])],
            Changes = [new CommitChange.Append(moved, Fields("x")), new CommitChange.Delete(stream, ids[1])],
        };

        var results = await Store.CommitAsync([move, move]);
        var later = await Store.CommitAsync(move);

        Assert.Equal([true, false, false], results.Append(later).Select(result => result.IsApplied));
        Assert.Equal([ids[0], ids[2]], (await Store.RangeAsync(stream, new())).Select(entry => entry.Id));
        Assert.Single(await Store.RangeAsync(moved, new()));
    }

    [Fact]
    public async Task Condition_EntryUnread_holds_until_the_first_group_was_given_the_entry()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 3);
        await HoldsAsync(CommitCondition.EntryUnread(stream, ids[0]));
        await Store.CreateGroupAsync(stream, "g", GroupStart.Beginning);
        await Store.CreateGroupAsync(stream, "slow", GroupStart.Beginning);
        await HoldsAsync(CommitCondition.EntryUnread(stream, ids[0]));

        var batch = Assert.Single(await Store.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = [stream], Count = 2 }));

        await ConflictsAsync(CommitCondition.EntryUnread(stream, ids[0]));
        await ConflictsAsync(CommitCondition.EntryUnread(stream, ids[1]));
        await HoldsAsync(CommitCondition.EntryUnread(stream, ids[2]));
        await Store.AckAsync(stream, "g", [.. batch.Entries.Select(entry => entry.Id)]);
        await ConflictsAsync(CommitCondition.EntryUnread(stream, ids[1]));
        await Store.DeleteAsync(stream, [ids[2]]);
        await ConflictsAsync(CommitCondition.EntryUnread(stream, ids[2]));
        await ConflictsAsync(CommitCondition.EntryUnread(NewStream(), ids[0]));
    }

    [Fact]
    public async Task Change_Delete_of_an_entry_that_is_not_there_changes_nothing()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 1);

        var results = await Store.CommitAsync(
            [new() { Changes = [new CommitChange.Delete(stream, EntryId.Max)] }, new() { Changes = [new CommitChange.Delete(NewStream(), ids[0])] }]);

        Assert.All(results, result => Assert.True(result.IsApplied));
        Assert.Single(await Store.RangeAsync(stream, new()));
    }

    [Fact]
    public async Task Condition_that_fails_first_is_the_conflict()
    {
        var stream = NewStream();
        var last = await AppendAsync(stream);
        var key = NewState();
        var first = CommitCondition.StateIs(key, 7);

        var result = await Store.CommitAsync(new Commit
        {
            Conditions = [CommitCondition.LastIdIs(stream, last), first, CommitCondition.NoStream(stream)],
            Changes = [new CommitChange.DeleteState(key)],
        });

        Assert.Equal(first, result.Conflict);
    }

    [Theory]
    [InlineData("last ID")]
    [InlineData("no stream")]
    [InlineData("held")]
    [InlineData("entry")]
    [InlineData("unread")]
    [InlineData("state")]
    [InlineData("state absent")]
    public async Task Condition_on_the_wrong_type_is_refused(string kind)
    {
        StateKey document = NewState(), broken = NewState();
        await PutAsync(document);
        await AppendAsync(StreamNames.State(broken));
        var stream = StreamNames.State(document);
        var condition = kind switch
        {
            "last ID" => CommitCondition.LastIdIs(stream, EntryId.Zero),
            "no stream" => CommitCondition.NoStream(stream),
            "held" => CommitCondition.StillHeld(stream, "g", "c1", new(EntryId.Max, 1)),
            "entry" => CommitCondition.EntryExists(stream, EntryId.Max),
            "unread" => CommitCondition.EntryUnread(stream, EntryId.Max),
            "state" => CommitCondition.StateIs(broken, 1),
            _ => CommitCondition.StateAbsent(broken),
        };
        var output = NewStream();

        var result = Assert.Single(await Store.CommitAsync(
            [new() { Conditions = [condition], Changes = [new CommitChange.Append(output, Fields("x"))] }]));

        Assert.Equal(StreamErrorCode.WrongType, result.Failure?.Code);
        Assert.Null(await Store.GetStreamInfoAsync(output));
    }

    private async Task HoldsAsync(CommitCondition condition)
    {
        var probe = NewState();
        var result = await Store.CommitAsync(
            new Commit { Conditions = [condition], Changes = [new CommitChange.PutState(probe, Utf8("x"))] });
        Assert.True(result.IsApplied, $"{condition} did not hold.");
        Assert.NotNull(await Store.GetStateAsync(probe));
    }

    private async Task ConflictsAsync(CommitCondition condition)
    {
        var probe = NewState();
        var result = await Store.CommitAsync(
            new Commit { Conditions = [condition], Changes = [new CommitChange.PutState(probe, Utf8("x"))] });
        Assert.False(result.IsApplied, $"{condition} held.");
        Assert.Equal(condition, result.Conflict);
        Assert.Empty(result.Ids);
        Assert.Null(await Store.GetStateAsync(probe));
    }
}
