namespace Millrace.ChaosWorker;

/// <summary>What a history consists of.</summary>
public enum Happened
{
    /// <summary>A publish begins. <see cref="HistoryEvent.UntilMs"/>: before then the message must not be handled.</summary>
    Publish,

    /// <summary>The publish was acknowledged.</summary>
    Published,

    /// <summary>Nobody knows what became of the publish.</summary>
    PublishUnknown,

    /// <summary>The publish failed, and the client said that nothing was written.</summary>
    PublishRefused,

    /// <summary>A handler begins.</summary>
    Begin,

    /// <summary>A handler is about to throw.</summary>
    Fail,

    /// <summary>A handler is about to return: from here on the framework may acknowledge.</summary>
    End,

    /// <summary>The store gave an entry to a worker.</summary>
    Delivered,

    /// <summary>A settlement leaves: a commit that acknowledges an entry, or an acknowledgement by itself (<see cref="HistoryEvent.IsFenced"/>).</summary>
    Settle,

    /// <summary>The store applied it.</summary>
    Settled,

    /// <summary>The store said that it changed nothing.</summary>
    SettleRefused,

    /// <summary>The framework found the state that a handler read changed, and runs it again.</summary>
    Conflict,

    /// <summary>Something was done to a process, a line or the server, from <see cref="HistoryEvent.AtMs"/> to <see cref="HistoryEvent.UntilMs"/>.</summary>
    Fault,

    /// <summary>The framework reported entries or a group that the store has forgotten.</summary>
    Loss,

    /// <summary>The counter <c>millrace.losses</c> went up.</summary>
    LossCounted,

    /// <summary>The framework said something; to read, not to check.</summary>
    Log,
}

/// <summary>One thing that happened.</summary>
/// <param name="AtMs">When, in milliseconds of a clock that all recorders share and nobody sets.</param>
/// <param name="What">What.</param>
public sealed record HistoryEvent(double AtMs, Happened What)
{
    /// <summary>The worker, or what a fault struck: a worker, or <see cref="Everybody"/>.</summary>
    public string Who { get; init; } = "";

    /// <summary>The stream of a publish; of a delivery or settlement, the one its entry is in.</summary>
    public string Stream { get; init; } = "";

    public string Group { get; init; } = "";

    /// <summary>The message ID; of a settlement, of the message whose output leaves with it.</summary>
    public string Message { get; init; } = "";

    /// <summary>The entry's ID; of a publish, when it has one at once.</summary>
    public string Entry { get; init; } = "";

    /// <summary>The order key of the message.</summary>
    public string Key { get; init; } = "";

    /// <summary>The delivery count, as the handler sees it; of a settlement, that in its output.</summary>
    public long Deliveries { get; init; }

    /// <summary>The delivery count of the entry alone: of a delivery, and of the fence of a settlement; 0: it had none.</summary>
    public long Count { get; init; }

    /// <summary>Of a settlement: which one, the same at its end as at its beginning.</summary>
    public string Commit { get; init; } = "";

    /// <summary>Of a settlement: whether it must be of whoever holds the entry. A plain acknowledgement need not.</summary>
    public bool IsFenced { get; init; }

    /// <summary>The attempt; of a publish, the last one there will be.</summary>
    public int Attempt { get; init; }

    public double UntilMs { get; init; }

    /// <summary>The kind of job, of fault or of loss; an error.</summary>
    public string Detail { get; init; } = "";

    /// <summary>Of a loss: entries above this ID are missing.</summary>
    public string MissingAfter { get; init; } = "";

    /// <summary>Of a loss: up to this one.</summary>
    public string MissingThrough { get; init; } = "";

    /// <summary>Of a loss: how many unsettled entries that were, if it is known.</summary>
    public long? MissingCount { get; init; }

    /// <summary>Of a loss: how many entries that were to be handled again.</summary>
    public long MissingRetries { get; init; }

    /// <summary>In <see cref="Who"/>: the fault may strike any worker.</summary>
    public const string Everybody = "*";
}
