using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine;

/// <summary>A stream as bytes, with its groups.</summary>
internal sealed partial class StreamValue
{
    public override ValueKind Kind => ValueKind.Stream;

    /// <summary>Writes everything there is to know.</summary>
    /// <remarks>
    /// <code>
    /// stream     producers | entries | last generated ID | max deleted ID | entries added | count | count × group
    /// producers  duration s | maximum size | added | duplicates | count | count × (producer text | ID text | entry ID), oldest first
    /// entries    count | count × block
    /// block      base ID | last added ID | added | count | count × (ID | fields), without what was deleted
    /// group      name text | last delivered ID | 0, or 1 and entries read | count | count × consumer
    ///            | count | count × (ID | consumer's number | delivered ms | delivery count), held
    ///            | count | count × (ID | delivery count), handed back, in claim order
    /// consumer   name text | seen ms | active ms + 1, or 0
    /// </code>
    /// </remarks>
    public override void Write(RecordWriter writer)
    {
        Producers.Write(writer);
        Entries.Write(writer);
        writer.Id(LastGeneratedId);
        writer.Id(MaxDeletedId);
        writer.Number((ulong)EntriesAdded);
        writer.Number(_groups.Count);
        foreach (var group in _groups.Values)
            group.Write(writer);
    }

    public static StreamValue Read(ref RecordReader reader)
    {
        var producers = IdempotentProducers.Read(ref reader);
        var stream = new StreamValue(producers.DurationSeconds, producers.MaxSize)
        {
            _producers = producers,
            Entries = EntryLog.Read(ref reader),
            LastGeneratedId = reader.Id(),
            MaxDeletedId = reader.Id(),
            EntriesAdded = (long)reader.Number(),
        };
        stream.CheckCounters();
        for (var left = reader.Count(); left > 0; left--)
            stream.AddNew(ConsumerGroup.Read(ref reader));
        return stream;
    }

    private void CheckCounters()
    {
        if (Entries.LastAddedId > LastGeneratedId || (ulong)Entries.Count > (ulong)EntriesAdded)
            throw EngineErrors.Damaged("a stream has more entries than were added", 0);
        if (EntriesAdded is < 0 and > long.MinValue / 2)
            throw EngineErrors.Damaged("nobody can have added so many entries", 0);
    }

    private void AddNew(ConsumerGroup group)
    {
        if (_groups.ContainsKey(group.Name))
            throw EngineErrors.Damaged("a group comes twice", 0);
        Add(group);
    }
}
