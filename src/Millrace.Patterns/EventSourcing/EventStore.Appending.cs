using Millrace.Streams;

namespace Millrace.EventSourcing;

public sealed partial class EventStore
{
    /// <summary>
    /// Tries until the store says what became of it. The expected last ID is a condition of the commit and the IDs of the events are given, so that of
    /// a commit that is sent twice one at most is applied; and whether it was the first is seen by the message ID of its first event.
    /// </summary>
    private async ValueTask<AppendResult> AppendCoreAsync(
        Append append, ExpectedVersion expected, bool tellBetween, CancellationToken cancellationToken)
    {
        var lost = new LostAnswers();
        using var measured = _meter.Append(append.Stream, append.Category);
        try
        {
            var result = await TryAsync(append, expected, tellBetween, lost, cancellationToken).ConfigureAwait(false);
            measured.Outcome = result.Outcome;
            return result;
        }
        catch (StreamException exception) when (exception.Code == StreamErrorCode.CrossSlot && append.Category is { } category)
        {
            measured.Fail(exception);
            throw new StreamException(
                StreamErrorCode.CrossSlot,
                $"'{append.Stream}' and its category '{category}' are in different hash slots of the cluster, and a commit stays in one; nothing was "
                + $"appended. Give the category a tag, which its streams then share: '{{{category}}}:all' and '{{{category}}}:all-17'.",
                exception);
        }
        catch (StreamException exception) when (lost.From is not null && exception.Code != StreamErrorCode.OutcomeUnknown)
        {
            // Whatever the last try met: an earlier one may have been applied.
            measured.Fail(exception);
            throw new StreamException(StreamErrorCode.OutcomeUnknown, $"Whether '{append.Stream}' has the events is not known.", exception);
        }
        catch (Exception exception)
        {
            measured.Fail(exception);
            throw;
        }
    }

    private async ValueTask<AppendResult> TryAsync(
        Append append, ExpectedVersion expected, bool tellBetween, LostAnswers lost, CancellationToken cancellationToken)
    {
        // As whoever read the stream knows it; only a conflict, or no expectation, makes us look.
        var last = expected.IsAny ? await FindLastAsync(append.Stream, cancellationToken).ConfigureAwait(false) : expected.LastId;
        for (var tries = 1; ; tries++)
        {
            CommitResult result;
            try
            {
                result = await _store.CommitAsync(append.ToCommit(last, _options.CommandWindow), cancellationToken).ConfigureAwait(false);
            }
            catch (StreamException exception) when (lost.IsWorthATry(exception))
            {
                lost.From ??= append.FirstId(last);
                await WaitAsync(lost.Count, cancellationToken).ConfigureAwait(false);
                continue;
            }

            if (result.IsApplied)
                return AppendResult.Of(AppendOutcome.Appended, append.LastVersion(last), result.Ids[^1]);
            if (lost.From is { } from && await FindOursAsync(append, from, cancellationToken).ConfigureAwait(false) is { } ours)
                return await ToldLateAsync(AppendOutcome.Appended, append.Stream, ours + append.Events.Count - 1, cancellationToken).ConfigureAwait(false);
            if (await TellAsync(append, result.Conflict!, cancellationToken).ConfigureAwait(false) is { } told)
                return told;

            _meter.Conflicted(append.Category);
            last = await FindLastAsync(append.Stream, cancellationToken).ConfigureAwait(false);
            var version = (long)(last ?? EntryId.Zero).Milliseconds;
            if (!expected.IsMetBy(last ?? EntryId.Zero))
            {
                var between = tellBetween
                    ? await BetweenAsync(append.Stream, expected.Version, version, cancellationToken).ConfigureAwait(false)
                    : [];
                return new(AppendOutcome.Conflict, version, between);
            }

            if (tries >= _options.MaxTries)
                throw Overtaken(append.Stream, tries);
            if (expected.IsAny && tries > 1)
                await WaitAsync(tries - 1, cancellationToken).ConfigureAwait(false);
        }
    }

    private static StreamException Overtaken(string stream, int tries) =>
        new(StreamErrorCode.Busy, $"Others appended to '{stream}' at each of {tries} tries; nothing was appended. Try again.");

