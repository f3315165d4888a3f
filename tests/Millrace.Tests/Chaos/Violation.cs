namespace Millrace.Tests.Chaos;

/// <summary>A promise that was broken.</summary>
internal enum Promise
{
    /// <summary>What was acknowledged to the publisher is in the stream, once.</summary>
    NothingLost,

    /// <summary>What is in a stream was published, and not refused.</summary>
    NothingMadeUp,

    /// <summary>Every message of the stream was handled to its end, or is a dead letter.</summary>
    EverythingHandled,

    /// <summary>An entry is settled once, by the delivery that holds it then; and an output is of a delivery whose settlement was not refused.</summary>
    SettledByItsHolder,

    /// <summary>State and outputs of a message are in the store once, when it was handled; and never when it was given up.</summary>
    EffectsOnce,

    /// <summary>A message is delivered again only after a fault that took it from its handler, and its count says how often.</summary>
    RedeliveryExplained,

    /// <summary>Attempts go up by one with each failure, and end where the options say.</summary>
    AttemptsCounted,

    /// <summary>Dead letters are what fails for ever, once in each group.</summary>
    DeadLettersRight,

    /// <summary>A message that ends its process is a dead letter after the configured number of deaths, and runs no more.</summary>
    KillersEnd,

    /// <summary>In an ordered group the messages of a key begin and take effect one after the other, in the order of the stream.</summary>
    OrderKept,

    /// <summary>What a flush took is told once by each group, with what it was; and nothing is told where nothing was lost.</summary>
    LossesTold,

    /// <summary>A delayed message is not handled early.</summary>
    NotEarly,

    /// <summary>In the end nothing is pending and nothing waits.</summary>
    NothingLeft,
}

/// <summary>What a history shows to be wrong.</summary>
/// <param name="Promise">The promise broken.</param>
/// <param name="Text">How.</param>
internal sealed record Violation(Promise Promise, string Text)
{
    public override string ToString() => $"{Promise}: {Text}";
}
