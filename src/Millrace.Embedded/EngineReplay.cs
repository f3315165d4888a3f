using Millrace.Embedded.Journal;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Snapshots;

namespace Millrace.Embedded;

/// <summary>Makes the engine again from what recovery finds.</summary>
internal sealed class EngineReplay : IJournalReplay
{
    /// <summary>The engine as far as it was made.</summary>
    public StreamEngine Engine { get; private set; } = new();

    public void Snapshot(IEnumerable<ReadOnlyMemory<byte>> parts) => Engine = SnapshotReader.Read(parts);

    public void Record(ReadOnlySpan<byte> record) => Engine.Replay(record);
}
