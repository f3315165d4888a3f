using Millrace.Streams;

namespace Millrace.Tests.Conformance;

/// <summary>Deleting a consumer in a commit never loses a pending entry, whatever else happens at that moment.</summary>
public abstract partial class StoreConformance
{
    [Fact]
    public async Task Change_DeleteConsumer_takes_a_consumer_that_holds_nothing_and_leaves_one_that_does()
    {
        var (stream, entries) = await NewPendingAsync(2);
        await Store.CreateConsumerAsync(stream, "g", "idle");
        var before = await PendingAsync(stream);

        var results = await Store.CommitAsync(
        [
            Change(new CommitChange.DeleteConsumer(stream, "g", "idle")),
            Change(new CommitChange.DeleteConsumer(stream, "g", "c1")),
        ]);

        Assert.All(results, result => Assert.True(result.IsApplied));
        Assert.Equal(["c1"], await ConsumersAsync(stream));
        Assert.Equal(before.Select(pending => (pending.Id, pending.Consumer)), (await PendingAsync(stream)).Select(p => (p.Id, p.Consumer)));
        Assert.Equal(2, entries.Count);
    }

    [Fact]
    public async Task Change_DeleteConsumer_sees_what_the_commit_settled_before_it()
    {
        var (stream, entries) = await NewPendingAsync(3);

        var result = await Store.CommitAsync(Change(
            new CommitChange.Ack(stream, "g", entries[0].Id),
            new CommitChange.AckAndDelete(stream, "g", entries[1].Id),
            new CommitChange.Release(stream, "g", Held(entries[2])),
            new CommitChange.DeleteConsumer(stream, "g", "c1")));

        Assert.True(result.IsApplied);
        Assert.Empty(await ConsumersAsync(stream));
    }

    [Fact]
    public async Task Change_DeleteConsumer_follows_the_claim_of_its_last_entry()
    {
        var (stream, entries) = await NewPendingAsync(2);
        var delete = Change(new CommitChange.DeleteConsumer(stream, "g", "c1"));

        await ClaimAsync(stream, "c2", [entries[0].Id]);
        await Store.CommitAsync(delete);
        Assert.Equal(["c1", "c2"], await ConsumersAsync(stream));

        await ClaimAsync(stream, "c2", [entries[1].Id]);
        await Store.CommitAsync(delete);
        Assert.Equal(["c2"], await ConsumersAsync(stream));
        Assert.Equal(2, (await PendingAsync(stream)).Count);
    }

    [Fact]
    public async Task Change_DeleteConsumer_of_a_commit_that_conflicts_changes_nothing()
    {
        var (stream, _) = await NewGroupAsync(0);
        await Store.CreateConsumerAsync(stream, "g", "c1");

        var result = await Store.CommitAsync(new Commit
        {
            Conditions = [CommitCondition.StateIs(NewState(), 1)],
            Changes = [new CommitChange.DeleteConsumer(stream, "g", "c1")],
        });

        Assert.False(result.IsApplied);
        Assert.Equal(["c1"], await ConsumersAsync(stream));
    }

    [Fact]
    public async Task Consumer_that_is_deleted_while_its_read_waits_gets_the_next_entry()
    {
        var (stream, _) = await NewGroupAsync(0);
        var reading = DeliverAsync(stream, "c1", block: Patience);

        await Store.CommitAsync(Change(new CommitChange.DeleteConsumer(stream, "g", "c1")));
        var id = await AppendAsync(stream, "late");

        Assert.Equal(id, Assert.Single(await reading).Id);
        Assert.Equal((id, "c1"), Assert.Single((await PendingAsync(stream)).Select(pending => (pending.Id, pending.Consumer))));
    }

    [Fact]
    public async Task Change_DeleteConsumer_while_the_consumer_reads_loses_no_pending_entry()
    {
        const int total = 300;
        var (stream, _) = await NewGroupAsync(0);
        var delete = Change(new CommitChange.DeleteConsumer(stream, "g", "c1"));
        var appending = Task.Run(async () =>
        {
            for (var i = 0; i < total; i++)
                await AppendAsync(stream, $"{i}");
        });

        List<EntryId> delivered = [];
        while (delivered.Count < total)
        {
            var reading = DeliverAsync(stream, "c1", count: 3, block: Patience);
            await Store.CommitAsync([delete, delete]);
            delivered.AddRange((await reading).Select(entry => entry.Id));
        }

        await appending;
        Assert.Equal(delivered.Order(), (await Store.PendingAsync(stream, "g", new() { Count = total + 1 })).Select(pending => pending.Id));
    }

    private async Task<IEnumerable<string>> ConsumersAsync(string stream) =>
        (await Store.GetConsumersAsync(stream, "g")).Select(consumer => consumer.Name);
}
