using System.Diagnostics;
using Millrace.Streams;

namespace Millrace.Tests.Conformance;

public abstract partial class StoreConformance
{
    [Fact]
    public async Task Ack_takes_entries_out_of_the_pending_ones_whoever_holds_them()
    {
        var (stream, entries) = await NewPendingAsync(3);
        await ClaimAsync(stream, "c2", entries[1].Id);

        Assert.Equal(2, await Store.AckAsync(stream, "g", [entries[0].Id, entries[1].Id]));

        Assert.Equal(entries[2].Id, Assert.Single(await PendingAsync(stream)).Id);
        Assert.Equal(3, (await RangeAsync(stream)).Count);
    }

    [Fact]
    public async Task Ack_counts_only_what_was_pending_and_each_entry_once()
    {
        var (stream, entries) = await NewPendingAsync(2);
        var id = entries[0].Id;

        Assert.Equal(1, await Store.AckAsync(stream, "g", [id, id, EntryId.Max]));
        Assert.Equal(0, await Store.AckAsync(stream, "g", [id]));
        Assert.Equal(0, await Store.AckAsync(stream, "g", []));
    }

    [Fact]
    public async Task Ack_for_one_group_leaves_the_others_alone()
    {
        var (stream, entries) = await NewPendingAsync(1);
        await Store.CreateGroupAsync(stream, "h", GroupStart.Beginning);
        await DeliverAsync(stream, "c1", group: "h");

        Assert.Equal(1, await Store.AckAsync(stream, "h", [entries[0].Id]));

        Assert.Single(await PendingAsync(stream));
        Assert.Empty(await PendingAsync(stream, "h"));
    }

    [Fact]
    public async Task Ack_of_thousands_at_once()
    {
        var (stream, entries) = await NewPendingAsync(5_000);

        Assert.Equal(5_000, await Store.AckAsync(stream, "g", [.. entries.Select(entry => entry.Id)]));

        Assert.Equal(0, (await GroupAsync(stream)).PendingCount);
    }

    [Fact]
    public async Task AckAndDelete_deletes_what_was_pending_for_every_group()
    {
        var (stream, entries) = await NewPendingAsync(3);
        await Store.CreateGroupAsync(stream, "h", GroupStart.Beginning);
        var last = await AppendAsync(stream, "not delivered");

        Assert.Equal(2, await Store.AckAndDeleteAsync(stream, "g", [entries[0].Id, entries[2].Id, last]));

        Assert.Equal(["1", "not delivered"], await ValuesAsync(stream));
        Assert.Equal(entries[1].Id, Assert.Single(await PendingAsync(stream)).Id);
        Assert.Equal(["1", "not delivered"], (await DeliverAsync(stream, "c1", group: "h")).Select(ValueOf));
        Assert.Equal(0, await Store.AckAndDeleteAsync(stream, "g", [entries[0].Id]));
        Assert.Equal(0, await Store.AckAndDeleteAsync(stream, "g", []));
    }

    [Fact]
    public async Task AckAndDelete_of_an_entry_already_deleted_acknowledges_it()
    {
        var (stream, entries) = await NewPendingAsync(2);
        await Store.DeleteAsync(stream, [entries[0].Id]);

        Assert.Equal(1, await Store.AckAndDeleteAsync(stream, "g", [entries[0].Id]));

        Assert.Equal(entries[1].Id, Assert.Single(await PendingAsync(stream)).Id);
    }

    [Fact]
    public async Task AckAndDelete_leaves_pending_entries_of_other_groups_pending()
    {
        var (stream, entries) = await NewPendingAsync(1);
        await Store.CreateGroupAsync(stream, "h", GroupStart.Beginning);
        await DeliverAsync(stream, "c1", group: "h");

        Assert.Equal(1, await Store.AckAndDeleteAsync(stream, "g", [entries[0].Id]));

        Assert.Equal(entries[0].Id, Assert.Single(await PendingAsync(stream, "h")).Id);
    }

    [Fact]
    public async Task Extend_sets_the_idle_time_back_without_counting_a_delivery()
    {
        var (stream, entries) = await NewPendingAsync(2);
        await PassAsync(Moment);
        var beforeExtend = Stopwatch.GetTimestamp();

        var extended = await Store.ExtendAsync(stream, "g", "c1", [Held(entries[0])]);
        await ReopenAsync();

        var pending = await PendingAsync(stream);
        var sinceExtend = Stopwatch.GetElapsedTime(beforeExtend);
        Assert.Equal([entries[0].Id], extended);
        // The store's clock counts whole milliseconds.
        Assert.InRange(pending[0].IdleTime, TimeSpan.Zero, sinceExtend + TimeSpan.FromMilliseconds(2));
        Assert.True(pending[1].IdleTime >= Moment - TimeSpan.FromMilliseconds(5), $"{pending[1].IdleTime}");
        Assert.All(pending, entry => Assert.Equal(("c1", 1), (entry.Consumer, entry.DeliveryCount)));
    }

    [Fact]
    public async Task Extend_leaves_alone_what_the_consumer_does_not_hold_any_more()
    {
        var (stream, entries) = await NewPendingAsync(4);
        await ClaimAsync(stream, "c2", entries[0].Id);
        await ClaimAsync(stream, "c1", entries[1].Id);
        await Store.AckAsync(stream, "g", [entries[2].Id]);
        await PassAsync(Moment);
        var before = await SnapshotAsync();

        var extended = await Store.ExtendAsync(stream, "g", "c1", [.. entries.Select(Held), new(EntryId.Max, 1)]);

        Assert.Equal([entries[3].Id], extended);
        Assert.Equal(before, await SnapshotAsync());
        var idle = await Store.PendingAsync(stream, "g", new() { MinIdleTime = Moment / 2, End = entries[1].Id });
        Assert.Equal([entries[0].Id, entries[1].Id], idle.Select(entry => entry.Id));
    }

    [Fact]
    public async Task Extend_with_the_count_after_a_claim_holds()
    {
        var (stream, entries) = await NewPendingAsync(1);
        var claimed = Assert.Single(await ClaimAsync(stream, "c2", entries[0].Id));

        Assert.Equal([claimed.Id], await Store.ExtendAsync(stream, "g", "c2", [Held(claimed)]));
    }

    [Fact]
    public async Task Extend_of_an_entry_deleted_from_the_stream_leaves_it_held()
    {
        var (stream, entries) = await NewPendingAsync(2);
        await Store.DeleteAsync(stream, [entries[0].Id]);
        await Store.TrimAsync(stream, StreamTrim.ToLength(0));

        Assert.Equal(entries.Select(entry => entry.Id), await Store.ExtendAsync(stream, "g", "c1", [.. entries.Select(Held)]));

        Assert.All(await PendingAsync(stream), entry => Assert.Equal(("c1", 1), (entry.Consumer, entry.DeliveryCount)));
        Assert.Equal(2, await Store.AckAsync(stream, "g", [.. entries.Select(entry => entry.Id)]));
    }

    [Fact]
    public async Task Extend_of_nothing_extends_nothing()
    {
        var (stream, _) = await NewPendingAsync(1);

        Assert.Empty(await Store.ExtendAsync(stream, "g", "c1", []));
        Assert.Empty(await Store.ExtendAsync(stream, "g", "nobody", [new(EntryId.Max, 1)]));
    }
}
