using Millrace.Streams;

namespace Millrace.Sagas;

/// <summary>Settings of a saga.</summary>
public sealed class SagaOptions
{
    internal List<Action<ConsumerOptions>> Consumer { get; } = [];

    /// <summary>
    /// How long an instance that ended can be read, keeps duplicates away and has steps undone that are done late. Default: 7 days. Zero: it is gone at
    /// once. At most <see cref="StreamLimits.MaxDuration"/>.
    /// </summary>
    public TimeSpan Retention { get; set; } = TimeSpan.FromDays(7);

    /// <summary>
    /// Whether an instance that ends is appended to an archive, in the commit in which it ends, see <see cref="SagaStore{TState}.ReadArchiveAsync"/>: state,
    /// steps and timeline, readable beyond <see cref="Retention"/>. Default: no. Costs a stream that grows until it is given a retention.
    /// </summary>
    public bool ArchivesEnded { get; set; }

    /// <summary>Whether a message that starts the saga starts it anew where an instance of its ID has ended and is still kept. Default: no.</summary>
    public bool RestartsEnded { get; set; }

    /// <summary>The longest time-out. Default: <see cref="StreamLimits.MaxDuration"/>, which is also the most.</summary>
    public TimeSpan MaxTimeout { get; set; } = StreamLimits.MaxDuration;

    /// <summary>The time-outs one instance may have at once. Default: 100. At least 1.</summary>
    public int MaxTimeouts { get; set; } = 100;

    /// <summary>
    /// The entries of an instance's timeline: the first one and the last others; how many are missing is counted. A message that was published twice is
    /// known by its ID as long as it is in there. Default: 100. At least 2.
    /// </summary>
    public int MaxTimeline { get; set; } = 100;

    /// <summary>
    /// On Redis Cluster: the hash tag that all streams of the saga have, those it reads and those it sends to, as in <c>{shop}:orders</c> for
    /// <c>shop</c>. A stream without it is refused, since a commit stays in one slot. Default: none; nothing is checked.
    /// </summary>
    public string? Tag { get; set; }

    /// <summary>
    /// Sets options of the saga's consumer group. After them comes one more <see cref="ConsumerOptions.RetryRules">rule</see>: what fails with a
    /// <see cref="SagaStateException"/> is tried 1,000 times, up to a minute apart, in all about 8 hours, for a newer process to take it;
    /// where a step that is to be undone is not known, 6 times in about a minute, before the saga <see cref="SagaStatus.NeedsAttention"/>.
    /// </summary>
    /// <param name="configure">Sets them, for each stream.</param>
    public SagaOptions ConfigureConsumer(Action<ConsumerOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(configure);
        Consumer.Add(configure);
        return this;
    }

    /// <summary>Whether the stream is in the slot of <see cref="Tag"/>, if there is one: the first tag of a name decides.</summary>
    internal bool HasTag(string stream) =>
        Tag is null || (stream.IndexOf('{') is >= 0 and var start && stream[start..].StartsWith($"{{{Tag}}}", StringComparison.Ordinal));

    /// <summary>What is wrong, for the streams that the saga reads and those that it is known to send to.</summary>
    internal IEnumerable<string> Check(IEnumerable<string> streams)
    {
        if (Retention < TimeSpan.Zero || Retention > StreamLimits.MaxDuration)
            yield return $"Retention is {Retention}; it must be zero to {StreamLimits.MaxDuration}";
        if (MaxTimeout <= TimeSpan.Zero || MaxTimeout > StreamLimits.MaxDuration)
            yield return $"MaxTimeout is {MaxTimeout}; it must be more than zero and at most {StreamLimits.MaxDuration}";
        if (MaxTimeouts < 1)
            yield return $"MaxTimeouts is {MaxTimeouts}; it must be at least 1";
        if (MaxTimeline < 2)
            yield return $"MaxTimeline is {MaxTimeline}; it must be at least 2";
        foreach (var stream in streams)
            if (!HasTag(stream))
                yield return $"the stream '{stream}' has not the tag '{{{Tag}}}': on a cluster a commit stays in one hash slot";
    }
}
