using Millrace.Streams;

namespace Millrace;

/// <summary>
/// Keeps streams from growing for ever, and never drops what a group has yet to settle unless told so. What is added with
/// <see cref="MillraceBuilder.AddRetention"/> is applied in the background, every <see cref="MillraceOptions.RetentionInterval"/> by one
/// process; this applies a policy now, or says what it would do. A singleton where Millrace is added; made by hand anywhere else.
/// </summary>
public sealed class Retention
{
    private readonly IStreamStore _store;
    private readonly TimeProvider _time;
    private readonly AbandonedGroups _abandoned;
    private readonly StreamSizes _sizes;

    /// <summary>Asks the store for nothing yet.</summary>
    /// <param name="store">The store.</param>
    /// <param name="time">The clock of ages. Default: the system's.</param>
    public Retention(IStreamStore store, TimeProvider? time = null)
    {
        (_store, _time) = (store, time ?? TimeProvider.System);
        _abandoned = new(store);
        _sizes = new(store);
    }

    /// <summary>The policies the application added, by stream; none when made by hand.</summary>
    public IReadOnlyDictionary<string, StreamRetention> Policies { get; internal init; } = new Dictionary<string, StreamRetention>();

    /// <summary>The groups that this process reads, by stream: none is abandoned, and one that it has not made yet has everything before it.</summary>
    internal ILookup<string, string> Groups { get; init; } = Array.Empty<string>().ToLookup(static name => name);

    /// <summary>
    /// Applies a policy to a stream once. About five round trips for each group; with a number to keep a read for every 500 entries that go, and with a
    /// size to keep the reading of what came since the last time, 500 entries or 4 MiB at a time. As much again for the dead letters of each group, and for
    /// the notes about them, where they have bounds.
    /// </summary>
    /// <param name="stream">The stream; nothing happens when there is none.</param>
    /// <param name="retention">What to keep.</param>
    /// <param name="dryRun">
    /// Only says what would go, and changes nothing: of a group that stands still it knows what runs that were none have noted. Reads what would go.
    /// </param>
    /// <param name="cancellationToken">Stops it; what was dropped is gone, and the rest goes with the next run.</param>
    /// <exception cref="ArgumentException">A bound is negative, a time out of its bounds, or the stream's name has stray braces.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<RetentionResult> ApplyAsync(
        string stream, StreamRetention retention, bool dryRun = false, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(retention);
        retention.Check();
        StreamArguments.Check(AbandonedGroups.KeyOf(stream));

        var groups = await _store.GetGroupsAsync(stream, cancellationToken).ConfigureAwait(false);
        var others = groups.Where(group => !Groups[stream].Contains(group.Name));
        var abandoned = await _abandoned.FindAsync(stream, [.. others], retention.AbandonedAfter, dryRun, cancellationToken).ConfigureAwait(false);
        if (!dryRun && retention.AbandonedGroups == AbandonedGroupPolicy.Delete)
        {
            foreach (var group in groups.Where(group => abandoned.ContainsKey(group.Name)))
            {
                if (!await _abandoned.DeleteAsync(stream, group, abandoned[group.Name], cancellationToken).ConfigureAwait(false))
                    abandoned.Remove(group.Name);
            }
        }

        // Of those that were to be deleted none is left, and one of that name is another.
        IReadOnlyCollection<string> passedOver = retention.AbandonedGroups switch
        {
            AbandonedGroupPolicy.Report => [],
            AbandonedGroupPolicy.Delete when !dryRun => [],
            _ => abandoned.Keys,
        };
        var (floor, holder) = await FindFloorAsync(stream, retention, passedOver, cancellationToken).ConfigureAwait(false);
        var (cut, isHeldBack) = await FindCutAsync(stream, retention, floor, cancellationToken).ConfigureAwait(false);
        if (cut > EntryId.Zero)
        {
            // That may have read all of the stream. A group which was made or moved back meanwhile is promised what is there now.
            var (lowered, lowerer) = await FindFloorAsync(stream, retention, passedOver, cancellationToken).ConfigureAwait(false);
            if (lowered < cut && await HasEntryAsync(stream, lowered, cut, cancellationToken).ConfigureAwait(false))
                (isHeldBack, holder) = (true, lowerer);
            cut = lowered < cut ? lowered : cut;
        }

