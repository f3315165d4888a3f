using Millrace.Streams.Engine;

namespace Millrace.Tests.Simulation;

/// <summary>
/// The record of each change by its LSN, as the store handed them to its journal. What a store recovers must be the state after one of them, as an
/// engine in memory makes it that never heard of segments and snapshots; and none that was promised may come after it.
/// </summary>
internal sealed class History
{
    private readonly List<byte[]> _records = [];

    /// <summary>The LSN of the last record.</summary>
    public long LastLsn => _records.Count;

    public void Add(ReadOnlySpan<byte> record) => _records.Add(record.ToArray());

    /// <summary>Forgets what came after a record: a crash took it.</summary>
    public void CutAfter(long lsn) => _records.RemoveRange((int)lsn, _records.Count - (int)lsn);

    /// <summary>The engine that all records make.</summary>
    public StreamEngine Replay()
    {
        var engine = new StreamEngine();
        foreach (var record in _records)
            engine.Replay(record);
        return engine;
    }
}
