using Millrace.Streams;

namespace Millrace.Tests.Conformance;

public abstract partial class StoreConformance
{
    [Fact]
    public async Task Claim_takes_entries_over_and_counts_a_delivery()
    {
        var (stream, entries) = await NewPendingAsync(3);

        var claimed = await ClaimAsync(stream, "c2", entries[0].Id, entries[2].Id);

        Assert.Equal([entries[0] with { DeliveryCount = 2 }, entries[2] with { DeliveryCount = 2 }], claimed);
        Assert.Equal(
            [("c2", 2L), ("c1", 1L), ("c2", 2L)],
            (await PendingAsync(stream)).Select(pending => (pending.Consumer, pending.DeliveryCount)));
    }

    [Fact]
    public async Task Claim_of_ones_own_entry_counts_a_delivery_too()
    {
        var (stream, entries) = await NewPendingAsync(1);

        Assert.Equal(2, Assert.Single(await ClaimAsync(stream, "c1", entries[0].Id)).DeliveryCount);
        Assert.Equal(3, Assert.Single(await ClaimAsync(stream, "c1", entries[0].Id)).DeliveryCount);
    }

    [Fact]
    public async Task Claim_skips_what_is_not_pending()
    {
        var (stream, entries) = await NewPendingAsync(2);
        await Store.AckAsync(stream, "g", [entries[0].Id]);
        var notDelivered = await AppendAsync(stream);

        EntryId[] ids = [entries[0].Id, entries[1].Id, notDelivered, EntryId.Max];
        var result = await Store.ClaimAsync(stream, "g", new() { Consumer = "c2", Ids = ids, MinIdleTime = TimeSpan.Zero });

        Assert.Equal([entries[1].Id], result.Entries.Select(entry => entry.Id));
        Assert.Empty(result.Deleted);
    }

    [Fact]
    public async Task Claim_skips_what_is_not_idle_long_enough()
    {
        var (stream, entries) = await NewPendingAsync(1);
        await PassAsync(Moment);

        async Task<ClaimResult> ClaimIdleAsync(TimeSpan minIdleTime) =>
            await Store.ClaimAsync(stream, "g", new() { Consumer = "c2", Ids = [entries[0].Id], MinIdleTime = minIdleTime });

        Assert.Empty((await ClaimIdleAsync(TimeSpan.FromHours(1))).Entries);
        Assert.Equal("c1", Assert.Single(await PendingAsync(stream)).Consumer);
        Assert.Single((await ClaimIdleAsync(Moment / 2)).Entries);
    }

    [Fact]
    public async Task Claim_sets_the_idle_time_to_zero_so_that_a_second_claimer_gets_nothing()
    {
        var (stream, entries) = await NewPendingAsync(1);
        await PassAsync(TimeSpan.FromSeconds(1));
        var claim = new ClaimRequest { Consumer = "c2", Ids = [entries[0].Id], MinIdleTime = TimeSpan.FromSeconds(0.9) };

        var first = await Store.ClaimAsync(stream, "g", claim);
        var second = await Store.ClaimAsync(stream, "g", claim with { Consumer = "c3" });

        Assert.Single(first.Entries);
        Assert.Empty(second.Entries);
        Assert.Equal("c2", Assert.Single(await PendingAsync(stream)).Consumer);
    }

    [Fact]
    public async Task Claim_reports_and_drops_entries_that_were_deleted()
    {
        var (stream, entries) = await NewPendingAsync(3);
        await Store.DeleteAsync(stream, [entries[1].Id]);

        var result = await Store.ClaimAsync(
            stream, "g", new() { Consumer = "c2", Ids = [.. entries.Select(entry => entry.Id)], MinIdleTime = TimeSpan.Zero });

        Assert.Equal(["0", "2"], result.Entries.Select(ValueOf));
        Assert.Equal([entries[1].Id], result.Deleted);
        Assert.Equal([entries[0].Id, entries[2].Id], (await PendingAsync(stream)).Select(pending => pending.Id));
    }

    [Fact]
    public async Task Claim_of_nothing_claims_nothing()
    {
        var (stream, _) = await NewPendingAsync(1);

        Assert.Empty(await ClaimAsync(stream, "c2"));

        Assert.Equal("c1", Assert.Single(await PendingAsync(stream)).Consumer);
    }

    [Fact]
    public async Task Claim_survives_with_its_count()
    {
        var (stream, entries) = await NewPendingAsync(2);
        await ClaimAsync(stream, "c2", entries[0].Id);

        await ReopenAsync();

        Assert.Equal(3, Assert.Single(await ClaimAsync(stream, "c3", entries[0].Id)).DeliveryCount);
        Assert.Equal(2, Assert.Single(await ClaimAsync(stream, "c3", entries[1].Id)).DeliveryCount);
    }
}
