namespace Millrace.Streams;

/// <summary>The limits of the contract, the same on every store. Stores and servers may set lower ones.</summary>
public static class StreamLimits
{
    /// <summary>The longest name of a stream, group, consumer or state document, in UTF-8 bytes. Names are text: no half surrogate pairs.</summary>
    public const int MaxNameBytes = 1024;

    /// <summary>Fields of one entry. A Lua script on Redis can pass about 8,000 arguments to one command; this leaves room.</summary>
    public const int MaxFields = 1024;

    /// <summary>Packed bytes of one entry, and bytes of one state document: 8 MiB.</summary>
    public const int MaxEntryBytes = 8 * 1024 * 1024;

    /// <summary>
    /// Fields that an entry of a commit may have on top of <see cref="MaxFields"/> when it has <see cref="EntryFieldNames.SourceId"/>: it is a
    /// copy of another one, and its size must not keep an entry from being retried, or from ending in the dead letters with its history.
    /// </summary>
    public const int CopyFields = 64;

    /// <summary>Bytes that such an entry may have on top of <see cref="MaxEntryBytes"/>: 64 KiB.</summary>
    public const int CopyBytes = 64 * 1024;

    /// <summary>Changes of one commit. Redis is blocked while it applies them: about 3 ms at this size.</summary>
    public const int MaxCommitChanges = 1_000;

    /// <summary>Entries, IDs, keys or commits one call takes or returns.</summary>
    public const int MaxBatch = 10_000;

    /// <summary>Streams one read names.</summary>
    public const int MaxStreamsPerRead = 1_024;

    /// <summary>The longest wait, time to live or schedule delay: ten years. Keeps millisecond arithmetic far from overflow.</summary>
    public static TimeSpan MaxDuration { get; } = TimeSpan.FromDays(3650);
}
