using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Millrace.Hosting;
using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>
/// Brings a group's entries into this process: what a previous run left pending, then idle entries of others, then new ones of the stream
/// and of the group's private stream, in one read that really blocks.
/// </summary>
internal sealed class GroupReader(
    IStreamStore store, GroupPlan plan, HeldDeliveries held, ReadAhead ahead, MillraceCore core, ILogger logger)
{
    // Pending entries looked at in one go.
    private const int PageSize = 64;

    // Claimed at once. A claim that is too large for an answer costs all that it brought a delivery, and small entries say nothing of those behind them: so
    // many of any size are within the 64 MiB that a connection takes by default.
    private const int MaxClaimed = 7;

    // Long enough to cost nothing when idle, short enough that a server which forgot us is noticed. Nothing is polled: entries end the
    // wait.
    private static readonly TimeSpan Block = TimeSpan.FromSeconds(30);

    // A claim must not see an entry between its arrival and its place among the held ones: it would be handled twice.
    private readonly SemaphoreSlim _taking = new(1);
    private readonly string[] _streams = [plan.Again, plan.Stream];

    /// <summary>How much it reads.</summary>
    public ReadAhead Ahead => ahead;

    /// <summary>Whether the last read of new entries brought as many as it asked for, so that there may be more.</summary>
    public bool MayHaveMore { get; private set; }

    /// <summary>Reads new entries, and waits for them where there are none. Returns them also when the wait was cancelled: they are ours already.</summary>
    /// <param name="room">
    /// How many the worker has room for. COUNT is per stream, so each gets half; one more may come when there is room for one.
    /// </param>
    /// <param name="waits">Whether to wait; otherwise what is there comes, or nothing.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public async Task<IReadOnlyList<Delivery>> ReadNewAsync(int room, bool waits, CancellationToken cancellationToken)
    {
        var batches = await ReadBatchesAsync(room, waits ? Block : TimeSpan.Zero, cancellationToken).ConfigureAwait(false);
        var deliveries = new List<Delivery>(batches is [var only] ? only.Entries.Count : room);
        var readAt = core.Time.GetTimestamp();
        foreach (var batch in batches)
            Hold(batch.Stream, batch.Stream == plan.Again, isRecovered: false, batch.Entries, readAt, deliveries);
        return deliveries;
    }

    /// <summary>
    /// As <see cref="ReadNewAsync"/>, for an ordered group, which has another place for what waits. Empty after a lease without anything new.
    /// </summary>
    public async Task<IReadOnlyList<StreamBatch<DeliveredEntry>>> ReadForQueueAsync(int room, CancellationToken cancellationToken)
    {
        var block = plan.Options.Lease < Block ? plan.Options.Lease : Block;
        var batches = await ReadBatchesAsync(room, block, cancellationToken).ConfigureAwait(false);
        foreach (var batch in batches)
            core.Meter.Received(plan, batch.Stream == plan.Again, isRecovered: false, batch.Entries);
        return batches;
    }

    /// <summary>Claims an entry of an ordered group whose turn it is, or nothing: somebody settled it.</summary>
    /// <param name="isAgain">Whether it is in the group's private stream.</param>
    /// <param name="id">The entry.</param>
    /// <param name="isRecovered">Whether an earlier reader left it; otherwise it failed, and is tried again.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    public async Task<DeliveredEntry?> ClaimForTurnAsync(bool isAgain, EntryId id, bool isRecovered, CancellationToken cancellationToken)
    {
        var claim = new ClaimRequest { Consumer = plan.Consumer, Ids = [id], MinIdleTime = TimeSpan.Zero };
        var claimed = await SendAsync(isAgain, claim, cancellationToken).ConfigureAwait(false);
        core.Meter.Received(plan, isAgain, isRecovered, claimed.Entries);
        if (claimed.Deleted.Count > 0)
            ReportDeleted(isAgain, claimed.Deleted);
        return claimed.Entries is [var taken] ? taken : null;
    }

    private async ValueTask<IReadOnlyList<StreamBatch<DeliveredEntry>>> ReadBatchesAsync(int room, TimeSpan block, CancellationToken cancellationToken)
    {
        var read = new GroupRead
        {
            Group = plan.Group,
            Consumer = plan.Consumer,
            Streams = _streams,
            Count = Math.Max(1, Math.Min(room, ahead.Fitting) / 2),
            Block = block,
        };
        try
        {
            var batches = await store.ReadGroupAsync(read, cancellationToken).ConfigureAwait(false);
            MayHaveMore = false;
            foreach (var batch in batches)
            {
                Learn(batch.Entries);
                MayHaveMore |= batch.Entries.Count >= read.Count;
            }

            return batches;
        }
        catch (StreamException)
        {
            ahead.Forget();
            throw;
        }
    }

    /// <summary>Reads a part of a stream of an ordered group without taking it, as far as one answer reaches.</summary>
    /// <returns>The entries, and the ID they reach up to.</returns>
    public async Task<(IReadOnlyList<StreamEntry> Found, EntryId End)> LookAsync(
        bool isAgain, EntryId start, EntryId end, int most, CancellationToken cancellationToken)
    {
        var range = new StreamRange { Start = start, End = end, Count = Math.Min(most, ahead.Fitting) };
        try
        {
            var found = await store.RangeAsync(StreamOf(isAgain), range, cancellationToken).ConfigureAwait(false);
            ahead.Learn(found.Sum(entry => (long)entry.Fields.Packed.Length), found.Count);
            return (found, found.Count < range.Count ? end : found[^1].Id);
        }
        catch (StreamException)
        {
            ahead.Forget();
            throw;
        }
    }

    private void Learn(IReadOnlyList<DeliveredEntry> entries)
    {
        var bytes = 0L;
        foreach (var entry in entries)
            bytes += entry.Fields.Packed.Length;
        ahead.Learn(bytes, entries.Count);
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
            var (strays, leastIdle, next) = FindStrays(isAgain, isOwn, page, suspects);
            var taken = new List<Delivery>();
            if (strays.Count > 0)
                await ClaimCoreAsync(isAgain, leastIdle, [.. strays], taken, cancellationToken).ConfigureAwait(false);
            return (taken, next);
        }
        finally
        {
            _taking.Release();
        }
    }

    /// <summary>What of a page is to be claimed in one call, as many as one answer can bring, how idle, and where the next page begins.</summary>
    private (List<EntryId> Strays, TimeSpan LeastIdle, EntryId? Next) FindStrays(
        bool isAgain, bool isOwn, IReadOnlyList<PendingEntry> page, List<EntryId> suspects)
    {
        List<EntryId> strays = [];
        var (most, leastIdle) = (Math.Min(ahead.Fitting, MaxClaimed), TimeSpan.Zero);
        foreach (var pending in page)
        {
            if (held.MayRun(isAgain, pending.Id))
                continue;
            if (pending.DeliveryCount >= 2)
            {
                suspects.Add(pending.Id);
                continue;
            }

            var idle = LeastIdle(isOwn, pending.IdleTime);
            if (strays.Count == most || (strays.Count > 0 && idle != leastIdle))
                return (strays, leastIdle, pending.Id);
            leastIdle = idle;
            strays.Add(pending.Id);
        }

        return (strays, leastIdle, page.Count < PageSize ? null : page[^1].Id.Next());
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
            if (held.MayRun(isAgain, id))
                return [];
            var idle = plan.Options.Lease;
            if (isOwn)
            {
                var still = new PendingQuery { Consumer = plan.Consumer, Start = id, End = id, Count = 1 };
                if (await store.PendingAsync(StreamOf(isAgain), plan.Group, still, cancellationToken).ConfigureAwait(false) is not [var own])
                    return [];
                idle = own.IdleTime;
            }

            var taken = new List<Delivery>();
            await ClaimCoreAsync(isAgain, LeastIdle(isOwn, idle), [id], taken, cancellationToken).ConfigureAwait(false);
            return taken;
        }
        finally
        {
            _taking.Release();
        }
    }

    /// <summary>
    /// How idle an entry must still be to be claimed. Our own are not waited for; but one that others may take over, or soon may, could be
    /// theirs by now, and then its idle time began anew: what was listed as ours is not stolen back.
    /// </summary>
    private TimeSpan LeastIdle(bool isOwn, TimeSpan listed)
    {
        var lease = plan.Options.Lease;
        return !isOwn ? lease : listed >= lease / 2 ? lease / 2 : TimeSpan.Zero;
    }

    private async Task ClaimCoreAsync(
        bool isAgain, TimeSpan leastIdle, EntryId[] ids, List<Delivery> deliveries, CancellationToken cancellationToken)
    {
        // The lease begins with the claim, not with its answer.
        var claimedAt = core.Time.GetTimestamp();
        var claim = new ClaimRequest { Consumer = plan.Consumer, Ids = ids, MinIdleTime = leastIdle };
        var claimed = await SendAsync(isAgain, claim, cancellationToken).ConfigureAwait(false);
        Hold(StreamOf(isAgain), isAgain, isRecovered: true, claimed.Entries, claimedAt, deliveries);
        if (claimed.Deleted.Count > 0)
            ReportDeleted(isAgain, claimed.Deleted);
    }

    private async ValueTask<ClaimResult> SendAsync(bool isAgain, ClaimRequest claim, CancellationToken cancellationToken)
    {
        try
        {
            var claimed = await store.ClaimAsync(StreamOf(isAgain), plan.Group, claim, cancellationToken).ConfigureAwait(false);
            Learn(claimed.Entries);
            return claimed;
        }
        catch (StreamException)
        {
            ahead.Forget();
            throw;
        }
    }

    /// <summary>Tells of entries that were deleted while they were pending.</summary>
    public void ReportDeleted(bool isAgain, IReadOnlyList<EntryId> deleted)
    {
        var (first, last) = (deleted.Min(), deleted.Max());
        LogMessages.PendingDeleted(logger, StreamOf(isAgain), plan.Group, deleted.Count, first, last);
        core.Report(
            new()
            {
                Kind = StreamLossKind.PendingDeleted,
                Stream = plan.Stream,
                Group = plan.Group,
                MissingAfter = isAgain ? EntryId.Zero : first.Previous(),
                MissingThrough = isAgain ? EntryId.Zero : last,
                MissingCount = isAgain ? 0 : deleted.Count,
                MissingRetries = isAgain ? deleted.Count : 0,
            },
            plan,
            logger);
    }

    private string StreamOf(bool isAgain) => isAgain ? plan.Again : plan.Stream;

    private void Hold(
        string stream, bool isAgain, bool isRecovered, IReadOnlyList<DeliveredEntry> entries, long heldSince, List<Delivery> deliveries)
    {
        core.Meter.Received(plan, isAgain, isRecovered, entries);
        var before = deliveries.Count;
        foreach (var entry in entries)
            deliveries.Add(new(stream, isAgain, isRecovered, entry, heldSince));
        held.Add(CollectionsMarshal.AsSpan(deliveries)[before..]);
    }
}
