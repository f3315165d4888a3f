using System.Buffers;
using System.Runtime.CompilerServices;
using System.Text;

namespace Millrace.Streams;

/// <summary>
/// Checks arguments against <see cref="StreamLimits"/>, for store implementations: the same error on every store, before anything is sent.
/// </summary>
public static partial class StreamArguments
{
    /// <summary>A stream, group, consumer or document name: not empty, not too long, and text.</summary>
    public static void CheckName(string name, [CallerArgumentExpression(nameof(name))] string? parameter = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(name, parameter);
        if (name.Length > StreamLimits.MaxNameBytes / 3 && Encoding.UTF8.GetByteCount(name) > StreamLimits.MaxNameBytes)
            throw new ArgumentException($"A name has at most {StreamLimits.MaxNameBytes} bytes; '{name[..32]}…' is longer.", parameter);

        // Half a pair has no UTF-8: what is stored under such a name would come back under another one.
        if (name.AsSpan().ContainsAnyInRange('\uD800', '\uDFFF') && !IsText(name))
            throw new ArgumentException("A name is Unicode text; this one has half a surrogate pair.", parameter);
    }

    private static bool IsText(ReadOnlySpan<char> name)
    {
        while (!name.IsEmpty)
        {
            if (Rune.DecodeFromUtf16(name, out _, out var length) != OperationStatus.Done)
                return false;
            name = name[length..];
        }

        return true;
    }

    /// <summary>A count or the size of a batch: 1 to <see cref="StreamLimits.MaxBatch"/>.</summary>
    public static void CheckCount(int count, [CallerArgumentExpression(nameof(count))] string? parameter = null)
    {
        if (count is < 1 or > StreamLimits.MaxBatch)
            throw new ArgumentOutOfRangeException(parameter, count, $"Must be 1 to {StreamLimits.MaxBatch}.");
    }

    /// <summary>A list of IDs, keys or commits: at most <see cref="StreamLimits.MaxBatch"/>. Empty is fine: nothing to do.</summary>
    public static void CheckBatch<T>(IReadOnlyList<T> batch, [CallerArgumentExpression(nameof(batch))] string? parameter = null)
    {
        ArgumentNullException.ThrowIfNull(batch, parameter);
        if (batch.Count > StreamLimits.MaxBatch)
            throw new ArgumentException($"At most {StreamLimits.MaxBatch} at once; there are {batch.Count}.", parameter);
    }

    /// <summary>A wait, delay or time to live: zero to <see cref="StreamLimits.MaxDuration"/>.</summary>
    public static void CheckDuration(TimeSpan duration, [CallerArgumentExpression(nameof(duration))] string? parameter = null)
    {
        if (duration < TimeSpan.Zero || duration > StreamLimits.MaxDuration)
            throw new ArgumentOutOfRangeException(parameter, duration, $"Must be zero to {StreamLimits.MaxDuration.TotalDays:N0} days.");
    }

    /// <summary>The fields of an entry to append: at least one, not too many, not too large.</summary>
    public static void CheckFields(EntryFields fields, [CallerArgumentExpression(nameof(fields))] string? parameter = null)
    {
        if (fields.Count is < 1 or > StreamLimits.MaxFields)
            throw new ArgumentException($"An entry has 1 to {StreamLimits.MaxFields} fields; this one has {fields.Count}.", parameter);
        if (fields.Packed.Length > StreamLimits.MaxEntryBytes)
            throw new ArgumentException($"An entry has at most {StreamLimits.MaxEntryBytes} bytes; this one has {fields.Packed.Length}.", parameter);
    }

    /// <summary>The fields of an entry that a commit appends or schedules: one that says where it came from has room for its history.</summary>
    private static void CheckCommitted(EntryFields fields)
    {
        if (!IsCopy(fields) || !FitsAsCopy(fields))
            CheckFields(fields);
    }

    /// <summary>Whether a copy of an entry, with its history, is within the limits of a commit.</summary>
    private static bool FitsAsCopy(EntryFields fields) =>
        fields.Count <= StreamLimits.MaxFields + StreamLimits.CopyFields && fields.Packed.Length <= StreamLimits.MaxEntryBytes + StreamLimits.CopyBytes;

    private static bool IsCopy(EntryFields fields) =>
        (fields.Count > StreamLimits.MaxFields || fields.Packed.Length > StreamLimits.MaxEntryBytes) && fields.TryGet(EntryFieldNames.SourceId, out _);

