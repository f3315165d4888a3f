namespace Millrace;

/// <summary>
/// What a batch handler knows of the messages it handles, and where it says what came of single ones. What it says nothing of is handled when
/// it returns, and failed when it throws; that costs good ones an attempt with the bad one, which <see cref="Fail"/> does not. Each message is
/// settled by itself: with its own outputs and state, retries and dead letter.
/// </summary>
public sealed class BatchContext
{
    // By item: what it failed of; itself when it succeeded; nothing while the handler has not said.
    private readonly object?[] _outcomes;

    // Exceptions that the breaker has counted.
    private HashSet<Exception>? _counted;

    internal BatchContext(IReadOnlyList<MessageContext> items)
    {
        (Items, _outcomes) = (items, new object?[items.Count]);
        foreach (var item in items)
            item.Batch = this;
    }

    /// <summary>
    /// The contexts of the messages, in their order: headers, and outputs and state that leave in one commit with the acknowledgement of
    /// their message. Two messages that write one state document conflict, and one of them runs again.
    /// </summary>
    public IReadOnlyList<MessageContext> Items { get; }

    /// <summary>The message was handled, whatever comes of the rest.</summary>
    /// <param name="index">Its place in the batch.</param>
    public void Succeed(int index) => _outcomes[index] = this;

    /// <summary>The message failed and is tried again, or becomes a dead letter, as the exception's rule says.</summary>
    /// <param name="index">Its place in the batch.</param>
    /// <param name="error">What it failed of.</param>
    public void Fail(int index, Exception error)
    {
        ArgumentNullException.ThrowIfNull(error);
        _outcomes[index] = error;
    }

    /// <summary>The message can never be handled and goes to the dead letters at once.</summary>
    /// <param name="index">Its place in the batch.</param>
    /// <param name="reason">Why, for the people who read dead letters.</param>
    public void Reject(int index, string reason) => Fail(index, new MessageRejectedException(reason));

    /// <summary>Whether nothing of the batch that failed of this very exception was counted before. For the breaker, under its lock.</summary>
    internal bool TryCount(Exception error) => (_counted ??= new(ReferenceEqualityComparer.Instance)).Add(error);

    /// <summary>What came of a message, when the handler returned or threw.</summary>
    internal Exception? Outcome(int index, Exception? thrown) => _outcomes[index] switch
    {
        null => thrown,
        Exception failure => failure,
        _ => null,
    };
}
