using System.Collections.Concurrent;
using Millrace.Streams;

namespace Millrace.Tests.Conformance;

public abstract partial class StoreConformance
{
    [Fact]
    public async Task ReadGroup_makes_new_entries_pending_for_the_consumer()
    {
        var (stream, ids) = await NewGroupAsync(3);

        var entries = await DeliverAsync(stream, "c1");

        Assert.Equal(ids, entries.Select(entry => entry.Id));
        Assert.Equal(["0", "1", "2"], entries.Select(ValueOf));
        Assert.All(entries, entry => Assert.Equal(1, entry.DeliveryCount));
        var pending = await PendingAsync(stream);
        Assert.Equal(ids, pending.Select(entry => entry.Id));
        Assert.All(pending, entry => Assert.Equal(("c1", 1), (entry.Consumer, entry.DeliveryCount)));
    }

    [Fact]
    public async Task ReadGroup_delivers_each_entry_to_one_consumer_of_each_group()
    {
        var (stream, ids) = await NewGroupAsync(4);
        await Store.CreateGroupAsync(stream, "h", GroupStart.Beginning);

        var first = await DeliverAsync(stream, "c1", count: 3);
        var second = await DeliverAsync(stream, "c2");
        var other = await DeliverAsync(stream, "c1", group: "h");

        Assert.Equal(["0", "1", "2"], first.Select(ValueOf));
        Assert.Equal(["3"], second.Select(ValueOf));
        Assert.Equal(ids, other.Select(entry => entry.Id));
        Assert.Empty(await DeliverAsync(stream, "c1"));
    }

    [Fact]
    public async Task ReadGroup_of_several_streams_has_those_with_entries_in_order_and_counts_each()
    {
        var (first, _) = await NewGroupAsync(3);
        var (empty, _) = await NewGroupAsync(0);
        var (last, _) = await NewGroupAsync(3);

        var batches = await Store.ReadGroupAsync(
            new() { Group = "g", Consumer = "c1", Streams = [last, empty, first], Count = 2, Block = Patience });

        Assert.Equal([last, first], batches.Select(batch => batch.Stream));
        Assert.All(batches, batch => Assert.Equal(["0", "1"], batch.Entries.Select(ValueOf)));
    }

    [Fact]
    public async Task ReadGroup_leaves_out_deleted_entries()
    {
        var (stream, ids) = await NewGroupAsync(3);
        await Store.DeleteAsync(stream, [ids[1]]);

        Assert.Equal(["0", "2"], (await DeliverAsync(stream, "c1")).Select(ValueOf));
    }

    [Fact]
    public async Task ReadGroup_with_the_group_missing_on_one_stream_delivers_nothing()
    {
        var (stream, _) = await NewGroupAsync(2);
        var without = NewStream();
        await AppendAsync(without);
        var before = await SnapshotAsync();

        foreach (var missing in (string[])[without, NewStream()])
        {
            await FailsAsync(StreamErrorCode.NoGroup, () => Store.ReadGroupAsync(
                new() { Group = "g", Consumer = "c1", Streams = [stream, missing], Block = Patience }).AsTask());
        }

        Assert.Equal(before, await SnapshotAsync());
    }

    [Fact]
    public async Task ReadGroup_blocked_in_vain_is_empty()
    {
        var (stream, _) = await NewGroupAsync(0);

        Assert.Empty(await DeliverAsync(stream, "c1", block: Moment));
    }

    [Fact]
    public async Task ReadGroup_blocked_gets_the_entry_when_it_comes()
    {
        var (quiet, _) = await NewGroupAsync(0);
        var (stream, _) = await NewGroupAsync(0);
        var reading = Store.ReadGroupAsync(
            new() { Group = "g", Consumer = "c1", Streams = [quiet, stream], Block = Patience }).AsTask();
        await UntilBlockedAsync(1);
        Assert.False(reading.IsCompleted);

        var id = await AppendAsync(stream, "awaited");

        var batch = Assert.Single(await reading);
        Assert.Equal(stream, batch.Stream);
        Assert.Equal(new(id, Fields("awaited"), 1), Assert.Single(batch.Entries));
        Assert.Equal("c1", Assert.Single(await PendingAsync(stream)).Consumer);
    }

    [Fact]
    public async Task ReadGroup_blocked_readers_are_served_in_the_order_they_came()
    {
        var (stream, _) = await NewGroupAsync(0);
        var reads = new List<Task<IReadOnlyList<DeliveredEntry>>>();
        for (var i = 1; i <= 3; i++)
        {
            reads.Add(DeliverAsync(stream, $"c{i}", count: 1, block: Patience));
            await UntilBlockedAsync(i);
        }

        for (var i = 1; i <= 3; i++)
            await AppendAsync(stream, $"for c{i}");

        for (var i = 1; i <= 3; i++)
            Assert.Equal($"for c{i}", ValueOf(Assert.Single(await reads[i - 1])));
    }

