using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>Appends one entry and trims. The result is its ID.</summary>
/// <param name="Stream">The stream, made when it is new.</param>
/// <param name="Fields">The fields. Copied, so that they may lie in a buffer of the caller.</param>
/// <param name="Trim">What to keep; default: everything.</param>
/// <param name="Id">The ID, which must be above the last one; null: the next one at the moment.</param>
/// <remarks><code>stream text | fields | trim | 0, or 1 and the ID</code></remarks>
internal readonly record struct Append(string Stream, EntryFields Fields, TrimRequest Trim = default, EntryId? Id = null) : IMutation<EntryId>
{
    public MutationKind Kind => MutationKind.Append;

    public bool Apply(StreamEngine engine, long nowMs, out EntryId result)
    {
        if (Id is { } wanted)
        {
            var last = engine.FindStream(Stream)?.LastGeneratedId ?? EntryId.Zero;
            if (wanted <= last)
                throw EngineErrors.IdNotIncreasing(Stream, wanted, last);
        }

        var stream = engine.GetOrAddStreamWithRoom(Stream, 1);
        result = Id ?? stream.NextIdAt(nowMs);
        stream.Append(result, Fields, engine.Options.BlockEntries);
        if (!Trim.IsNone)
            stream.Trim(Trim);
        engine.Signal(Stream);
        engine.Touch(Stream);
        return true;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Fields(Fields);
        writer.Trim(Trim);
        writer.Byte(Id is null ? (byte)0 : (byte)1);
        if (Id is { } id)
            writer.Id(id);
    }

    public static Append Read(ref RecordReader reader) => new(reader.Text(), reader.EntryFields(), reader.Trim(), reader.Byte() switch
    {
        0 => null,
        1 => reader.Id(),
        var other => throw EngineErrors.Damaged($"there is no kind of ID {other}", 0),
    });
}
