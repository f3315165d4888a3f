using Millrace.Streams;

namespace Millrace;

/// <summary>A key of an ordered group whose first message failed. What comes after it waits.</summary>
public sealed record ParkedKey
{
    /// <summary>The key.</summary>
    public required string Key { get; init; }

    /// <summary>The stream the message is pending in: the group's own, or its private one when it came back from the dead letters.</summary>
    public required string Stream { get; init; }

    /// <summary>The entry that keeps the key parked.</summary>
    public required EntryId EntryId { get; init; }

    /// <summary>When the key was parked, by the clock of the process that did it.</summary>
    public required DateTimeOffset Since { get; init; }

    /// <summary>
    /// Whether all attempts are made, so that the key waits for somebody to act (<see cref="WhenExhausted.Park"/>). Otherwise the next attempt
    /// comes by itself.
    /// </summary>
    public required bool IsExhausted { get; init; }

    /// <summary>The failed attempts, oldest first, the last five; none when the message was only cut short by a process that stopped.</summary>
    public required IReadOnlyList<DeadLetterAttempt> Attempts { get; init; }
}
