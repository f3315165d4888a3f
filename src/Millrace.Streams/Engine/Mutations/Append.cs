using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>Appends one entry and trims. The result is its ID.</summary>
/// <remarks><code>stream text | fields | trim</code></remarks>
internal readonly record struct Append(string Stream, EntryFields Fields, StreamTrim? Trim) : IMutation<EntryId>
{
    public MutationKind Kind => MutationKind.Append;

    public bool Apply(StreamEngine engine, long nowMs, out EntryId result)
    {
        var stream = engine.GetOrAddStreamWithRoom(Stream, 1);
        result = stream.Append(Fields, nowMs);
        if (Trim is not null)
            stream.Entries.Trim(Trim);
        engine.Signal(Stream);
        engine.Touch(Stream);
        return true;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Fields(Fields);
        writer.Trim(Trim);
    }

    public static Append Read(ref RecordReader reader) => new(reader.Text(), reader.Fields(), reader.Trim());
}
