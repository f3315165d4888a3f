using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Snapshots;

/// <summary>
/// Makes an engine of the parts that <see cref="SnapshotWriter"/> wrote. Trusts nothing: every structure is looked at as a whole, each entry
/// included, before an engine stands on it. Holds no more than the engine and one part.
/// </summary>
internal static class SnapshotReader
{
    /// <summary>Reads a snapshot.</summary>
    /// <param name="parts">The parts in order. Each must be valid until the next is asked for.</param>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>: these are not the parts of a snapshot of this version.</exception>
    public static StreamEngine Read(IEnumerable<ReadOnlyMemory<byte>> parts)
    {
        var engine = new StreamEngine();
        Read(engine, parts);
        return engine;
    }

    /// <summary>Reads what can be read: every key in front of the damage.</summary>
    /// <param name="parts">As for <see cref="Read(IEnumerable{ReadOnlyMemory{byte}})"/>; what asking for one throws is damage, too.</param>
    /// <param name="damage">What is wrong, or null: everything was read.</param>
    public static StreamEngine ReadWhole(IEnumerable<ReadOnlyMemory<byte>> parts, out StreamException? damage)
    {
        var engine = new StreamEngine();
        damage = null;
        try
        {
            Read(engine, parts);
        }
        catch (StreamException e)
        {
            damage = e;
        }

        return engine;
    }

    private static void Read(StreamEngine engine, IEnumerable<ReadOnlyMemory<byte>> parts)
    {
        using var source = parts.GetEnumerator();
        var reader = new RecordReader(default, nextPart: () => source.MoveNext() ? source.Current : default);
        var version = reader.Byte();
        if (version != SnapshotWriter.Version)
            throw EngineErrors.Damaged($"version {version} of a snapshot is not known to this program", 0);
        engine.Restore(ref reader);
        reader.End();
    }
}
