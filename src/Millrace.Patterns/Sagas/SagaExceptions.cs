namespace Millrace.Sagas;

/// <summary>A message belongs to no instance of a saga, and its rule is <see cref="SagaNotFound.Retry"/>.</summary>
public sealed class SagaNotFoundException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="saga">The saga.</param>
    /// <param name="id">The instance that does not exist.</param>
    /// <param name="message">The message's name.</param>
    public SagaNotFoundException(string saga, string id, string message)
        : base($"There is no running saga '{saga}' with the ID '{id}' for {message}.")
    {
    }
}

/// <summary>
/// The state of an instance cannot be read: it is of a newer version than this process knows, or broken. The message is tried again, perhaps by a
/// process of the newer version, and is a dead letter in the end; the state stays as it is.
/// </summary>
public sealed class SagaStateException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="saga">The saga.</param>
    /// <param name="id">The instance.</param>
    /// <param name="message">What is wrong.</param>
    /// <param name="innerException">The cause, if another exception was.</param>
    public SagaStateException(string saga, string id, string message, Exception? innerException = null)
        : base($"Saga '{saga}' with the ID '{id}': {message}", innerException)
    {
    }
}
