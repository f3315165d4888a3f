namespace Millrace.Consuming;

/// <summary>What is to become of a delivery. Exactly four things can.</summary>
internal abstract record SettleAction
{
    private SettleAction()
    {
    }

    /// <summary>Done: acknowledged, with the outputs and state of the handler in the same commit.</summary>
    public sealed record Ack : SettleAction
    {
        public static Ack Instance { get; } = new();
    }

    /// <summary>Again, to this group only, after the delay.</summary>
    /// <param name="Delay">The wait.</param>
    /// <param name="Error">What went wrong.</param>
    /// <param name="IsCounted">Whether it uses up an attempt and is noted in the history; not when it was no fault of the message.</param>
    public sealed record Retry(TimeSpan Delay, Exception Error, bool IsCounted = true) : SettleAction;

    /// <summary>Never again: to the dead letters.</summary>
    /// <param name="Reason">Why, see <see cref="DeadLetterReasons"/>.</param>
    /// <param name="Error">What went wrong, when something did.</param>
    /// <param name="KeepOutputs">Whether the outputs and state of the handler leave with it: only when the handler says so itself.</param>
    public sealed record DeadLetter(string Reason, Exception? Error = null, bool KeepOutputs = false) : SettleAction;

    /// <summary>Nothing is written: the entry stays pending, here or with its new owner.</summary>
    public sealed record Abandon : SettleAction
    {
        public static Abandon Instance { get; } = new();
    }
}
