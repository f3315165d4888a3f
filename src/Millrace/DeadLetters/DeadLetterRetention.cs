namespace Millrace;

/// <summary>What to keep of a group's dead letters. What is not set keeps all.</summary>
public sealed record DeadLetterRetention
{
    /// <summary>Drops letters older than this.</summary>
    public TimeSpan? MaxAge { get; init; }

    /// <summary>Drops the oldest letters above this number.</summary>
    public long? MaxCount { get; init; }

    /// <summary>Drops audit notes older than this.</summary>
    public TimeSpan? AuditMaxAge { get; init; }

    /// <exception cref="ArgumentOutOfRangeException">An age or number is negative.</exception>
    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxAge ?? TimeSpan.Zero, TimeSpan.Zero, nameof(MaxAge));
        ArgumentOutOfRangeException.ThrowIfNegative(MaxCount ?? 0, nameof(MaxCount));
        ArgumentOutOfRangeException.ThrowIfLessThan(AuditMaxAge ?? TimeSpan.Zero, TimeSpan.Zero, nameof(AuditMaxAge));
    }
}