    /// <summary>A commit: its number of changes, and every name, duration and payload in it.</summary>
    public static void CheckCommit(Commit commit)
    {
        ArgumentNullException.ThrowIfNull(commit);
        if (commit.Changes.Count is < 1 or > StreamLimits.MaxCommitChanges || commit.Conditions.Count > StreamLimits.MaxCommitChanges)
            throw new ArgumentException(
                $"A commit has 1 to {StreamLimits.MaxCommitChanges} changes and at most as many conditions; this one has " +
                $"{commit.Changes.Count} and {commit.Conditions.Count}. Split it, or append in bulk without conditions.", nameof(commit));

        for (var i = 0; i < commit.Conditions.Count; i++)
            Check(commit.Conditions[i]);
        for (var i = 0; i < commit.Changes.Count; i++)
        {
            Check(commit.Changes[i]);
            if (commit.Changes[i] is CommitChange.DestroyGroup && commit.Changes.Any(IsAdding))
                throw new ArgumentException("A commit that destroys a group adds no entries: append, schedule or release in another one.", nameof(commit));
        }
    }

    // Stores add before they delete, or in the order given: both may go to the group's own streams.
    private static bool IsAdding(CommitChange change) => change is CommitChange.Append or CommitChange.Schedule or CommitChange.Release;

    private static void Check(CommitCondition condition)
    {
        switch (condition)
        {
            case CommitCondition.LastId last:
                CheckName(last.Stream);
                break;
            case CommitCondition.State state:
                Check(state.Key);
                break;
            case CommitCondition.Held held:
                CheckGroup(held.Stream, held.Group);
                CheckName(held.Consumer);
                break;
            case CommitCondition.Exists entry:
                CheckName(entry.Stream);
                break;
            case CommitCondition.Unread entry:
                CheckName(entry.Stream);
                break;
            case CommitCondition.Stands stands:
                CheckGroup(stands.Stream, stands.Group);
                break;
        }
    }

    private static void Check(CommitChange change)
    {
        switch (change)
        {
            case CommitChange.Append append:
                CheckName(append.Stream);
                CheckCommitted(append.Fields);
                break;
            case CommitChange.PutState put:
                Check(put.Key);
                if (put.Payload.Length > StreamLimits.MaxEntryBytes)
                    throw new ArgumentException(
                        $"A state document has at most {StreamLimits.MaxEntryBytes} bytes; '{put.Key.Name}' has {put.Payload.Length}.", nameof(change));
                CheckTimeToLive(put.TimeToLive);
                break;
            case CommitChange.DeleteState delete:
                Check(delete.Key);
                break;
            case CommitChange.Ack ack:
                CheckGroup(ack.Stream, ack.Group);
                break;
            case CommitChange.AckAndDelete ack:
                CheckGroup(ack.Stream, ack.Group);
                break;
            case CommitChange.Delete delete:
                CheckName(delete.Stream);
                break;
            case CommitChange.DeleteConsumer delete:
                CheckGroup(delete.Stream, delete.Group);
                CheckName(delete.Consumer);
                break;
            case CommitChange.DestroyGroup destroy:
                CheckGroup(destroy.Stream, destroy.Group);
                CheckName(StreamNames.Schedule(StreamNames.Again(destroy.Stream, destroy.Group)));
                CheckName(StreamNames.Order(destroy.Stream, destroy.Group));
                break;
            case CommitChange.Release release:
                CheckGroup(release.Stream, release.Group);
                CheckDuration(release.Delay);
                CheckName(StreamNames.Again(release.Stream, release.Group));
                break;
            case CommitChange.Schedule schedule:
                CheckSchedule(schedule.Stream);
                CheckCommitted(schedule.Fields);
                CheckDuration(schedule.Delay);
                break;
        }
    }

    /// <summary>A state document's stream and name.</summary>
    public static void Check(StateKey key)
    {
        CheckName(key.Stream);
        CheckName(key.Name);
        if (key.Stream.Length + key.Name.Length > StreamLimits.MaxNameBytes / 4 || !StreamNames.CanDerive(key.Stream))
            CheckName(StreamNames.State(key));
    }

    /// <summary>A stream that can have a schedule: the name of that is a name, too.</summary>
    public static void CheckSchedule(string stream)
    {
        CheckName(stream);
        CheckName(StreamNames.Schedule(stream));
    }

    private static void CheckTimeToLive(TimeSpan? timeToLive)
    {
        if (timeToLive is null)
            return;
        CheckDuration(timeToLive.Value);
        if (timeToLive.Value < TimeSpan.FromMilliseconds(1))
            throw new ArgumentOutOfRangeException(nameof(timeToLive), timeToLive, "A time to live is at least one millisecond.");
    }
}