    /// <summary>The result, when the condition that failed says it; otherwise the stream has another last ID.</summary>
    private async ValueTask<AppendResult?> TellAsync(Append append, CommitCondition conflict, CancellationToken cancellationToken)
    {
        if (conflict is not CommitCondition.State { Key: var key })
            return null;
        if (await _store.GetStateAsync(key, cancellationToken).ConfigureAwait(false) is not { } document)
            return null; // The command was forgotten in this moment.
        var version = EventStoreNames.Version(document.Payload.Span);
        return key == EventStoreNames.Deleted(append.Stream)
            ? AppendResult.Of(AppendOutcome.Deleted, version)
            : await ToldLateAsync(AppendOutcome.Duplicate, append.Stream, version, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The result for events that an earlier commit appended.</summary>
    private async ValueTask<AppendResult> ToldLateAsync(AppendOutcome outcome, string stream, long version, CancellationToken cancellationToken) =>
        AppendResult.Of(outcome, version, await FindPositionAsync(stream, new((ulong)version, 0), cancellationToken).ConfigureAwait(false));

    /// <summary>
    /// Where events are that were appended before, as far as it matters to who waits for a projection: the category has them at its last entry, or earlier.
    /// An entry that is gone would not do: a projection that begins after that never comes to it.
    /// </summary>
    private async ValueTask<EntryId?> FindPositionAsync(string stream, EntryId last, CancellationToken cancellationToken) =>
        _options.CategoryOf(stream) is not { } category ? last
            : (await _store.GetStreamInfoAsync(category, cancellationToken).ConfigureAwait(false))?.LastEntry?.Id;

    /// <summary>The version of our first event, when a commit was applied whose answer was lost.</summary>
    private async ValueTask<long?> FindOursAsync(Append append, EntryId from, CancellationToken cancellationToken)
    {
        var id = new MessageHeaders(EntryId.Zero, append.Events[0]).MessageId;
        var range = new StreamRange { Start = from, Count = PageSize };
        await foreach (var entry in _pages.ReadAsync(append.Stream, range, cancellationToken).ConfigureAwait(false))
        {
            if (new MessageHeaders(entry.Id, entry.Fields).MessageId == id)
                return (long)entry.Id.Milliseconds;
        }

        return null;
    }

    private async ValueTask<IReadOnlyList<RecordedEvent>> BetweenAsync(string stream, long after, long to, CancellationToken cancellationToken)
    {
        List<RecordedEvent> between = [];
        await foreach (var one in ReadAsync(stream, after + 1, to, cancellationToken: cancellationToken).ConfigureAwait(false))
        {
            between.Add(one);
            if (between.Count == _options.MaxBetween)
                break;
        }

        return between;
    }

    /// <summary>Longer each time, and never in step with others.</summary>
    private Task WaitAsync(int tries, CancellationToken cancellationToken)
    {
        var longest = Math.Min(LongestWait.TotalMilliseconds, FirstWait.TotalMilliseconds * Math.Pow(2, Math.Min(tries - 1, 30)));
        return Task.Delay(TimeSpan.FromMilliseconds(Random.Shared.NextDouble() * longest), _time, cancellationToken);
    }

    /// <summary>Tries whose answer never came.</summary>
    private sealed class LostAnswers
    {
        // Each may take the time limit of a command.
        private const int Most = 5;

        /// <summary>The first ID of the first of them, or <see langword="null"/>: there was none.</summary>
        public EntryId? From { get; set; }

        public int Count { get; private set; }

        /// <summary>Whether to ask again: the outcome is unknown, or was before, and the store may be back.</summary>
        public bool IsWorthATry(StreamException exception) =>
            (exception.Code == StreamErrorCode.OutcomeUnknown || (From is not null && exception.IsTransient)) && ++Count <= Most;
    }

    /// <summary>What is to be appended.</summary>
    private sealed record Append(string Stream, string? Category, IReadOnlyList<EntryFields> Events, string? CommandId)
    {
        public bool IsTombstone { get; init; }

        public EntryId FirstId(EntryId? last) => new((last ?? EntryId.Zero).Milliseconds + 1, 0);

        public long LastVersion(EntryId? last) => (long)FirstId(last).Milliseconds + Events.Count - 1;

        /// <summary>
        /// The commit that appends after an ID, or to a stream that does not exist. The conditions are in the order in which they explain a refusal.
        /// </summary>
        public Commit ToCommit(EntryId? last, TimeSpan commandWindow)
        {
            List<CommitCondition> conditions = [CommitCondition.StateAbsent(EventStoreNames.Deleted(Stream))];
            var changes = new List<CommitChange>();
            if (CommandId is { } commandId)
            {
                var command = EventStoreNames.Command(Stream, commandId);
                conditions.Add(CommitCondition.StateAbsent(command));
                changes.Add(new CommitChange.PutState(command, EventStoreNames.Text(LastVersion(last)), commandWindow));
            }

            conditions.Add(last is { } id ? CommitCondition.LastIdIs(Stream, id) : CommitCondition.NoStream(Stream));
            var version = FirstId(last).Milliseconds;
            foreach (var fields in Events)
            {
                changes.Add(new CommitChange.Append(Stream, fields, new(version, 0)));
                if (Category is not null)
                    changes.Add(new CommitChange.Append(Category, EventStoreNames.Copy(fields, Stream, (long)version)));
                version++;
            }

            if (IsTombstone)
            {
                changes.Add(new CommitChange.PutState(EventStoreNames.Deleted(Stream), EventStoreNames.Text(LastVersion(last))));
                changes.Add(new CommitChange.DeleteState(EventStoreNames.Snapshot(Stream)));
            }

            return new() { Conditions = conditions, Changes = changes };
        }
    }
}
