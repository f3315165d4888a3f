namespace Millrace;

/// <summary>
/// Thrown by a handler that knows a message can never be handled: it goes to the dead letters at once, without another attempt.
/// </summary>
public sealed class MessageRejectedException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="reason">Why the message is refused, for the people who read dead letters.</param>
    /// <param name="innerException">The cause, if another exception was.</param>
    public MessageRejectedException(string reason, Exception? innerException = null)
        : base(reason, innerException)
    {
    }
}