        // At once, while that holds.
        var entries = cut == EntryId.Zero ? 0
            : dryRun ? (await WalkAsync(stream, cut, long.MaxValue, cancellationToken).ConfigureAwait(false)).Count
            : await _store.TrimAsync(stream, StreamTrim.ToMinId(cut), cancellationToken).ConfigureAwait(false);
        var (letters, letterStreams) = await ApplyToDeadLettersAsync(stream, groups, retention, dryRun, cancellationToken).ConfigureAwait(false);
        return new()
        {
            Stream = stream,
            IsDryRun = dryRun,
            Entries = entries,
            KeptFrom = cut,
            HeldBackBy = isHeldBack ? holder : null,
            AbandonedGroups = [.. abandoned.Keys],
            DeadLetters = letters,
            DeadLetterStreams = letterStreams,
        };
    }

    /// <summary>The first entry that a group has not settled, and that group; the largest ID when there is none, or they are not asked.</summary>
    private async ValueTask<(EntryId Floor, string? Holder)> FindFloorAsync(
        string stream, StreamRetention retention, IReadOnlyCollection<string> passedOver, CancellationToken cancellationToken)
    {
        var (floor, holder) = (EntryId.Max, (string?)null);
        if (!retention.KeepUnsettled)
            return (floor, holder);
        var groups = await _store.GetGroupsAsync(stream, cancellationToken).ConfigureAwait(false);
        if (Groups[stream].Except(groups.Select(static group => group.Name)).FirstOrDefault() is { } missing)
            return (EntryId.Zero, missing);
        foreach (var group in groups.Where(group => !passedOver.Contains(group.Name)))
        {
            // Asked after the group was: what is delivered in between is behind its last entry, and kept for that.
            var unsettled = group.LastDeliveredId == EntryId.Max ? EntryId.Max : group.LastDeliveredId.Next();
            try
            {
                var pending = await _store.PendingSummaryAsync(stream, group.Name, cancellationToken).ConfigureAwait(false);
                if (pending.MinId is { } first && first < unsettled)
                    unsettled = first;
            }
            catch (StreamException exception) when (exception.Code == StreamErrorCode.NoGroup)
            {
                // Deleted meanwhile; should it be made again, it goes on behind what it had settled.
            }

            if (unsettled < floor)
                (floor, holder) = (unsettled, group.Name);
        }

        return (floor, holder);
    }

    /// <summary>The smallest ID to keep, never above the floor, and whether the floor kept more than the bounds ask for.</summary>
    private async ValueTask<(EntryId Cut, bool IsHeldBack)> FindCutAsync(
        string stream, StreamRetention retention, EntryId floor, CancellationToken cancellationToken)
    {
        var cut = EntryId.Zero;
        if (retention.MaxAge is { } maxAge && _time.GetUtcNow() is var now && maxAge < now - DateTimeOffset.UnixEpoch)
            cut = EntryId.FromTime(now - maxAge);
        if (retention.MaxBytes is { } maxBytes && await _sizes.FindEndAsync(stream, maxBytes, cancellationToken).ConfigureAwait(false) is var end && end > cut)
            cut = end;
        var isHeldBack = cut > floor && await HasEntryAsync(stream, floor, cut, cancellationToken).ConfigureAwait(false);
        cut = cut < floor ? cut : floor;

        if (retention.MaxCount is not { } maxCount
            || await _store.GetStreamInfoAsync(stream, cancellationToken).ConfigureAwait(false) is not { } info
            || info.Length - maxCount is not (> 0 and var excess))
            return (cut, isHeldBack);
        var (count, next) = await WalkAsync(stream, floor, excess, cancellationToken).ConfigureAwait(false);
        return (next > cut ? next : cut, isHeldBack || count < excess);
    }

    private async ValueTask<bool> HasEntryAsync(string stream, EntryId from, EntryId below, CancellationToken cancellationToken) =>
        await _store.RangeAsync(stream, new() { Start = from, End = below.Previous(), Count = 1 }, cancellationToken).ConfigureAwait(false)
            is not [];

    /// <summary>Counts entries below an ID, up to a number. The second value is the ID behind the last of them.</summary>
    private async ValueTask<(long Count, EntryId Next)> WalkAsync(
        string stream, EntryId below, long limit, CancellationToken cancellationToken)
    {
        var (count, next) = (0L, EntryId.Zero);
        if (limit <= 0 || below == EntryId.Zero)
            return (count, next);
        await foreach (var entry in new EntryPages(_store).ReadAsync(stream, new() { End = below.Previous() }, cancellationToken).ConfigureAwait(false))
        {
            (count, next) = (count + 1, EntryPages.Behind(entry.Id));
            if (count == limit)
                break;
        }

        return (count, next);
    }

    /// <summary>The letters of each group and the notes about them: streams like any other, whose groups have their say.</summary>
    private async ValueTask<(long Letters, List<RetentionResult> Streams)> ApplyToDeadLettersAsync(
        string stream, IEnumerable<GroupInfo> groups, StreamRetention retention, bool dryRun, CancellationToken cancellationToken)
    {
        var (dropped, streams) = (0L, new List<RetentionResult>());
        var (letters, notes) = (retention.OfDeadLetters, retention.OfDeadLetterNotes);
        foreach (var group in groups)
        {
            if (letters is not null)
            {
                streams.Add(await ApplyAsync(StreamNames.DeadLetters(stream, group.Name), letters, dryRun, cancellationToken).ConfigureAwait(false));
                dropped += streams[^1].Entries;
            }

            if (notes is not null)
                streams.Add(await ApplyAsync(StreamNames.DeadLetterAudit(stream, group.Name), notes, dryRun, cancellationToken).ConfigureAwait(false));
        }

        return (dropped, streams);
    }
}