    [Fact]
    public async Task ReadGroup_blocked_by_readers_of_several_groups_gives_the_entry_to_each_group()
    {
        var (stream, _) = await NewGroupAsync(0);
        await Store.CreateGroupAsync(stream, "h", GroupStart.Beginning);
        var first = DeliverAsync(stream, "c1", block: Patience);
        var second = DeliverAsync(stream, "c1", group: "h", block: Patience);
        await UntilBlockedAsync(2);

        await AppendAsync(stream, "for both");

        Assert.Equal("for both", ValueOf(Assert.Single(await first)));
        Assert.Equal("for both", ValueOf(Assert.Single(await second)));
    }

    [Fact]
    public async Task ReadGroup_blocked_fails_when_its_group_is_destroyed()
    {
        var (stream, _) = await NewGroupAsync(0);
        var reading = DeliverAsync(stream, "c1", block: Patience);
        await UntilBlockedAsync(1);

        Assert.True(await Store.DestroyGroupAsync(stream, "g"));

        await FailsAsync(StreamErrorCode.NoGroup, () => reading);
    }

    [Fact]
    public async Task ReadGroup_blocked_fails_when_one_of_its_streams_is_deleted()
    {
        var (stream, _) = await NewGroupAsync(0);
        var (kept, _) = await NewGroupAsync(0);
        var reading = Store.ReadGroupAsync(
            new() { Group = "g", Consumer = "c1", Streams = [kept, stream], Block = Patience }).AsTask();
        await UntilBlockedAsync(1);

        Assert.True(await Store.DeleteStreamAsync(stream));

        await FailsAsync(StreamErrorCode.NoGroup, () => reading);
    }

    [Fact]
    public async Task ReadGroup_blocked_is_not_woken_by_a_destroyed_group_of_others()
    {
        var (stream, _) = await NewGroupAsync(0);
        await Store.CreateGroupAsync(stream, "h", GroupStart.Beginning);
        var reading = DeliverAsync(stream, "c1", block: Patience);
        await UntilBlockedAsync(1);

        Assert.True(await Store.DestroyGroupAsync(stream, "h"));
        await AppendAsync(stream, "awaited");

        Assert.Equal("awaited", ValueOf(Assert.Single(await reading)));
    }

    [Fact]
    public async Task ReadGroup_of_a_group_moved_back_takes_the_entry_over_with_a_count_of_one()
    {
        var (stream, entries) = await NewPendingAsync(2);
        await ClaimAsync(stream, "c1", entries[1].Id);
        await Store.SetGroupAsync(stream, "g", GroupStart.After(entries[0].Id));

        var again = Assert.Single(await DeliverAsync(stream, "c2"));

        Assert.Equal(entries[1], again);
        Assert.Equal(
            [(entries[0].Id, "c1", 1L), (entries[1].Id, "c2", 1L)],
            (await PendingAsync(stream)).Select(pending => (pending.Id, pending.Consumer, pending.DeliveryCount)));
    }

    [Fact]
    public async Task ReadGroup_by_many_readers_while_many_append_delivers_every_entry_exactly_once()
    {
        const int appenders = 4, readers = 4, perAppender = 250, total = appenders * perAppender;
        var (stream, _) = await NewGroupAsync(0);
        var delivered = new ConcurrentQueue<DeliveredEntry>();
        using var isComplete = new CancellationTokenSource(Patience);

        async Task ReadAsync(int reader)
        {
            while (!isComplete.IsCancellationRequested)
            {
                var entries = await DeliverAsync(stream, $"c{reader}", count: 7, block: Patience, cancellationToken: isComplete.Token);
                foreach (var entry in entries)
                    delivered.Enqueue(entry);
                await Store.AckAsync(stream, "g", [.. entries.Select(entry => entry.Id)], CancellationToken.None);
                if (delivered.Count == total)
                    await isComplete.CancelAsync();
            }
        }

        async Task AppendAsync(int appender)
        {
            var last = EntryId.Zero;
            for (var i = 0; i < perAppender; i++)
            {
                var id = await Store.AppendAsync(stream, Fields($"{appender}/{i}"));
                Assert.True(id > last);
                last = id;
            }
        }

        var reading = Enumerable.Range(0, readers).Select(i => Task.Run(() => ReadAsync(i))).ToArray();
        await Task.WhenAll(Enumerable.Range(0, appenders).Select(i => Task.Run(() => AppendAsync(i))));
        await Task.WhenAll(reading)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ContinueOnCapturedContext);
        Assert.All(reading, reader => Assert.True(reader.IsCanceled || reader.IsCompletedSuccessfully, reader.Exception?.ToString()));

        var expected = Enumerable.Range(0, appenders).SelectMany(a => Enumerable.Range(0, perAppender).Select(i => $"{a}/{i}"));
        Assert.Equal(expected.Order(StringComparer.Ordinal), delivered.Select(ValueOf).Order(StringComparer.Ordinal));
        Assert.Equal((await RangeAsync(stream)).Select(entry => entry.Id), delivered.Select(entry => entry.Id).Order());
        Assert.All(delivered, entry => Assert.Equal(1, entry.DeliveryCount));
        Assert.Equal(0, (await Store.PendingSummaryAsync(stream, "g")).Count);
    }
}
