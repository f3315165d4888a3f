namespace Millrace.Testing;

/// <summary>One run of a handler that has ended.</summary>
/// <remarks>
/// A run that returned is not a message settled: when a state document it wrote has changed meanwhile, the handler runs again, and each run is
/// told of.
/// </remarks>
public class HandledMessage
{
    internal HandledMessage(object message, MessageContext context, DateTimeOffset startedAt, DateTimeOffset endedAt, Exception? failure)
    {
        (Body, Stream, Group, Headers) = (message, context.Stream, context.Group, context.Headers);
        (Attempt, DeliveryCount) = (context.Attempt, context.DeliveryCount);
        (StartedAt, EndedAt, Failure) = (startedAt, endedAt, failure);
    }

    private protected HandledMessage(HandledMessage other)
    {
        (Body, Stream, Group, Headers) = (other.Body, other.Stream, other.Group, other.Headers);
        (Attempt, DeliveryCount) = (other.Attempt, other.DeliveryCount);
        (StartedAt, EndedAt, Failure) = (other.StartedAt, other.EndedAt, other.Failure);
    }

    /// <summary>The message as the handler got it.</summary>
    public object Body { get; }

    /// <summary>The stream the message was published to.</summary>
    public string Stream { get; }

    /// <summary>The group.</summary>
    public string Group { get; }

    /// <summary>Everything the entry says about the message.</summary>
    public MessageHeaders Headers { get; }

    /// <summary>The message ID. Stays the same over all attempts.</summary>
    public string MessageId => Headers.MessageId;

    /// <summary>Which attempt it was, 1 for the first.</summary>
    public int Attempt { get; }

    /// <summary>See <see cref="MessageContext.DeliveryCount"/>.</summary>
    public long DeliveryCount { get; }

    /// <summary>When it began.</summary>
    public DateTimeOffset StartedAt { get; }

    /// <summary>When it ended.</summary>
    public DateTimeOffset EndedAt { get; }

    /// <summary>What the handler threw, or <see langword="null"/>: it returned.</summary>
    public Exception? Failure { get; }

    /// <inheritdoc/>
    public override string ToString() => $"{Headers.Type} {MessageId} in {Group} of {Stream}, attempt {Attempt}" +
        (Failure is null ? "" : $": {Failure.GetType().Name}: {Failure.Message}");
}

/// <inheritdoc/>
/// <typeparam name="T">The message type.</typeparam>
public sealed class HandledMessage<T> : HandledMessage
{
    internal HandledMessage(HandledMessage handled, T message)
        : base(handled) => Message = message;

    /// <summary>The message as the handler got it.</summary>
    public T Message { get; }
}
