using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine;

/// <summary>
/// What the writer knows of the open block, in a snapshot: which shapes it looks for decides the size of the entries that follow, and so where the
/// block ends, and so what an approximate trim drops.
/// </summary>
internal sealed partial class EntryBlockWriter
{
    public void WriteShapes(RecordWriter writer)
    {
        writer.Number(_shapesWritten);
        writer.Number(_lastShape);
        for (var i = 0; i < Math.Min(_shapesWritten, MaxShapes); i++)
            writer.Number(_shapes[i]);
    }

    /// <summary>Goes on with an open block that was read, and with the shapes that were known in it.</summary>
    /// <param name="reader">Where they come from.</param>
    /// <param name="open">The block.</param>
    /// <param name="shapes">Those that stand in it.</param>
    public void ReadShapes(ref RecordReader reader, EntryBlock open, List<BlockShape> shapes)
    {
        var (written, last) = (reader.PositiveNumber(), reader.PositiveNumber());
        var known = (int)Math.Min(written, MaxShapes);
        if (written > int.MaxValue / 2 || last >= Math.Max(1, known))
            throw EngineErrors.Damaged("a block knows shapes that are not there", 0);
        (_buffer, _shapesWritten, _lastShape, _shapes) = (open.Bytes, (int)written, (int)last, new int[Math.Max(1, known)]);
        for (var i = 0; i < known; i++)
        {
            var offset = reader.Number();
            if (!shapes.Exists(shape => (ulong)shape.Offset == offset))
                throw EngineErrors.Damaged("a block knows shapes that are not there", 0);
            _shapes[i] = (int)offset;
        }
    }
}
