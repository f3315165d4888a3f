using Microsoft.Extensions.Logging;
using Millrace.EventSourcing;
using Millrace.Streams;

namespace Millrace.Projections;

internal sealed partial class ProjectionWorker
{
    private static readonly TimeSpan SampleInterval = TimeSpan.FromSeconds(1);

    // How often the source is asked for lanes, which may come at any time.
    private static readonly TimeSpan LaneInterval = TimeSpan.FromSeconds(30);

    private long _sampledAt;
    private long? _hadNoLanesAt;

    // What a target refused, and under which plan.
    private (int Generation, ProjectionCheckpoint After, long HeadVersion)? _refused;

    /// <summary>Reads, folds and saves a batch. Two round trips for views and one to read.</summary>
    private async ValueTask<Turn> StepAsync(Cursor cursor, CancellationToken cancellationToken)
    {
        if (!IsRunnable(cursor))
            return await StandAsync(cursor, cancellationToken).ConfigureAwait(false);
        await RefuseLanesAsync(cancellationToken).ConfigureAwait(false);

        // From the checkpoint itself: while its entry is there, nothing after it was trimmed.
        var range = new StreamRange { Start = cursor.Saved.Position, Count = Options.BatchSize + 1 };
        var (page, _) = await _pages.ReadPageAsync(_definition.Source, range, least: 2, cancellationToken).ConfigureAwait(false);
        var isAnchored = page.Count > 0 && page[0].Id == cursor.Saved.Position;
        if (!isAnchored && await CheckSourceAsync(cursor, page, cancellationToken).ConfigureAwait(false) is { } turn)
            return turn;
        var skipped = isAnchored ? 1 : 0;
        if (await SampleAsync(cursor, page.Count > skipped ? page[skipped] : null, cancellationToken).ConfigureAwait(false) is { } info &&
            info.EntriesAdded < cursor.Saved.Entries)
            return await BeginAnewAsync(cursor, info, cancellationToken).ConfigureAwait(false);
        if (page.Count == skipped)
            return Turn.Idle;

        var events = new List<RecordedEvent>(page.Count);
        var poison = Decode(cursor, page, skipped, events, out var count);
        return count > 0 ? await SaveAsync(cursor, events, page[skipped + count - 1].Id, count, cancellationToken).ConfigureAwait(false)
            : await DealWithAsync(cursor, page[skipped], poison!.Value.Reason, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>What is in lanes would be missing from the views, and nobody would notice.</summary>
    private async ValueTask RefuseLanesAsync(CancellationToken cancellationToken)
    {
        if (_hadNoLanesAt is { } last && _time.GetElapsedTime(last) < LaneInterval)
            return;
        var lanes = await _lanes.ListAsync(_definition.Source, cancellationToken).ConfigureAwait(false);
        if (lanes.Count > 0)
            throw new InvalidOperationException(
                $"The stream '{_definition.Source}' has lanes, whose messages a projection does not see: {string.Join(", ", lanes)}. " +
                "Fold a stream without lanes, such as what a consumer of this one publishes.");
        _hadNoLanesAt = _time.GetTimestamp();
    }

    /// <summary>Decodes up to the first entry that cannot be, or is known to be poison.</summary>
    private (EntryId Id, string Reason)? Decode(Cursor cursor, IReadOnlyList<StreamEntry> page, int start, List<RecordedEvent> events, out int count)
    {
        for (count = 0; count < Options.BatchSize && start + count < page.Count; count++)
        {
            var entry = page[start + count];
            if (cursor.Poison is { } known && known.Id == entry.Id)
                return known;
            try
            {
                events.Add(RecordedEvent.Read(_codec, _definition.Source, entry));
            }
            catch (UndecodableMessageException exception)
            {
                if (!Options.IgnoresUnknownTypes || exception.Reason != DeadLetterReasons.UnknownType)
                    return (entry.Id, exception.Message);
            }
        }

        return null;
    }

    private async ValueTask<Turn> SaveAsync(
        Cursor cursor, IReadOnlyList<RecordedEvent> events, EntryId position, int count, CancellationToken cancellationToken)
    {
        var batch = new ProjectionBatch
        {
            Projection = _definition.Name,
            Generation = cursor.Generation.Number,
            Events = events,
            After = cursor.Saved,
            Checkpoint = new(position, cursor.Entries + count),
            Fence = _plan.Unchanged(_headVersion),
        };
        try
        {
            if (!await _target.ApplyAsync(batch, cancellationToken).ConfigureAwait(false))
            {
                var refused = (batch.Generation, batch.After, _headVersion);
                if (_refused == refused)
                    throw new InvalidOperationException($"The target refused a batch after the checkpoint {batch.After}, which is the one it has.");
                _refused = refused;
                return Turn.Stale;
            }
        }
        catch (ProjectionEventException exception) when (events.Any(one => one.EntryId == exception.EntryId))
        {
            // A part of the batch may be saved.
            cursor.Poison = (exception.EntryId, exception.Message);
            return Turn.Stale;
        }

        (cursor.Saved, cursor.Entries) = (batch.Checkpoint, batch.Checkpoint.Entries);
        _meter.Folded(_definition, events.Count);
        if (ReferenceEquals(cursor, _live))
            _status.Change(report => report with { Checkpoint = cursor.Saved, Lag = report.Lag is { } lag ? Math.Max(0, lag - count) : null });
        return Turn.Progress;
    }

    /// <summary>Passes poison over and records it, or stops before it.</summary>
    private async ValueTask<Turn> DealWithAsync(Cursor cursor, StreamEntry poison, string reason, CancellationToken cancellationToken)
    {
        cursor.Poison = null;
        if (Options.WhenPoisoned == WhenPoisoned.Stop && _head.Skip != poison.Id.ToString())
            return await StopAsync(cursor, $"{poison.Id}: {reason}", cancellationToken).ConfigureAwait(false);

        // Under the ID of the entry, so that it is recorded once; before the checkpoint, so that it is recorded at all. With the place in its own stream, for
        // the rebuild of that view, and what it was: a stream that was lost may have another event there.
        var note = new EntryFieldsWriter()
            .Add(ProjectionNames.SkippedReason, Shorten(reason))
            .Add(ProjectionNames.SkippedEventId, new MessageHeaders(poison.Id, poison.Fields).MessageId)
            .ToFields();
        if (EventStoreNames.TryReadOrigin(poison.Fields, out var origin))
            note = EventStoreNames.Copy(note, origin.Stream, origin.Version);
        var record = new Commit
        {
            Conditions = [_plan.Unchanged(_headVersion)],
            Changes = [new CommitChange.Append(_definition.Names.Skipped(cursor.Generation.Number), note, poison.Id)],
        };
        var result = (await _store.CommitAsync([record], cancellationToken).ConfigureAwait(false))[0];
        if (result.Conflict is not null)
            return Turn.Stale;
        if (result.Failure is { } failure && failure.Code != StreamErrorCode.IdNotIncreasing)
            throw failure;
        var turn = await SaveAsync(cursor, [], poison.Id, 1, cancellationToken).ConfigureAwait(false);
        if (turn == Turn.Progress)
        {
            LogMessages.ProjectionSkipped(_logger, _definition.Name, poison.Id, reason);
            _meter.Skipped(_definition);
        }

        return turn;
    }

    private async ValueTask<Turn> StopAsync(Cursor cursor, string reason, CancellationToken cancellationToken)
    {
        await _plan.ChangeAsync(
            head => head.Owner == _lease.Owner ? head.WithFailure(cursor.Generation.Number, Shorten(reason)) : null,
            $"generation {cursor.Generation.Number} stopped",
            cancellationToken).ConfigureAwait(false);
        LogMessages.ProjectionStopped(_logger, _definition.Name, cursor.Generation.Number, reason);
        return Turn.Stale;
    }

    /// <summary>
    /// Looks, when the entry of the checkpoint is not there any more, whether others went with it that were not folded in. Entries that somebody deleted
    /// by ID count as lost only when all before them is gone, too.
    /// </summary>
    /// <returns><see langword="null"/>: what was read is what follows.</returns>
    private async ValueTask<Turn?> CheckSourceAsync(Cursor cursor, IReadOnlyList<StreamEntry> page, CancellationToken cancellationToken)
    {
        var (source, position) = (_definition.Source, cursor.Saved.Position);
        var info = await _store.GetStreamInfoAsync(source, cancellationToken).ConfigureAwait(false);
        if (info is null && position == EntryId.Zero)
            return null;
        if (info is null || info.LastGeneratedId < position || info.EntriesAdded < cursor.Saved.Entries)
            return await BeginAnewAsync(cursor, info, cancellationToken).ConfigureAwait(false);
        var first = info.FirstEntry?.Id;
        if (first <= position)
            return null;
        if (first != (page.Count > 0 ? page[0].Id : null))
            return Turn.Progress; // Appended or trimmed since it was read.

        var gone = info.EntriesAdded - info.Length;
        if (gone > cursor.Entries)
        {
            var loss = $"{gone - cursor.Entries} entries of '{source}' after the checkpoint {position} were trimmed before they were folded in";
            if (await LoseAsync(cursor, loss, Options.WhenTrimmed == WhenTrimmed.GoOn, cancellationToken).ConfigureAwait(false) is { } turn)
                return turn;
        }

        cursor.Entries = gone;
        return null;
    }

    /// <summary>
    /// Stops where the source is not the one that was folded in; once that is accepted, begins with its first entry. The old checkpoint would hide all that
    /// comes under lower IDs.
    /// </summary>
    private async ValueTask<Turn> BeginAnewAsync(Cursor cursor, StreamInfo? info, CancellationToken cancellationToken)
    {
        var loss = $"'{_definition.Source}' ends before the checkpoint {cursor.Saved}: it was deleted, or went back with its store";
        if (await LoseAsync(cursor, loss, mayGoOn: false, cancellationToken).ConfigureAwait(false) is { } turn)
            return turn;
        cursor.Entries = info is null ? 0 : info.EntriesAdded - info.Length;

        // What it passed over so far is gone, or is looked at again. Before the checkpoint, after which nobody would.
        await _store.DeleteStreamAsync(_definition.Names.Skipped(cursor.Generation.Number), cancellationToken).ConfigureAwait(false);
        return await SaveAsync(cursor, [], EntryId.Zero, 0, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Stops, or goes on if that is wanted.</summary>
    private async ValueTask<Turn?> LoseAsync(Cursor cursor, string loss, bool mayGoOn, CancellationToken cancellationToken)
    {
        if (IsAccepted(cursor))
            return null;
        LogMessages.ProjectionSourceLost(_logger, _definition.Name, loss);
        _meter.Lost(_definition);
        return mayGoOn ? null : await StopAsync(cursor, loss, cancellationToken).ConfigureAwait(false);
    }

    private bool IsAccepted(Cursor cursor) => _head.AcceptedLosses.Contains(Acceptance(cursor.Generation.Number, cursor.Saved.Position));

    public static string Acceptance(int generation, EntryId position) => $"{generation} {position}";

    /// <summary>Nothing to fold, but the lag of what queries see is told.</summary>
    private async ValueTask<Turn> StandAsync(Cursor cursor, CancellationToken cancellationToken)
    {
        if (!IsSampleDue(cursor))
            return Turn.Idle;
        var range = new StreamRange { Start = cursor.Saved.Position.Next(), Count = 1 };
        var next = await _store.RangeAsync(_definition.Source, range, cancellationToken).ConfigureAwait(false);
        await SampleAsync(cursor, next is [var entry, ..] ? entry : null, cancellationToken).ConfigureAwait(false);
        return Turn.Idle;
    }

    // At once where a loss was accepted, as the source may have begun anew.
    private bool IsSampleDue(Cursor cursor) => ReferenceEquals(cursor, _live) &&
        (_sampledAt == 0 || _time.GetElapsedTime(_sampledAt) >= SampleInterval || IsAccepted(cursor));

    /// <summary>Tells the lag of the live generation once a second, and counts anew where the end of the source is reached.</summary>
    /// <returns>The source, or <see langword="null"/>: it was not looked at.</returns>
    private async ValueTask<StreamInfo?> SampleAsync(Cursor cursor, StreamEntry? next, CancellationToken cancellationToken)
    {
        if (!IsSampleDue(cursor))
            return null;
        _sampledAt = _time.GetTimestamp();
        if (await _store.GetStreamInfoAsync(_definition.Source, cancellationToken).ConfigureAwait(false) is not { } info)
            return null;
        if (info.LastGeneratedId == cursor.Saved.Position)
            cursor.Entries = info.EntriesAdded;
        var age = next is { } entry ? _time.GetUtcNow() - new MessageHeaders(entry.Id, entry.Fields).Time : TimeSpan.Zero;
        _status.Change(report => report with
        {
            Head = info.LastGeneratedId,
            Lag = next is null ? 0 : Math.Max(1, info.EntriesAdded - cursor.Entries),
            TimeLag = age < TimeSpan.Zero ? TimeSpan.Zero : age,
            State = next is null || !IsRunnable(cursor) ? report.State : ProjectionState.CatchingUp,
        });
        return info;
    }

    private static string Shorten(string reason) => reason.Length <= 1_000 ? reason : reason[..1_000];
}
