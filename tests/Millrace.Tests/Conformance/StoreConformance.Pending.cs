using Millrace.Streams;

namespace Millrace.Tests.Conformance;

public abstract partial class StoreConformance
{
    [Fact]
    public async Task Pending_lists_entries_in_id_order_with_their_holders()
    {
        var (stream, entries) = await NewPendingAsync(3);
        await ClaimAsync(stream, "c2", entries[1].Id);

        var pending = await PendingAsync(stream);

        Assert.Equal(
            [(entries[0].Id, "c1", 1L), (entries[1].Id, "c2", 2L), (entries[2].Id, "c1", 1L)],
            pending.Select(entry => (entry.Id, entry.Consumer, entry.DeliveryCount)));
        Assert.All(pending, entry => Assert.InRange(entry.IdleTime, TimeSpan.Zero, Patience));
    }

    [Fact]
    public async Task Pending_of_a_range_a_count_and_a_consumer()
    {
        var (stream, entries) = await NewPendingAsync(5);
        await ClaimAsync(stream, "c2", entries[1].Id, entries[3].Id);

        async Task<IEnumerable<int>> QueryAsync(PendingQuery query) =>
            (await Store.PendingAsync(stream, "g", query)).Select(entry => entries.Index().First(e => e.Item.Id == entry.Id).Index);

        Assert.Equal([0, 1], await QueryAsync(new() { Count = 2 }));
        Assert.Equal([1, 2, 3], await QueryAsync(new() { Start = entries[1].Id, End = entries[3].Id }));
        Assert.Equal([2], await QueryAsync(new() { Start = entries[1].Id.Next(), End = entries[3].Id.Previous() }));
        Assert.Equal([1, 3], await QueryAsync(new() { Consumer = "c2" }));
        Assert.Equal([2], await QueryAsync(new() { Consumer = "c1", Start = entries[1].Id, Count = 1 }));
        Assert.Empty(await QueryAsync(new() { Consumer = "nobody" }));
        Assert.Empty(await QueryAsync(new() { Start = entries[3].Id, End = entries[1].Id }));
    }

    [Fact]
    public async Task Pending_of_an_idle_time_leaves_out_the_fresh_ones()
    {
        var (stream, entries) = await NewPendingAsync(2);
        await PassAsync(TimeSpan.FromSeconds(1));
        await ClaimAsync(stream, "c2", entries[1].Id);

        var idle = await Store.PendingAsync(stream, "g", new() { MinIdleTime = TimeSpan.FromSeconds(0.9) });

        Assert.Equal([entries[0].Id], idle.Select(entry => entry.Id));
        Assert.Empty(await Store.PendingAsync(stream, "g", new() { MinIdleTime = TimeSpan.FromHours(1) }));
    }

    [Fact]
    public async Task Pending_keeps_entries_that_were_deleted_from_the_stream()
    {
        var (stream, entries) = await NewPendingAsync(2);

        await Store.DeleteAsync(stream, [entries[0].Id]);
        await Store.TrimAsync(stream, StreamTrim.ToLength(0));

        Assert.Equal(entries.Select(entry => entry.Id), (await PendingAsync(stream)).Select(entry => entry.Id));
    }

    [Fact]
    public async Task Pending_of_a_group_that_holds_nothing_is_empty()
    {
        var (stream, _) = await NewGroupAsync(2);

        Assert.Empty(await PendingAsync(stream));
    }

    [Fact]
    public async Task PendingSummary_counts_by_consumer_and_leaves_out_who_holds_nothing()
    {
        var (stream, entries) = await NewPendingAsync(4);
        await ClaimAsync(stream, "c2", entries[3].Id);
        await ClaimAsync(stream, "c3", entries[0].Id);
        await Store.AckAsync(stream, "g", [entries[0].Id]);

        var summary = await Store.PendingSummaryAsync(stream, "g");

        Assert.Equal((3, entries[1].Id, entries[3].Id), (summary.Count, summary.MinId, summary.MaxId));
        Assert.Equal([("c1", 2L), ("c2", 1L)], summary.CountByConsumer.OrderBy(pair => pair.Key).Select(pair => (pair.Key, pair.Value)));
    }

    [Fact]
    public async Task PendingSummary_of_a_group_that_holds_nothing_is_empty()
    {
        var (stream, _) = await NewGroupAsync(2);

        var summary = await Store.PendingSummaryAsync(stream, "g");

        Assert.Equal((0, null, null), (summary.Count, summary.MinId, summary.MaxId));
        Assert.Empty(summary.CountByConsumer);
    }
}
