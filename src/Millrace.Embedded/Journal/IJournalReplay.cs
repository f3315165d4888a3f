namespace Millrace.Embedded.Journal;

/// <summary>
/// Takes what recovery finds, in this order: the newest snapshot, if there is one, then every record behind it. Memory and spans are valid until the
/// next is asked for, or the call returns. An exception stops the start; it is reported with the file and the place.
/// </summary>
internal interface IJournalReplay
{
    /// <summary>The parts of the snapshot, as they were given to <see cref="StreamJournal.PublishSnapshotAsync"/>. All of them must be taken.</summary>
    void Snapshot(IEnumerable<ReadOnlyMemory<byte>> parts);

    /// <summary>The next record.</summary>
    void Record(ReadOnlySpan<byte> record);
}
