using Millrace.Embedded.Journal;
using Millrace.Streams.Engine;

namespace Millrace.Embedded;

/// <summary>Makes the engine again from what recovery finds.</summary>
internal sealed class EngineReplay(StreamEngine engine) : IJournalReplay
{
    public void SnapshotPart(ReadOnlySpan<byte> part) => throw new NotSupportedException("This release writes no snapshots.");

    public void SnapshotEnd() => throw new NotSupportedException("This release writes no snapshots.");

    public void Record(ReadOnlySpan<byte> record) => engine.Replay(record);
}
