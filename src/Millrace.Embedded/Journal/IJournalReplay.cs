namespace Millrace.Embedded.Journal;

/// <summary>
/// Takes what recovery finds, in this order: the parts of the newest snapshot and their end, if there is one, then every record behind it. Spans
/// are valid during the call only. An exception stops the start; it is reported with the file and the place.
/// </summary>
internal interface IJournalReplay
{
    /// <summary>The next part of the snapshot, as it was given to <see cref="StreamJournal.PublishSnapshotAsync"/>.</summary>
    void SnapshotPart(ReadOnlySpan<byte> part);

    /// <summary>The snapshot is over, and was whole.</summary>
    void SnapshotEnd();

    /// <summary>The next record.</summary>
    void Record(ReadOnlySpan<byte> record);
}
