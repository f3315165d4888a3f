namespace Millrace;

/// <summary>Which dead letters are meant. What is not set takes all; what is set must all be true.</summary>
public sealed record DeadLetterFilter
{
    /// <summary>Every letter.</summary>
    public static DeadLetterFilter All { get; } = new();

    /// <summary>Only letters of this cause, see <see cref="DeadLetter.Cause"/>.</summary>
    public string? Cause { get; init; }

    /// <summary>Only messages of this declared name.</summary>
    public string? Type { get; init; }

    /// <summary>Only letters written at this moment or later, by the store's clock.</summary>
    public DateTimeOffset? From { get; init; }

    /// <summary>Only letters written at this moment or earlier, by the store's clock.</summary>
    public DateTimeOffset? To { get; init; }

    /// <summary>Letters at most, 1 or more. Default: all there are.</summary>
    public int Limit { get; init; } = int.MaxValue;

    internal bool Matches(DeadLetter letter) =>
        (Cause is null || letter.Cause == Cause) && (Type is null || letter.Headers.Type == Type);
}
