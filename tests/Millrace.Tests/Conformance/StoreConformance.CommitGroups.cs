using Millrace.Streams;

namespace Millrace.Tests.Conformance;

/// <summary>Destroying a group in a commit takes all that is its own, and nothing when the group has moved.</summary>
public abstract partial class StoreConformance
{
    [Fact]
    public async Task Change_DestroyGroup_takes_private_stream_schedule_and_notes_along_and_leaves_other_groups_alone()
    {
        var (stream, entries) = await NewPendingAsync(3);
        await Store.CreateGroupAsync(stream, "other", GroupStart.Beginning);
        await Store.CommitAsync(Change(
            new CommitChange.Release(stream, "g", Held(entries[0])),
            new CommitChange.Release(stream, "g", Held(entries[1]), TimeSpan.FromHours(1)),
            new CommitChange.Append(StreamNames.Order(stream, "g"), Fields("note")),
            new CommitChange.Append(StreamNames.Again(stream, "other"), Fields("theirs")),
            new CommitChange.Schedule(StreamNames.Again(stream, "other"), Fields("theirs"), TimeSpan.FromHours(1))));

        var result = await Store.CommitAsync(Change(new CommitChange.DestroyGroup(stream, "g")));
        await ReopenAsync();

        Assert.True(result.IsApplied);
        Assert.Equal("other", Assert.Single(await Store.GetGroupsAsync(stream)).Name);
        Assert.Equal(3, (await RangeAsync(stream)).Count);
        Assert.Null(await Store.GetStreamInfoAsync(StreamNames.Again(stream, "g")));
        Assert.Null(await Store.GetStreamInfoAsync(StreamNames.Order(stream, "g")));
        Assert.Equal(0, (await Store.GetScheduleAsync(StreamNames.Again(stream, "g"))).Count);
        Assert.Single(await RangeAsync(StreamNames.Again(stream, "other")));
        Assert.Equal(1, (await Store.GetScheduleAsync(StreamNames.Again(stream, "other"))).Count);
    }

    [Fact]
    public async Task Change_DestroyGroup_between_others_of_a_list_is_seen_by_those_behind_it()
    {
        var (stream, entries) = await NewPendingAsync(6);
        Commit Settle(int i) => new()
        {
            Conditions = [CommitCondition.StillHeld(stream, "g", "c1", Held(entries[i]))],
            Changes = [new CommitChange.Ack(stream, "g", entries[i].Id)],
        };

        var info = Assert.Single(await Store.GetGroupsAsync(stream));
        var destroy = new Commit
        {
            Conditions = [CommitCondition.GroupIs(stream, info with { PendingCount = 4 })],
            Changes = [new CommitChange.DestroyGroup(stream, "g"), new CommitChange.DeleteConsumer(stream, "g", "c1")],
        };

        var results = await Store.CommitAsync(
            [Settle(0), destroy, Settle(1), destroy, Settle(2), Settle(3), Change(new CommitChange.Release(stream, "g", Held(entries[4])))]);

        Assert.Equal([true, false, true, true, false, false, true], results.Select(result => result.IsApplied));
        Assert.Empty(await Store.GetGroupsAsync(stream));
        Assert.Equal("g", Assert.Single(await Store.GetGroupsAsync(StreamNames.Again(stream, "g"))).Name);
    }

    [Fact]
    public async Task Change_DestroyGroup_goes_with_nothing_that_adds_and_not_with_a_document_in_the_place_of_the_stream()
    {
        var (stream, entries) = await NewPendingAsync(1);
        var destroy = new CommitChange.DestroyGroup(stream, "g");
        foreach (var adding in new CommitChange[]
        {
            new CommitChange.Append(stream, Fields("x")), new CommitChange.Release(stream, "g", Held(entries[0])),
            new CommitChange.Schedule(stream, Fields("x"), TimeSpan.FromHours(1)),
        })
            await Assert.ThrowsAsync<ArgumentException>(async () => await Store.CommitAsync(Change(destroy, adding)));

        var document = NewState();
        await PutAsync(document);
        var results = await Store.CommitAsync([Change(destroy, new CommitChange.DestroyGroup(StreamNames.State(document), "g"))]);

        Assert.Equal(StreamErrorCode.WrongType, Assert.Single(results).Failure?.Code);
        Assert.Single(await Store.GetGroupsAsync(stream));
    }

    [Fact]
    public async Task Condition_GroupIs()
    {
        var (stream, ids) = await NewGroupAsync(3);
        var info = Assert.Single(await Store.GetGroupsAsync(stream));
        await HoldsAsync(CommitCondition.GroupIs(stream, info));
        await ConflictsAsync(CommitCondition.GroupIs(stream, info with { Name = "no group" }));
        await ConflictsAsync(CommitCondition.GroupIs(NewStream(), info));

        foreach (var move in new Func<Task>[]
        {
            () => Store.CreateConsumerAsync(stream, "g", "c1").AsTask(),
            () => DeliverAsync(stream, "c1"),
            () => Store.AckAsync(stream, "g", [ids[0]]).AsTask(),
            () => Store.SetGroupAsync(stream, "g", GroupStart.Beginning).AsTask(),
        })
        {
            await move();
            await ConflictsAsync(CommitCondition.GroupIs(stream, info));
            info = Assert.Single(await Store.GetGroupsAsync(stream));
            await HoldsAsync(CommitCondition.GroupIs(stream, info));
        }
    }
}
