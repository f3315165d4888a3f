namespace Millrace.Streams.Engine;

/// <summary>What a trim keeps, with everything Redis can ask for. At most one of the two bounds is set; the default keeps everything.</summary>
internal readonly record struct TrimRequest
{
    /// <summary>Entries to keep: the newest this many.</summary>
    public long? MaxLength { get; init; }

    /// <summary>The smallest ID to keep.</summary>
    public EntryId? MinId { get; init; }

    /// <summary>Whole blocks only, and no more than <see cref="Limit"/>.</summary>
    public bool IsApproximate { get; init; }

    /// <summary>Entries to drop at most when approximate; 0: no limit.</summary>
    public long Limit { get; init; }

    /// <summary>
    /// What happens to the groups that refer to the entries that go. Unless it is to keep the references, each entry is looked at, so that
    /// an approximate trim, too, goes up to the bound itself.
    /// </summary>
    public ReferencePolicy References { get; init; }

    /// <summary>Whether there is nothing to trim.</summary>
    public bool IsNone => MaxLength is null && MinId is null;

    public static implicit operator TrimRequest(StreamTrim? trim) => trim is null
        ? default
        : new() { MaxLength = trim.MaxLength, MinId = trim.MinId, IsApproximate = trim.IsApproximate };
}
