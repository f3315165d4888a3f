using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>Deletes entries by ID. The result is how many there were.</summary>
/// <remarks><code>stream text | count | count × ID</code></remarks>
internal readonly record struct Delete(string Stream, IReadOnlyList<EntryId> Ids) : IMutation<long>
{
    public MutationKind Kind => MutationKind.Delete;

    public bool Apply(StreamEngine engine, long nowMs, out long result)
    {
        result = 0;
        if (engine.FindStream(Stream) is { } stream)
        {
            for (var i = 0; i < Ids.Count; i++)
            {
                if (stream.Delete(Ids[i]))
                    result++;
            }
        }

        if (result > 0)
            engine.Touch(Stream);
        return result > 0;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Ids(Ids);
    }

    public static Delete Read(ref RecordReader reader) => new(reader.Text(), reader.Ids());
}

/// <summary>Drops the oldest entries. The result is how many.</summary>
/// <remarks><code>stream text | trim</code></remarks>
internal readonly record struct Trim(string Stream, TrimRequest Keep) : IMutation<long>
{
    public MutationKind Kind => MutationKind.Trim;

    public bool Apply(StreamEngine engine, long nowMs, out long result)
    {
        result = 0;
        if (engine.FindStream(Stream) is not { } stream)
            return false;
        var blocks = stream.Entries.BlockCount;
        result = stream.Trim(Keep);
        if (result > 0)
            engine.Touch(Stream);

        // A block of which only deleted entries were left may go, too: the next entries lie in other blocks then, and are trimmed with those.
        return result > 0 || stream.Entries.BlockCount != blocks;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Trim(Keep);
    }

    public static Trim Read(ref RecordReader reader)
    {
        var trim = new Trim(reader.Text(), reader.Trim());
        return trim.Keep.IsNone ? throw EngineErrors.Damaged("a trim without a bound", 0) : trim;
    }
}

/// <summary>Deletes a stream with its groups. The result is whether there was one.</summary>
/// <remarks><code>stream text</code></remarks>
internal readonly record struct DeleteStream(string Stream) : IMutation<bool>
{
    public MutationKind Kind => MutationKind.DeleteStream;

    public bool Apply(StreamEngine engine, long nowMs, out bool result) => result = engine.RemoveStream(Stream);

    public void Write(RecordWriter writer) => writer.Text(Stream);

    public static DeleteStream Read(ref RecordReader reader) => new(reader.Text());
}
