using Millrace.Streams;

namespace Millrace.Tests.Conformance;

public abstract partial class StoreConformance
{
    private static readonly CancellationToken Cancelled = new(canceled: true);

    [Theory]
    [MemberData(nameof(AllMembers))]
    public async Task Cancelled_before_the_call_changes_nothing(string member)
    {
        var (stream, _) = await NewPendingAsync(1);
        await AppendAsync(stream, "not delivered");
        var before = await SnapshotAsync();

        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => StoreMember.All[member](Store, stream, Cancelled));

        Assert.Equal(before, await SnapshotAsync());
    }

    [Fact]
    public async Task Cancelled_in_a_blocked_read_stops_the_wait()
    {
        var stream = NewStream();
        using var cancellation = new CancellationTokenSource();
        var reading = Store.ReadAsync([new(stream, default)], 1, Patience, cancellation.Token).AsTask();
        await UntilBlockedAsync(1);

        await cancellation.CancelAsync();

        var exception = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => reading);
        Assert.Equal(cancellation.Token, exception.CancellationToken);
        await AppendAsync(stream);
        Assert.Single(await Store.ReadAsync([new(stream, default)], 1, Patience));
    }

    [Fact]
    public async Task Cancelled_in_a_blocked_group_read_leaves_later_entries_to_others()
    {
        var (stream, _) = await NewGroupAsync(0);
        using var cancellation = new CancellationTokenSource();
        var cancelled = DeliverAsync(stream, "c1", block: Patience, cancellationToken: cancellation.Token);
        await UntilBlockedAsync(1);
        var waiting = DeliverAsync(stream, "c2", block: Patience);
        await UntilBlockedAsync(2);

        await cancellation.CancelAsync();
        var exception = await Assert.ThrowsAnyAsync<OperationCanceledException>(() => cancelled);
        await AppendAsync(stream, "for c2");

        Assert.Equal(cancellation.Token, exception.CancellationToken);
        Assert.Equal("for c2", ValueOf(Assert.Single(await waiting)));
        Assert.Equal("c2", Assert.Single(await PendingAsync(stream)).Consumer);
    }

    [Fact]
    public async Task Cancelled_while_an_entry_comes_never_loses_it()
    {
        var (stream, _) = await NewGroupAsync(0);
        for (var round = 0; round < 50; round++)
        {
            using var cancellation = new CancellationTokenSource();
            var reading = DeliverAsync(stream, "c1", block: Patience, cancellationToken: cancellation.Token);
            await UntilBlockedAsync(1);

            var appending = Task.Run(() => AppendAsync(stream, $"{round}"));
            await cancellation.CancelAsync();
            var id = await appending;

            IReadOnlyList<DeliveredEntry> entries;
            try
            {
                entries = await reading;
            }
            catch (OperationCanceledException)
            {
                // Not delivered to anybody, so the next read gets it as new.
                Assert.Empty(await PendingAsync(stream));
                entries = await DeliverAsync(stream, "c2");
            }

            Assert.Equal((id, 1), (Assert.Single(entries).Id, entries[0].DeliveryCount));
            Assert.Equal(1, await Store.AckAsync(stream, "g", [id]));
        }
    }

    [Fact]
    public async Task Cancelled_by_a_deadline_leaves_the_store_usable()
    {
        var (stream, _) = await NewGroupAsync(0);
        using var cancellation = new CancellationTokenSource(Moment);

        await Assert.ThrowsAnyAsync<OperationCanceledException>(
            () => DeliverAsync(stream, "c1", block: Patience, cancellationToken: cancellation.Token));

        await AppendAsync(stream, "still works");
        Assert.Equal("still works", ValueOf(Assert.Single(await DeliverAsync(stream, "c1", block: Patience))));
    }
}
