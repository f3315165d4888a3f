using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Snapshots;

/// <summary>Writes an engine as parts of limited size, which <see cref="SnapshotReader"/> takes back.</summary>
/// <remarks>
/// <code>
/// parts      ┌──────────────────┐ ┌──────────────────┐ ┌────────┐   one run of bytes, cut anywhere:
///            │ up to 1 MiB      │ │ up to 1 MiB      │ │        │   no value is too large for them
///            └──────────────────┘ └──────────────────┘ └────────┘
///
/// snapshot   version byte | newest ms | last version of a document | options | 16 × database
/// options    stream-node-max-entries | stream-idmp-duration | stream-idmp-maxsize
/// database   count | count × key, in the order of a scan
/// key        key text | expires ms + 1, or 0 for never | kind byte | value
/// value      string, list, set, schedule: the parts drawn at ValueRecord; stream: below
///
/// stream     producers | entries | last generated ID | max deleted ID | entries added | count | count × group
/// producers  duration s | maximum size | added | duplicates | count | count × producer, by its last message
/// producer   name text | largest entry ID | count | count × (ID text | entry ID), oldest first
///
/// entries    count | 1 when the last block is open, else 0 | count × block | shapes, if it is
/// block      base ID | last added ID | added | stored | used | entries: as many bytes as are used | checkpoints: 4 bytes each
///            | count | count × 64 bits of the deletion map, as a number
/// shapes     written | place of the last one | for each place, up to 16: offset in the block
///
/// group      name text | last delivered ID | 0, or 1 and entries read | count | count × consumer | pending
/// consumer   name text | seen ms | active ms + 1, or 0
/// pending    releases | count | count × (ID | owner | delivered ms, or which release it was | delivery count), by ID
/// owner      0 for nobody, else the consumer's place in the group, from 1
/// </code>
/// Entries and checkpoints are the bytes drawn at <see cref="EntryBlock"/>, as they lie in memory; all else is as <see cref="RecordWriter"/> writes
/// it. An engine that is read from a snapshot does with every later mutation exactly what the one that was written does: that is why blocks
/// keep their bounds, and the open one its shapes. Files that must change with this layout: those named <c>*.Snapshot.cs</c>, this one,
/// <see cref="EngineImage"/>, <see cref="IdempotentProducers"/>, ValueRecord and the values it draws.
/// </remarks>
internal static class SnapshotWriter
{
    /// <summary>The version of the format. Those that are written are read for ever.</summary>
    public const byte Version = 1;

    /// <summary>As large as a frame of the journal takes without being an exception.</summary>
    public const int MaxPartBytes = 1024 * 1024;

    /// <summary>Writes an image.</summary>
    /// <param name="image">The engine.</param>
    /// <param name="emit">Takes each part, which is valid during the call only. What it throws ends the writing.</param>
    public static void Write(EngineImage image, Action<ReadOnlyMemory<byte>> emit)
    {
        var parts = new PartBuffer(MaxPartBytes, emit);
        var writer = new RecordWriter(parts);
        writer.Byte(Version);
        image.Write(writer);
        parts.Flush();
    }
}
