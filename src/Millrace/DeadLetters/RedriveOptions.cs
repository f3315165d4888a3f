namespace Millrace;

/// <summary>How dead letters go back to the group that gave up on them.</summary>
public sealed record RedriveOptions
{
    /// <summary>Who does it: a person or a program. Kept in the audit, and up to 1 KiB of it in the message's own history.</summary>
    public required string By { get; init; }

    /// <summary>Why, in the operator's words. Kept in the audit. Default: nothing.</summary>
    public string? Note { get; init; }

    /// <summary>Letters a second at most, 1 to 1,000,000. Default <see langword="null"/>: as fast as the store takes them.</summary>
    public int? MaxPerSecond { get; init; }

    /// <summary>Whether to say what would happen and write nothing. Default: no.</summary>
    public bool DryRun { get; init; }

    /// <summary>
    /// The loop guard: a letter that was redriven this often already and came back stays where it is. Default 3; 0 or more.
    /// </summary>
    public int MaxRedrives { get; init; } = 3;

    /// <summary>Whether to redrive letters that the loop guard would keep. Default: no.</summary>
    public bool IgnoreLoopGuard { get; init; }

    internal void Check()
    {
        ArgumentException.ThrowIfNullOrWhiteSpace(By, nameof(By));
        ArgumentOutOfRangeException.ThrowIfNegative(MaxRedrives, nameof(MaxRedrives));
        if (MaxPerSecond is < 1 or > 1_000_000)
            throw new ArgumentOutOfRangeException(nameof(MaxPerSecond), MaxPerSecond, "Must be 1 to 1,000,000 letters a second.");
    }
}
