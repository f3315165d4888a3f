using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>Appends entries in order, nothing in between, and trims. The result is their IDs.</summary>
/// <remarks><code>stream text | trim | count | count × fields</code></remarks>
internal readonly record struct AppendMany(string Stream, IReadOnlyList<EntryFields> Entries, TrimRequest Trim = default)
    : IMutation<IReadOnlyList<EntryId>>
{
    public MutationKind Kind => MutationKind.AppendMany;

    public bool Apply(StreamEngine engine, long nowMs, out IReadOnlyList<EntryId> result)
    {
        if (Entries.Count == 0)
        {
            result = [];
            return false;
        }

        var stream = engine.GetOrAddStreamWithRoom(Stream, Entries.Count);
        var first = stream.Append(Entries[0], nowMs, engine.Options.BlockEntries);
        for (var i = 1; i < Entries.Count; i++)
            stream.Append(Entries[i], nowMs, engine.Options.BlockEntries);
        if (!Trim.IsNone)
            stream.Trim(Trim);
        engine.Signal(Stream);
        engine.Touch(Stream);

        // After the first, no ID can be due to the clock.
        result = new ConsecutiveIds(first, Entries.Count);
        return true;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Trim(Trim);
        writer.Number(Entries.Count);
        for (var i = 0; i < Entries.Count; i++)
            writer.Fields(Entries[i]);
    }

    public static AppendMany Read(ref RecordReader reader)
    {
        var stream = reader.Text();
        var trim = reader.Trim();
        var entries = new EntryFields[reader.Count()];
        for (var i = 0; i < entries.Length; i++)
            entries[i] = reader.EntryFields();
        return new(stream, entries, trim);
    }
}
