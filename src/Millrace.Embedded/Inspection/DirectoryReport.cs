namespace Millrace.Embedded.Inspection;

/// <summary>What a data directory holds, as it was read without changing a byte.</summary>
internal sealed record DirectoryReport
{
    /// <summary>The directory.</summary>
    public required string Directory { get; init; }

    /// <summary>Every file, by name.</summary>
    public required IReadOnlyList<FileReport> Files { get; init; }

    /// <summary>The LSN of the last whole record, or the one the snapshot covers; zero in a new directory.</summary>
    public required long LastLsn { get; init; }

    /// <summary>Everything up to this LSN is known to have been on the device.</summary>
    public required long SyncedLsn { get; init; }

    /// <summary>Whether the last thing written is the mark of a store that was closed.</summary>
    public required bool IsClosedCleanly { get; init; }

    /// <summary>How many records of each mutation the segments hold, those included that the snapshot covers.</summary>
    public required IReadOnlyDictionary<string, long> RecordsByKind { get; init; }

    /// <summary>What the next start cuts off, or <see langword="null"/>. Not damage: a write that a crash cut off, or one under way.</summary>
    public TailReport? Tail { get; init; }

    /// <summary>What a start refuses, in the order of the records.</summary>
    public required IReadOnlyList<Damage> Damages { get; init; }
}

/// <summary>One file of a data directory.</summary>
internal sealed record FileReport
{
    /// <summary>Its name.</summary>
    public required string Name { get; init; }

    /// <summary>lock, segment, snapshot, unfinished, tail (set aside), or unknown.</summary>
    public required string Kind { get; init; }

    /// <summary>Its size.</summary>
    public required long Bytes { get; init; }

    /// <summary>The format's version, of a segment or snapshot with a readable header.</summary>
    public uint? Version { get; init; }

    /// <summary>The number of a segment.</summary>
    public long? Segment { get; init; }

    /// <summary>The LSN of a segment's first record, whether it has one yet or not.</summary>
    public long? FirstLsn { get; init; }

    /// <summary>The LSN of its last whole record, or the one a snapshot covers.</summary>
    public long? LastLsn { get; init; }

    /// <summary>Whole records in it, or parts of a snapshot.</summary>
    public long? Records { get; init; }

    /// <summary>Whole frames in it.</summary>
    public long? Frames { get; init; }

    /// <summary>The highest LSN that a frame in it calls synced.</summary>
    public long? SyncedLsn { get; init; }

    /// <summary>What else it says of itself.</summary>
    public string? Note { get; init; }
}

/// <summary>The end of the journal that holds no whole record a start would keep.</summary>
/// <param name="File">The segment.</param>
/// <param name="Offset">Where it begins.</param>
/// <param name="Bytes">How much it is, later segments included.</param>
/// <param name="Lsn">The first record that is not whole.</param>
internal sealed record TailReport(string File, long Offset, long Bytes, long Lsn);

/// <summary>A place where bytes are missing or wrong that were on the device once.</summary>
/// <param name="File">The file.</param>
/// <param name="Offset">Where.</param>
/// <param name="FirstLsn">The first record it concerns; zero when it cannot be told.</param>
/// <param name="LastLsn">The last one.</param>
/// <param name="What">What is wrong, as a sentence.</param>
internal sealed record Damage(string File, long Offset, long FirstLsn, long LastLsn, string What);
