using Microsoft.Extensions.Logging;
using Millrace.Hosting;
using Millrace.Monitoring;
using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>
/// Brings a group's entries into this process: what a previous run left pending, then idle entries of others, then new ones of the stream
/// and of the group's private stream, in one read that really blocks.
/// </summary>
internal sealed class GroupReader(
    IStreamStore store, GroupPlan plan, HeldDeliveries held, TimeProvider time, MessageMeter meter, ILogger logger)
{
    // Pending entries looked at in one go, and so the most that are claimed at once.
    private const int PageSize = 64;

    // Long enough to cost nothing when idle, short enough that a server which forgot us is noticed. Nothing is polled: entries end the
    // wait.
    private static readonly TimeSpan Block = TimeSpan.FromSeconds(30);

    // A claim must not see an entry between its arrival and its place among the held ones: it would be handled twice.
    private readonly SemaphoreSlim _taking = new(1);
    private readonly DateTimeOffset _startedAt = time.GetUtcNow();
    private EntryId _lastSeen;

    /// <summary>Makes the group on the stream and on its private stream where it is missing.</summary>
    public async Task EnsureGroupsAsync(CancellationToken cancellationToken)
    {
        await store.CreateGroupAsync(plan.Stream, plan.Group, plan.Options.Start, cancellationToken).ConfigureAwait(false);
        await store.CreateGroupAsync(plan.Again, plan.Group, GroupStart.Beginning, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Makes a group again that vanished, never at the end of the stream, which would skip entries without a word: where the options
    /// say, or
    /// after the last entry seen when they say <see cref="GroupStart.Now"/>.
    /// </summary>
    public async Task RecreateGroupsAsync(CancellationToken cancellationToken)
    {
        var start = plan.Options.Start;
        if (start.IsNow)
            start = GroupStart.After(_lastSeen != EntryId.Zero ? _lastSeen : EntryId.FromTime(_startedAt));
        if (await store.CreateGroupAsync(plan.Stream, plan.Group, start, cancellationToken).ConfigureAwait(false))
            LogMessages.GroupRecreated(logger, plan.Stream, plan.Group, $"after {start.LastDelivered}");
        if (await store.CreateGroupAsync(plan.Again, plan.Group, GroupStart.Beginning, cancellationToken).ConfigureAwait(false))
            LogMessages.GroupRecreated(logger, plan.Again, plan.Group, "from its beginning");
    }

    /// <summary>Waits for new entries. Returns them also when the wait was cancelled: they are ours already.</summary>
    /// <param name="room">
    /// How many the worker has room for. COUNT is per stream, so each gets half; one more may come when there is room for one.
    /// </param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public async Task<IReadOnlyList<Delivery>> ReadNewAsync(int room, CancellationToken cancellationToken)
    {
        var batches = await store.ReadGroupAsync(
            new()
            {
                Group = plan.Group,
                Consumer = plan.Consumer,
                Streams = [plan.Again, plan.Stream],
                Count = Math.Max(1, room / 2),
                Block = Block,
            },
            cancellationToken).ConfigureAwait(false);

        var deliveries = new List<Delivery>();
        foreach (var batch in batches)
        {
            var isAgain = batch.Stream == plan.Again;
            if (!isAgain)
                _lastSeen = batch.Entries[^1].Id;
            Hold(batch.Stream, isAgain, isRecovered: false, batch.Entries, deliveries);
        }

        return deliveries;
    }

    /// <summary>
    /// Takes over one page of pending entries. Those delivered twice or more are not taken but returned as suspects: they may be what
    /// killed
    /// a process, and are claimed one at a time by <see cref="ClaimAsync"/>.
    /// </summary>
    /// <param name="isAgain">Whether to look in the group's private stream.</param>
    /// <param name="isOwn">This consumer's entries of a previous run, or idle entries of anybody.</param>
    /// <param name="from">The smallest ID to look at.</param>
    /// <param name="suspects">Gets the suspects.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The entries taken, and where the next page begins, or <see langword="null"/>: this was the last.</returns>
    public async Task<(IReadOnlyList<Delivery> Taken, EntryId? Next)> TakePendingAsync(
        bool isAgain, bool isOwn, EntryId from, List<EntryId> suspects, CancellationToken cancellationToken)
    {
        await _taking.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            var query = new PendingQuery
            {
                Consumer = isOwn ? plan.Consumer : null,
                MinIdleTime = isOwn ? TimeSpan.Zero : plan.Options.Lease,
                Start = from,
                Count = PageSize,
            };
            var page = await store.PendingAsync(StreamOf(isAgain), plan.Group, query, cancellationToken).ConfigureAwait(false);
            var strays = page.Where(pending => !held.IsHeld(isAgain, pending.Id)).ToList();
            suspects.AddRange(strays.Where(pending => pending.DeliveryCount >= 2).Select(pending => pending.Id));
            var ids = strays.Where(pending => pending.DeliveryCount < 2).Select(pending => pending.Id).ToArray();
            var taken = await ClaimCoreAsync(isAgain, isOwn, ids, cancellationToken).ConfigureAwait(false);
            return (taken, page.Count < PageSize ? null : page[^1].Id.Next());
        }
        finally
        {
            _taking.Release();
        }
    }

    /// <summary>
    /// Claims one suspect. Empty when somebody was faster: it may have waited its turn for longer than the lease, and what another consumer
    /// took over since is not ours to take back.
    /// </summary>
    public async Task<IReadOnlyList<Delivery>> ClaimAsync(bool isAgain, bool isOwn, EntryId id, CancellationToken cancellationToken)
    {
        await _taking.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (held.IsHeld(isAgain, id))
                return [];
            var still = new PendingQuery { Consumer = plan.Consumer, Start = id, End = id, Count = 1 };
            if (isOwn && await store.PendingAsync(StreamOf(isAgain), plan.Group, still, cancellationToken).ConfigureAwait(false) is [])
                return [];
            return await ClaimCoreAsync(isAgain, isOwn, [id], cancellationToken).ConfigureAwait(false);
        }
        finally
        {
            _taking.Release();
        }
    }

    private async Task<IReadOnlyList<Delivery>> ClaimCoreAsync(bool isAgain, bool isOwn, EntryId[] ids, CancellationToken cancellationToken)
    {
        var deliveries = new List<Delivery>();
        if (ids.Length == 0)
            return deliveries;

        var claim = new ClaimRequest { Consumer = plan.Consumer, Ids = ids, MinIdleTime = isOwn ? TimeSpan.Zero : plan.Options.Lease };
        var claimed = await store.ClaimAsync(StreamOf(isAgain), plan.Group, claim, cancellationToken).ConfigureAwait(false);
        Hold(StreamOf(isAgain), isAgain, isRecovered: true, claimed.Entries, deliveries);
        return deliveries;
    }

    private string StreamOf(bool isAgain) => isAgain ? plan.Again : plan.Stream;

    private void Hold(string stream, bool isAgain, bool isRecovered, IReadOnlyList<DeliveredEntry> entries, List<Delivery> deliveries)
    {
        meter.Received(plan, isAgain, isRecovered, entries);
        var now = time.GetTimestamp();
        foreach (var entry in entries)
        {
            var delivery = new Delivery(stream, isAgain, isRecovered, entry, now);
            held.Add(delivery);
            deliveries.Add(delivery);
        }
    }
}
