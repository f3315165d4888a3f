using Millrace.Streams;

namespace Millrace;

/// <summary>
/// What to keep of a stream. What is not set keeps all; of several bounds the strictest counts. Configuration under
/// <c>Millrace:Retention:&lt;stream&gt;</c> has the last word.
/// </summary>
public sealed class StreamRetention
{
    /// <summary>Drops entries older than this, by this process's clock against the store's time in the IDs. Default: keep all.</summary>
    public TimeSpan? MaxAge { get; set; }

    /// <summary>Drops the oldest entries above this number. Default: keep all.</summary>
    public long? MaxCount { get; set; }

    /// <summary>
    /// Drops the oldest entries above this many bytes: their names and values; what the store needs besides is not counted. Each entry is read once, to add
    /// up sizes, by the process that applies the policy; all that is kept anew after a restart, and where entries were deleted by name. Default: keep all.
    /// </summary>
    public long? MaxBytes { get; set; }

    /// <summary>
    /// Keeps every entry that a group of the stream has not settled, whatever else is set. Default: yes. Readers without a group are not
    /// waited for.
    /// </summary>
    public bool KeepUnsettled { get; set; } = true;

    /// <summary>
    /// How long a group has no live consumer, and does not move, until it counts as abandoned, by the store's clock. Default 7 days; 1 minute to 3650 days.
    /// Where it is changed, and when dead letters are redriven to the group, the time begins anew. A consumer of another program keeps no document of its
    /// life: its group lives as long as it moves.
    /// </summary>
    public TimeSpan AbandonedAfter { get; set; } = TimeSpan.FromDays(7);

    /// <summary>What becomes of a group that is abandoned. Default: it is reported, and goes on holding its entries.</summary>
    public AbandonedGroupPolicy AbandonedGroups { get; set; } = AbandonedGroupPolicy.Report;

    /// <summary>
    /// What to keep of the dead letters of each of its groups. Default: all. A group that reads dead letters is waited for as those of the stream are:
    /// <see cref="KeepUnsettled"/>, <see cref="AbandonedAfter"/> and <see cref="AbandonedGroups"/> hold for it, too.
    /// </summary>
    public DeadLetterRetention? DeadLetters { get; set; }

    /// <summary>What that says of a stream of dead letters; <see langword="null"/>: to keep all.</summary>
    internal StreamRetention? OfDeadLetters => Like(DeadLetters?.MaxAge, DeadLetters?.MaxCount);

    /// <summary>The same of the notes about them.</summary>
    internal StreamRetention? OfDeadLetterNotes => Like(DeadLetters?.AuditMaxAge, null);

    // A process that restarts must not pass for one that never comes back.
    internal static TimeSpan MinAbandonedAfter { get; } = TimeSpan.FromMinutes(1);

    private StreamRetention? Like(TimeSpan? maxAge, long? maxCount) => maxAge is null && maxCount is null ? null : new()
    {
        MaxAge = maxAge,
        MaxCount = maxCount,
        KeepUnsettled = KeepUnsettled,
        AbandonedAfter = AbandonedAfter,
        AbandonedGroups = AbandonedGroups,
    };

    /// <exception cref="ArgumentOutOfRangeException">A bound is negative, or a time out of its bounds.</exception>
    internal void Check()
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(MaxAge ?? TimeSpan.Zero, TimeSpan.Zero, nameof(MaxAge));
        ArgumentOutOfRangeException.ThrowIfNegative(MaxCount ?? 0, nameof(MaxCount));
        ArgumentOutOfRangeException.ThrowIfNegative(MaxBytes ?? 0, nameof(MaxBytes));
        ArgumentOutOfRangeException.ThrowIfLessThan(AbandonedAfter, MinAbandonedAfter, nameof(AbandonedAfter));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(AbandonedAfter, StreamLimits.MaxDuration, nameof(AbandonedAfter));
        DeadLetters?.Check();
    }
}
