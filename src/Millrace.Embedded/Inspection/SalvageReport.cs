namespace Millrace.Embedded.Inspection;

/// <summary>What a salvage brought to the other directory.</summary>
internal sealed record SalvageReport
{
    /// <summary>Where it came from.</summary>
    public required string Directory { get; init; }

    /// <summary>Where it is.</summary>
    public required string Target { get; init; }

    /// <summary>Keys in the result, over all databases.</summary>
    public required long Keys { get; init; }

    /// <summary>Records applied.</summary>
    public required long Applied { get; init; }

    /// <summary>What was left out, in the order of the records.</summary>
    public required IReadOnlyList<LeftOut> LeftOut { get; init; }
}

/// <summary>Records that are not in the result of a salvage.</summary>
/// <param name="FirstLsn">The first; zero for a part of a snapshot, which has no LSN.</param>
/// <param name="LastLsn">The last.</param>
/// <param name="Why">Why, as a sentence.</param>
internal sealed record LeftOut(long FirstLsn, long LastLsn, string Why);
