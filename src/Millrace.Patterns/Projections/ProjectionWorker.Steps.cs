using Microsoft.Extensions.Logging;
using Millrace.EventSourcing;
using Millrace.Streams;

namespace Millrace.Projections;

internal sealed partial class ProjectionWorker
{
    private static readonly TimeSpan SampleInterval = TimeSpan.FromSeconds(1);

    private long _sampledAt;

    /// <summary>Reads, folds and saves a batch. Two round trips for views and one to read.</summary>
    private async ValueTask<Turn> StepAsync(Cursor cursor, CancellationToken cancellationToken)
    {
        if (!IsRunnable(cursor))
            return Turn.Idle;

        // From the checkpoint itself: while its entry is there, nothing after it was trimmed.
        var range = new StreamRange { Start = cursor.Saved.Position, Count = Options.BatchSize + 1 };
        var page = await _store.RangeAsync(_definition.Source, range, cancellationToken).ConfigureAwait(false);
        var isAnchored = page.Count > 0 && page[0].Id == cursor.Saved.Position;
        if (!isAnchored && await CheckSourceAsync(cursor, page, cancellationToken).ConfigureAwait(false) is { } turn)
            return turn;
        var skipped = isAnchored ? 1 : 0;
        if (ReferenceEquals(cursor, _live))
            await SampleAsync(cursor, page.Count > skipped ? page[skipped] : null, cancellationToken).ConfigureAwait(false);
        if (page.Count == skipped)
            return Turn.Idle;

        var events = new List<RecordedEvent>(page.Count);
        var poison = Decode(cursor, page, skipped, events, out var count);
        return count > 0 ? await SaveAsync(cursor, events, page[skipped + count - 1].Id, count, cancellationToken).ConfigureAwait(false)
            : await DealWithAsync(cursor, poison!.Value, cancellationToken).ConfigureAwait(false);
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
                _refused = (batch.After, _headVersion);
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
            _status.Change(report => report with { Checkpoint = cursor.Saved, Lag = Math.Max(0, report.Lag - count) });
        return Turn.Progress;
    }

    /// <summary>Passes poison over and records it, or stops before it.</summary>
    private async ValueTask<Turn> DealWithAsync(Cursor cursor, (EntryId Id, string Reason) poison, CancellationToken cancellationToken)
    {
        cursor.Poison = null;
        if (Options.WhenPoisoned == WhenPoisoned.Stop && _head.Skip != poison.Id.ToString())
            return await StopAsync(cursor, $"{poison.Id}: {poison.Reason}", cancellationToken).ConfigureAwait(false);

        // Under the ID of the entry, so that it is recorded once; before the checkpoint, so that it is recorded at all.
        var record = new Commit
        {
            Conditions = [_plan.Unchanged(_headVersion)],
            Changes =
            [
                new CommitChange.Append(
                    _definition.Names.Skipped(cursor.Generation.Number), EntryFields.Create(("reason", Shorten(poison.Reason))), poison.Id),
            ],
        };
        var result = (await _store.CommitAsync([record], cancellationToken).ConfigureAwait(false))[0];
        if (result.Conflict is not null)
            return Turn.Stale;
        if (result.Failure is { } failure && failure.Code != StreamErrorCode.IdNotIncreasing)
            throw failure;
        var turn = await SaveAsync(cursor, [], poison.Id, 1, cancellationToken).ConfigureAwait(false);
        if (turn == Turn.Progress)
        {
            LogMessages.ProjectionSkipped(_logger, _definition.Name, poison.Id, poison.Reason);
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
        if (info is null || info.LastGeneratedId < position)
            return await LoseAsync(cursor, $"'{source}' ends before the checkpoint {position}: it was deleted, or went back with its store", cancellationToken)
                .ConfigureAwait(false);
        var first = info.FirstEntry?.Id;
        if (first <= position)
            return null;
        if (first != (page.Count > 0 ? page[0].Id : null))
            return Turn.Progress; // Appended or trimmed since it was read.

        var gone = info.EntriesAdded - info.Length;
        if (gone > cursor.Entries)
        {
            var loss = $"{gone - cursor.Entries} entries of '{source}' after the checkpoint {position} were trimmed before they were folded in";
            if (await LoseAsync(cursor, loss, cancellationToken).ConfigureAwait(false) is { } turn)
                return turn;
        }

        cursor.Entries = gone;
        return null;
    }

    /// <summary>Stops, or goes on if that is wanted.</summary>
    private async ValueTask<Turn?> LoseAsync(Cursor cursor, string loss, CancellationToken cancellationToken)
    {
        if (IsAccepted(cursor))
            return null;
        LogMessages.ProjectionSourceLost(_logger, _definition.Name, loss);
        _meter.Lost(_definition);
        return Options.WhenTrimmed == WhenTrimmed.GoOn ? null : await StopAsync(cursor, loss, cancellationToken).ConfigureAwait(false);
    }

    private bool IsAccepted(Cursor cursor) => _head.AcceptedLosses.Contains(Acceptance(cursor.Generation.Number, cursor.Saved.Position));

    public static string Acceptance(int generation, EntryId position) => $"{generation} {position}";

    /// <summary>Tells the lag once a second, and counts anew where the end of the source is reached.</summary>
    private async ValueTask SampleAsync(Cursor cursor, StreamEntry? next, CancellationToken cancellationToken)
    {
        if (_sampledAt != 0 && _time.GetElapsedTime(_sampledAt) < SampleInterval)
            return;
        _sampledAt = _time.GetTimestamp();
        if (await _store.GetStreamInfoAsync(_definition.Source, cancellationToken).ConfigureAwait(false) is not { } info)
            return;
        if (info.LastGeneratedId == cursor.Saved.Position)
            cursor.Entries = info.EntriesAdded;
        var age = next is { } entry ? _time.GetUtcNow() - new MessageHeaders(entry.Id, entry.Fields).Time : TimeSpan.Zero;
        _status.Change(report => report with
        {
            Head = info.LastGeneratedId,
            Lag = Math.Max(0, info.EntriesAdded - cursor.Entries),
            TimeLag = age < TimeSpan.Zero ? TimeSpan.Zero : age,
            State = next is null ? report.State : ProjectionState.CatchingUp,
        });
    }

    private static string Shorten(string reason) => reason.Length <= 1_000 ? reason : reason[..1_000];
}
