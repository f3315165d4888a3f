namespace Millrace;

/// <summary>
/// Makes a method the handler of a message type in a consumer group. The method takes the message first, then a
/// <see cref="MessageContext"/>
/// and a <see cref="CancellationToken"/> if it wants them, or a list of messages (<c>IReadOnlyList</c>) first and then a
/// <see cref="BatchContext"/>; it may be static and return nothing, a task or a value task. The source
/// generator
/// turns it into a call of <see cref="MillraceBuilder.AddConsumer{THandler, TMessage}"/>.
/// </summary>
/// <remarks>
/// Options left out keep the defaults of <see cref="ConsumerOptions"/>; configuration under <c>Millrace:Consumers:&lt;group&gt;</c>
/// wins over both. What no attribute can say, <see cref="ConsumerOptions.RetryRules"/> and <see cref="ConsumerOptions.OnSettling"/>, is said where the
/// consumer is added in code, and the rules in configuration, too.
/// </remarks>
/// <param name="stream">The stream.</param>
[AttributeUsage(AttributeTargets.Method, Inherited = false)]
public sealed class StreamConsumerAttribute(string stream) : Attribute
{
    /// <summary>The stream.</summary>
    public string Stream => stream;

    /// <summary>The consumer group. Handlers of one stream and group share its options.</summary>
    public required string Group { get; set; }

    /// <summary>See <see cref="ConsumerOptions.Concurrency"/>.</summary>
    public int Concurrency { get; set; }

    /// <summary>See <see cref="ConsumerOptions.Prefetch"/>.</summary>
    public int Prefetch { get; set; }

    /// <summary>See <see cref="ConsumerOptions.PrefetchBytes"/>.</summary>
    public int PrefetchBytes { get; set; }

    /// <summary>See <see cref="ConsumerOptions.BatchSize"/>.</summary>
    public int BatchSize { get; set; }

    /// <summary>See <see cref="ConsumerOptions.BatchWait"/>.</summary>
    public double BatchWaitSeconds { get; set; }

    /// <summary>See <see cref="ConsumerOptions.MaxAttempts"/>.</summary>
    public int MaxAttempts { get; set; }

    /// <summary>See <see cref="ConsumerOptions.RetryBaseDelay"/>.</summary>
    public double RetryBaseDelaySeconds { get; set; }

    /// <summary>See <see cref="ConsumerOptions.RetryMaxDelay"/>.</summary>
    public double RetryMaxDelaySeconds { get; set; }

    /// <summary>See <see cref="ConsumerOptions.MaxDeliveries"/>.</summary>
    public int MaxDeliveries { get; set; }

    /// <summary>See <see cref="ConsumerOptions.Start"/>; as in configuration, see <see cref="Streams.GroupStart.Parse"/>.</summary>
    public string? Start { get; set; }

    /// <summary>See <see cref="ConsumerOptions.OwnsStream"/>.</summary>
    public bool OwnsStream { get; set; }

    /// <summary>See <see cref="ConsumerOptions.OrderedBy"/>; usually <c>nameof</c> a property of the message.</summary>
    public string? OrderedBy { get; set; }

    /// <summary>See <see cref="ConsumerOptions.WhenExhausted"/>.</summary>
    public WhenExhausted WhenExhausted { get; set; }

    /// <summary>See <see cref="ConsumerOptions.MaxParkedKeys"/>.</summary>
    public int MaxParkedKeys { get; set; }

    /// <summary>See <see cref="ConsumerOptions.MaxWaitingEntries"/>.</summary>
    public int MaxWaitingEntries { get; set; }

    /// <summary>See <see cref="ConsumerOptions.Lease"/>.</summary>
    public double LeaseSeconds { get; set; }

    /// <summary>See <see cref="ConsumerOptions.HandlerTimeout"/>.</summary>
    public double HandlerTimeoutSeconds { get; set; }

    /// <summary>See <see cref="ConsumerOptions.DeduplicationWindow"/>.</summary>
    public double DeduplicationWindowSeconds { get; set; }

    /// <summary>See <see cref="ConsumerOptions.BreakerFailures"/>.</summary>
    public int BreakerFailures { get; set; }

    /// <summary>See <see cref="ConsumerOptions.BreakerFailureRatio"/>.</summary>
    public double BreakerFailureRatio { get; set; }

    /// <summary>See <see cref="ConsumerOptions.BreakerWindow"/>.</summary>
    public double BreakerWindowSeconds { get; set; }

    /// <summary>See <see cref="ConsumerOptions.BreakerMinimum"/>.</summary>
    public int BreakerMinimum { get; set; }

    /// <summary>See <see cref="ConsumerOptions.BreakerPause"/>.</summary>
    public double BreakerPauseSeconds { get; set; }

    /// <summary>See <see cref="ConsumerOptions.BreakerMaxPause"/>.</summary>
    public double BreakerMaxPauseSeconds { get; set; }

    /// <summary>See <see cref="ConsumerOptions.RateLimit"/>.</summary>
    public int RateLimit { get; set; }

    /// <summary>See <see cref="ConsumerOptions.RatePeriod"/>.</summary>
    public double RatePeriodSeconds { get; set; }

    /// <summary>See <see cref="ConsumerOptions.Undecodable"/>.</summary>
    public UndecodablePolicy Undecodable { get; set; }
}
