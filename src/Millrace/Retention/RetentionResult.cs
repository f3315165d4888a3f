using Millrace.Streams;

namespace Millrace;

/// <summary>What retention dropped from a stream, or would drop.</summary>
public sealed record RetentionResult
{
    /// <summary>The stream.</summary>
    public required string Stream { get; init; }

    /// <summary>Whether this only says what would go.</summary>
    public required bool IsDryRun { get; init; }

    /// <summary>How many entries go.</summary>
    public required long Entries { get; init; }

    /// <summary>The smallest ID that is kept; 0-0: nothing had to go.</summary>
    public required EntryId KeptFrom { get; init; }

    /// <summary>
    /// The group whose unsettled entries kept more than the bounds ask for, or <see langword="null"/>: no group held anything back. One that this process
    /// reads and has not made yet keeps all.
    /// </summary>
    public required string? HeldBackBy { get; init; }

    /// <summary>Groups nobody reads any more, by name; with <see cref="AbandonedGroupPolicy.Delete"/> those that go.</summary>
    public required IReadOnlyList<string> AbandonedGroups { get; init; }

    /// <summary>How many dead letters of the stream's groups go.</summary>
    public required long DeadLetters { get; init; }

    /// <summary>The same of each stream of dead letters, and of notes about them, that has bounds: which of their own groups hold something back.</summary>
    public required IReadOnlyList<RetentionResult> DeadLetterStreams { get; init; }
}
