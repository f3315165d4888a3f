using System.Buffers.Text;
using System.Globalization;
using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>
/// Applies a commit: all of its changes or none. The result is data in every case, so nothing is thrown for a conflict or a refusal.
/// </summary>
/// <remarks>
/// <code>
/// count | count × change      the conditions held when it was applied and hold again on replay, so they are not written
///
/// change  1 append           stream text | 1 and ID, or 0 | fields
///         2 put state        stream text | name text | time to live in ms, 0 for none | payload
///         3 delete state     stream text | name text
///         4 ack              stream text | group text | ID
///         5 ack and delete   stream text | group text | ID
///         6 release          stream text | group text | ID | delivery count | delay in ms
///         7 schedule         stream text | delay in ms | fields
///         8 delete           stream text | ID
///         9 delete consumer  stream text | group text | consumer text
///        10 destroy group    stream text | group text
/// </code>
/// </remarks>
internal readonly record struct ApplyCommit(Commit Commit) : IMutation<CommitResult>
{
    public MutationKind Kind => MutationKind.Commit;

    public bool Apply(StreamEngine engine, long nowMs, out CommitResult result)
    {
        if (FindRefusal(engine, nowMs) is { } refusal)
        {
            result = refusal;
            return false;
        }

        // From here on nothing can fail.
        List<EntryId>? ids = null;
        var changed = false;
        for (var i = 0; i < Commit.Changes.Count; i++)
            changed |= Apply(engine, Commit.Changes[i], nowMs, ref ids);
        result = CommitResult.Applied(ids ?? (IReadOnlyList<EntryId>)[]);
        return changed;
    }

    /// <summary>What stands against the commit: a conflict, or an error that one of its changes would run into. Null: nothing.</summary>
    public CommitResult? FindRefusal(StreamEngine engine, long nowMs)
    {
        try
        {
            if (CommitPlan.FindConflict(engine, Commit) is { } conflict)
                return CommitResult.Conflicted(conflict);
            engine.CheckCommit(Commit, nowMs);
            return null;
        }
        catch (StreamException e)
        {
            return CommitResult.Failed(e);
        }
    }

    private static bool Apply(StreamEngine engine, CommitChange change, long nowMs, ref List<EntryId>? ids)
    {
        switch (change)
        {
            case CommitChange.Append append:
                (ids ??= []).Add(Append(engine, append, nowMs));
                return true;
            case CommitChange.PutState put:
                long? expiresMs = put.TimeToLive is { } timeToLive ? nowMs + Milliseconds(timeToLive) : null;
                engine.PutState(StreamNames.State(put.Key), put.Payload.Span, expiresMs, nowMs);
                return true;
            case CommitChange.DeleteState delete:
                return engine.RemoveState(StreamNames.State(delete.Key));
            case CommitChange.Ack ack:
                return engine.FindGroup(ack.Stream, ack.Group, out _)?.Ack(ack.Id) ?? false;
            case CommitChange.AckAndDelete ack:
                if (engine.FindGroup(ack.Stream, ack.Group, out var stream) is not { } group || !group.Ack(ack.Id))
                    return false;
                if (stream!.Delete(ack.Id))
                    engine.Touch(ack.Stream);
                return true;
            case CommitChange.Delete delete:
                if (engine.FindStream(delete.Stream)?.Delete(delete.Id) != true)
                    return false;
                engine.Touch(delete.Stream);
                return true;
            case CommitChange.DeleteConsumer delete:
                return engine.FindGroup(delete.Stream, delete.Group, out _) is { } left
                    && left.FindConsumer(delete.Consumer) is { HeldCount: 0 } && left.RemoveConsumer(delete.Consumer) is not null;
            case CommitChange.DestroyGroup destroy:
                return Destroy(engine, destroy);
            case CommitChange.Release release:
                return Release(engine, release, nowMs);
            case CommitChange.Schedule schedule:
                engine.AddScheduled(
                    StreamNames.Schedule(schedule.Stream), schedule.Stream, nowMs + Milliseconds(schedule.Delay), schedule.Fields);
                return true;
            default:
                throw new ArgumentException($"There is no change {change.GetType().Name}.", nameof(change));
        }
    }

    private static EntryId Append(StreamEngine engine, CommitChange.Append append, long nowMs)
    {
        var stream = engine.GetOrAddStream(append.Stream);
        engine.Signal(append.Stream);
        engine.Touch(append.Stream);
        if (append.Id is not { } id)
            return stream.Append(append.Fields, nowMs, engine.Options.BlockEntries);
        stream.Append(id, append.Fields, engine.Options.BlockEntries);
        return id;
    }

    private static bool Destroy(StreamEngine engine, CommitChange.DestroyGroup destroy)
    {
        var changed = new DestroyGroup(destroy.Stream, destroy.Group).Apply(engine, 0, out _);
        var again = StreamNames.Again(destroy.Stream, destroy.Group);
        changed |= engine.RemoveKey(again) is not null;
        changed |= engine.RemoveKey(StreamNames.Schedule(again)) is not null;
        return changed | engine.RemoveKey(StreamNames.Order(destroy.Stream, destroy.Group)) is not null;
    }

    private static bool Release(StreamEngine engine, CommitChange.Release release, long nowMs)
    {
        var wasPending = engine.FindGroup(release.Stream, release.Group, out var stream)?.Ack(release.Entry.Id) ?? false;
        if (stream is null || !stream.Entries.TryGet(release.Entry.Id, out var fields))
            return wasPending;

        var again = StreamNames.Again(release.Stream, release.Group);
        var copy = FieldsOfCopy(fields, release.Entry);
        var target = engine.GetOrAddStream(again);
        target.AddGroup(release.Group, GroupStart.Beginning);
        if (release.Delay > TimeSpan.Zero)
        {
            engine.AddScheduled(StreamNames.Schedule(again), again, nowMs + Milliseconds(release.Delay), copy);
            return true;
        }

        target.Append(copy, nowMs, engine.Options.BlockEntries);
        engine.Signal(again);
        engine.Touch(again);
        return true;
    }

    /// <summary>The entry's fields, where it first came from, and the deliveries that count besides those the copy will have.</summary>
    private static EntryFields FieldsOfCopy(EntryFields fields, HeldEntry held)
    {
        var writer = new EntryFieldsWriter();
        ReadOnlyMemory<byte>? source = null;
        var prior = held.DeliveryCount - 1;
        foreach (var field in fields)
        {
            if (field.Name.Span.SequenceEqual(EntryFieldNames.SourceId))
                source = field.Value;
            else if (field.Name.Span.SequenceEqual(EntryFieldNames.PriorDeliveries))
                prior += Utf8Parser.TryParse(field.Value.Span, out long earlier, out _) ? earlier : 0;
            else
                writer.Add(field.Name.Span, field.Value.Span);
        }

        if (source is { } first)
            writer.Add(EntryFieldNames.SourceId, first.Span);
        else
            writer.Add(EntryFieldNames.SourceId, held.Id.ToString());
        if (prior > 0)
            writer.Add(EntryFieldNames.PriorDeliveries, prior.ToString(CultureInfo.InvariantCulture));
        return writer.ToFields();
    }

    /// <summary>Rounded up: never earlier than asked.</summary>
    private static long Milliseconds(TimeSpan duration) => (duration.Ticks + TimeSpan.TicksPerMillisecond - 1) / TimeSpan.TicksPerMillisecond;

    public void Write(RecordWriter writer)
    {
        writer.Number(Commit.Changes.Count);
        for (var i = 0; i < Commit.Changes.Count; i++)
            Write(writer, Commit.Changes[i]);
    }

    private static void Write(RecordWriter writer, CommitChange change)
    {
        switch (change)
        {
            case CommitChange.Append append:
                writer.Byte(1);
                writer.Text(append.Stream);
                writer.Byte(append.Id is null ? (byte)0 : (byte)1);
                if (append.Id is { } id)
                    writer.Id(id);
                writer.Fields(append.Fields);
                break;
            case CommitChange.PutState put:
                writer.Byte(2);
                writer.Text(put.Key.Stream);
                writer.Text(put.Key.Name);
                writer.Number(put.TimeToLive is { } timeToLive ? Milliseconds(timeToLive) : 0);
                writer.Bytes(put.Payload.Span);
                break;
            case CommitChange.DeleteState delete:
                writer.Byte(3);
                writer.Text(delete.Key.Stream);
                writer.Text(delete.Key.Name);
                break;
            case CommitChange.Ack ack:
                writer.Byte(4);
                WriteEntry(writer, ack.Stream, ack.Group, ack.Id);
                break;
            case CommitChange.AckAndDelete ack:
                writer.Byte(5);
                WriteEntry(writer, ack.Stream, ack.Group, ack.Id);
                break;
            case CommitChange.Release release:
                writer.Byte(6);
                WriteEntry(writer, release.Stream, release.Group, release.Entry.Id);
                writer.Number((ulong)release.Entry.DeliveryCount);
                writer.Number(Milliseconds(release.Delay));
                break;
            case CommitChange.Schedule schedule:
                writer.Byte(7);
                writer.Text(schedule.Stream);
                writer.Number(Milliseconds(schedule.Delay));
                writer.Fields(schedule.Fields);
                break;
            case CommitChange.Delete delete:
                writer.Byte(8);
                writer.Text(delete.Stream);
                writer.Id(delete.Id);
                break;
            case CommitChange.DeleteConsumer delete:
                writer.Byte(9);
                writer.Text(delete.Stream);
                writer.Text(delete.Group);
                writer.Text(delete.Consumer);
                break;
            case CommitChange.DestroyGroup destroy:
                writer.Byte(10);
                writer.Text(destroy.Stream);
                writer.Text(destroy.Group);
                break;
        }
    }

    private static void WriteEntry(RecordWriter writer, string stream, string group, EntryId id)
    {
        writer.Text(stream);
        writer.Text(group);
        writer.Id(id);
    }

    public static ApplyCommit Read(ref RecordReader reader)
    {
        var changes = new CommitChange[reader.Count()];
        for (var i = 0; i < changes.Length; i++)
            changes[i] = ReadChange(ref reader);
        return new(new Commit { Changes = changes });
    }

    private static CommitChange ReadChange(ref RecordReader reader) => reader.Byte() switch
    {
        1 => ReadAppend(ref reader),
        2 => ReadPutState(ref reader),
        3 => new CommitChange.DeleteState(new(reader.Text(), reader.Text())),
        4 => new CommitChange.Ack(reader.Text(), reader.Text(), reader.Id()),
        5 => new CommitChange.AckAndDelete(reader.Text(), reader.Text(), reader.Id()),
        6 => new CommitChange.Release(
            reader.Text(), reader.Text(), new(reader.Id(), (long)reader.Number()), TimeSpan.FromMilliseconds(reader.PositiveNumber())),
        7 => ReadSchedule(ref reader),
        8 => new CommitChange.Delete(reader.Text(), reader.Id()),
        9 => new CommitChange.DeleteConsumer(reader.Text(), reader.Text(), reader.Text()),
        10 => new CommitChange.DestroyGroup(reader.Text(), reader.Text()),
        var other => throw EngineErrors.Damaged($"there is no change {other}", 0),
    };

    private static CommitChange.Append ReadAppend(ref RecordReader reader)
    {
        var stream = reader.Text();
        EntryId? id = reader.Byte() == 0 ? null : reader.Id();
        return new(stream, reader.Fields(), id);
    }

    private static CommitChange.PutState ReadPutState(ref RecordReader reader)
    {
        var key = new StateKey(reader.Text(), reader.Text());
        var timeToLiveMs = reader.PositiveNumber();
        return new(key, reader.Bytes(), timeToLiveMs == 0 ? null : TimeSpan.FromMilliseconds(timeToLiveMs));
    }

    private static CommitChange.Schedule ReadSchedule(ref RecordReader reader)
    {
        var stream = reader.Text();
        var delay = TimeSpan.FromMilliseconds(reader.PositiveNumber());
        return new(stream, reader.Fields(), delay);
    }
}
