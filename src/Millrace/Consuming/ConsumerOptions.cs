using Millrace.Streams;

namespace Millrace;

/// <summary>
/// How one consumer group works in this process. Set in code when the consumer is added; configuration under
/// <c>Millrace:Consumers:&lt;group&gt;</c> has the last word. Checked when the host starts.
/// </summary>
public sealed class ConsumerOptions
{
    /// <summary>
    /// Handlers at once, 1 to 1,000. Default 8. One keeps the order of the stream, or of each of its lanes, as long as nothing is retried, handed back
    /// by a process that stops, or taken over from one that died; each handler then finds the effects of the one before. With more, outputs and
    /// state that depend on nothing the handler read are committed while the next message is handled.
    /// </summary>
    public int Concurrency { get; set; } = 8;

    /// <summary>
    /// Messages of a type that a batch handler takes at once, 1 to 1,000; for groups of such handlers, where <see cref="Concurrency"/> counts
    /// batches. Up to both multiplied, 10,000 at most, are held besides <see cref="Prefetch"/>. Default 100.
    /// </summary>
    public int BatchSize { get; set; } = 100;

    /// <summary>
    /// How long the first message of a batch waits for others before the batch runs all the same. Default 100 ms; zero to 1 minute. A message
    /// that was delivered before and never settled runs at once, alone.
    /// </summary>
    public TimeSpan BatchWait { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>
    /// Entries read ahead of the handlers, 0 to 4,000. Default: four times <see cref="Concurrency"/>. They wait in this process and are out
    /// of reach of others, so keep it small when handlers are slow.
    /// </summary>
    public int? Prefetch { get; set; }

    /// <summary>
    /// Bytes of entries read ahead, and of one read or claim: where entries are large, fewer than <see cref="Prefetch"/> are held besides those that run.
    /// Judged by the size of the entries that came last, so a first large one after small ones may exceed it. On Redis keep it to a quarter of
    /// <c>RedisOptions.MaxReplyBytes</c> or less: a read whose reply is longer fails, costs the connection, and counts as a delivery of what it was given.
    /// Default 16 MiB; 64 KiB to 1 GiB.
    /// </summary>
    public int PrefetchBytes { get; set; } = 16 * 1024 * 1024;

    /// <summary>Attempts in all before a failing message goes to the dead letters, 1 to 1,000. Default 5.</summary>
    public int MaxAttempts { get; set; } = 5;

    /// <summary>
    /// The upper bound of the wait before the second attempt. It doubles with each attempt; the wait is a random share of the bound (full
    /// jitter). Default 200 ms.
    /// </summary>
    public TimeSpan RetryBaseDelay { get; set; } = TimeSpan.FromMilliseconds(200);

    /// <summary>The largest upper bound of the wait between two attempts. Default 1 minute.</summary>
    public TimeSpan RetryMaxDelay { get; set; } = TimeSpan.FromMinutes(1);

    /// <summary>
    /// Exceptions that are tried again in another way than the rest; the first rule that fits the exception, or one inside an
    /// <see cref="AggregateException"/>, decides. Default: none. In configuration <c>RetryRules:0:Exception</c> and so on; such rules come
    /// before those set in code. <see cref="RetryOn"/> and <see cref="DeadLetterOn"/> add to it.
    /// </summary>
    public IList<RetryRule> RetryRules { get; } = [];

    /// <summary>
    /// The time a handler may take before its token is cancelled, which counts as a failed attempt. Default 30 s.
    /// <see cref="Timeout.InfiniteTimeSpan"/>: no limit.
    /// </summary>
    public TimeSpan HandlerTimeout { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// How long an entry may go without a sign of life before another consumer takes it over. Everything held is renewed each third of
    /// it, by one call a stream; how long a handler takes does not matter. Default 30 s; at least 500 ms, which a pause of the machine is
    /// easily longer than.
    /// </summary>
    public TimeSpan Lease { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>
    /// Deliveries that may end without a settlement (the process died, or lost its lease) before the entry goes to the dead letters without
    /// running again, 1 to 1,000. Default 5. Keep it at 3 or more: a message that kills its process takes innocent ones along, once where they waited
    /// beside it and once where they were taken over together; after that each is taken over alone.
    /// </summary>
    public int MaxDeliveries { get; set; } = 5;

    /// <summary>
    /// Where the group starts when it does not exist yet. Default: with the first entry of the stream. A group that vanishes later goes on
    /// behind what it had settled, see <see cref="StreamLosses"/>.
    /// In configuration: <c>Beginning</c>, <c>Now</c>, an entry ID or a time.
    /// </summary>
    public GroupStart Start { get; set; } = GroupStart.Beginning;

    /// <summary>
    /// What becomes of entries that cannot be decoded. Default: <see cref="UndecodablePolicy.DeadLetter"/>. Messages of a known type that the
    /// group has no handler for are none of its business and acknowledged, unless it <see cref="OwnsStream"/>.
    /// </summary>
    public UndecodablePolicy Undecodable { get; set; } = UndecodablePolicy.DeadLetter;

    /// <summary>
    /// How long the group remembers the IDs of the messages it has handled, in all its processes: another message with such an ID is
    /// acknowledged without running its handler. Failed attempts and dead letters do not count as handled. Two processes that get copies at
    /// the same moment may both run the handler; the outputs and state of only one of them are written. Costs a round trip before a handler
    /// runs and a commit after it, both shared with others that run meanwhile, and 200 bytes of memory on Redis, 310 on the embedded store,
    /// for each message handled within the window. Default: zero, nothing is remembered; otherwise 1 s to 49 days.
    /// </summary>
    public TimeSpan DeduplicationWindow { get; set; }

    /// <summary>
    /// Orders the group: messages of one key run one after the other, as they were published, and different keys side by side. The name of a
    /// property that every message type of the group has, in the class or in JSON, as the version its handler takes; or
    /// <see cref="PartitionKey"/>. Default <see langword="null"/>: no order.
    /// </summary>
    /// <remarks>
    /// <para>One process reads at a time and the others stand by: they take over at once when it stops, and after a <see cref="Lease"/> when
    /// it dies. <see cref="Concurrency"/> is the number of keys at once.</para>
    /// <para>A message that fails stays the first of its key and is tried again where it is; what comes after it waits, and other keys go on.
    /// <see cref="WhenExhausted"/> says what follows the last attempt. A message whose key is null, or that cannot be decoded, runs by itself.
    /// What comes back from the dead letters joins its key at the end of what has been read.</para>
    /// <para>Every acknowledgement is a commit that is waited for, so a key takes at most one message a round trip.</para>
    /// </remarks>
    public string? OrderedBy { get; set; }

    /// <summary>
    /// What becomes of a message of an ordered group that failed as often as it may. Default: to the dead letters, and its key goes on.
    /// </summary>
    public WhenExhausted WhenExhausted { get; set; }

    /// <summary>
    /// Keys of an ordered group that may be parked at once, 1 to 100,000: those whose first message failed, and waits for its next attempt or
    /// for an operator. Default 1,000. When there are so many, nothing new is read until one goes on.
    /// </summary>
    public int MaxParkedKeys { get; set; } = 1_000;

    /// <summary>
    /// Entries of an ordered group that may wait behind the first one of their key, 1 to 1,000,000. Default 10,000. Of most of them this process
    /// keeps the ID only, about 60 bytes. When there are so many, nothing new is read until some can run.
    /// </summary>
    public int MaxWaitingEntries { get; set; } = 10_000;

    /// <summary>As <see cref="OrderedBy"/>: by the <c>partitionkey</c> of the envelope, see <see cref="PublishOptions.PartitionKey"/>.</summary>
    public const string PartitionKey = "$partitionkey";

    /// <summary>
    /// Failures in a row, of at least two messages, after which the group's breaker opens in this process: it begins no message for
    /// <see cref="BreakerPause"/>, then tries one; if that fails it waits twice as long, up to <see cref="BreakerMaxPause"/>. The failure that
    /// opens it and those while it is open use up no attempt: an outage does not fill the dead letters. Rejected messages and those that
    /// <see cref="RetryRules"/> give no second attempt are no failures of this kind. All messages of a batch that fail of one exception are one
    /// failure, such as those of a call that threw; so for a batch handler keep it at <see cref="MaxAttempts"/> or below. Default: 0, never;
    /// up to 1,000,000.
    /// </summary>
    public int BreakerFailures { get; set; }

    /// <summary>
    /// The share of failures among the handlers that ended within <see cref="BreakerWindow"/>, once these are <see cref="BreakerMinimum"/>,
    /// at which the breaker opens as well. Of batches each message counts, but no call of their handler that throws opens it by itself.
    /// Default: 0, never; up to 1.
    /// </summary>
    public double BreakerFailureRatio { get; set; }

    /// <summary>The span <see cref="BreakerFailureRatio"/> looks back over, in ten steps. Default 30 s; at least 100 ms.</summary>
    public TimeSpan BreakerWindow { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>Handlers, of batches: messages, that must have ended within it before a ratio counts, 2 to 1,000,000. Default 20.</summary>
    public int BreakerMinimum { get; set; } = 20;

    /// <summary>The first pause of an open breaker. Default 5 s.</summary>
    public TimeSpan BreakerPause { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>The longest pause of an open breaker. Default 5 minutes.</summary>
    public TimeSpan BreakerMaxPause { get; set; } = TimeSpan.FromMinutes(5);

    /// <summary>
    /// Handlers that begin within <see cref="RatePeriod"/>, over all processes of the group together. With t a tenth of it, rounded up: on
    /// average no more than this, within any one period no more than this and 3 t. Runs that a state conflict repeats count once. The store
    /// hands out t at a time, a quarter of them or more to one process; asking costs two round trips. Default: 0, no limit; up to 10,000,000.
    /// </summary>
    public int RateLimit { get; set; }

    /// <summary>The period of <see cref="RateLimit"/>. Default 1 s; 100 ms to one day.</summary>
    public TimeSpan RatePeriod { get; set; } = TimeSpan.FromSeconds(1);

    /// <summary>
    /// Called before a message is settled, by whatever way it ends: handled, failed and tried again, or dead-lettered, also before a handler saw it. What it
    /// adds is part of the commit that settles the message, so a document of what became of messages is never wrong. It may read the store, and is called
    /// again when something it required does not hold. What it throws counts as a failure of the handler. Not called for what is handed back, a duplicate
    /// (<see cref="DeduplicationWindow"/>) or another group's, and not where <see cref="OrderedBy"/> keeps a message that failed in its place. Makes every
    /// acknowledgement a commit. A store that is full takes what it adds (<see cref="Commit.IsUpkeep"/>) where the handler adds nothing, so keep it small.
    /// Default: none.
    /// </summary>
    public Func<Settling, CancellationToken, ValueTask>? OnSettling { get; set; }

    /// <summary>
    /// Whether the stream is this group's alone, as that of a queue of work is: a message of a known type that no handler takes here is then as one of an
    /// unknown type, see <see cref="Undecodable"/>, and not another group's business; and what was settled is deleted with its acknowledgement, so that the
    /// stream holds what waits and what runs, and what a letter could not take whole (<see cref="DeadLetter.Omitted"/>). Nothing is passed over without
    /// <see cref="OnSettling"/>, so such a group refuses <see cref="UndecodablePolicy.Ignore"/>, <see cref="OrderedBy"/>,
    /// <see cref="DeduplicationWindow"/> and lanes. Not in configuration. Default: no.
    /// </summary>
    public bool OwnsStream { get; set; }

    /// <summary>Adds a rule to <see cref="RetryRules"/> for an exception and everything derived from it.</summary>
    /// <typeparam name="TException">The class of the exception. A handler that took too long fails with <see cref="TimeoutException"/>.</typeparam>
    /// <param name="maxAttempts">See <see cref="RetryRule.MaxAttempts"/>.</param>
    /// <param name="baseDelay">See <see cref="RetryRule.BaseDelay"/>.</param>
    /// <param name="maxDelay">See <see cref="RetryRule.MaxDelay"/>.</param>
    public ConsumerOptions RetryOn<TException>(int? maxAttempts = null, TimeSpan? baseDelay = null, TimeSpan? maxDelay = null)
        where TException : Exception
    {
        RetryRules.Add(new()
        {
            Exception = typeof(TException).FullName!,
            MaxAttempts = maxAttempts,
            BaseDelay = baseDelay,
            MaxDelay = maxDelay,
        });
        return this;
    }

    /// <summary>Sends messages that fail with an exception, or one derived from it, to the dead letters at once.</summary>
    /// <typeparam name="TException">The class of the exception.</typeparam>
    public ConsumerOptions DeadLetterOn<TException>()
        where TException : Exception => RetryOn<TException>(maxAttempts: 1);

    internal int EffectivePrefetch => Prefetch ?? Math.Min(4 * Concurrency, 4_000);
}
