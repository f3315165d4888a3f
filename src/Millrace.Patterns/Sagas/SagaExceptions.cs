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
/// An instance is of a newer version than this process knows, or its state is broken: the state cannot be read, or this version of the saga has no such
/// step or time-out. The message is tried again for hours, see <see cref="SagaOptions.ConfigureConsumer"/>, until a process of the newer version takes
/// it, and is a dead letter in the end; the instance stays as it is. Where only a step to be undone is not known, it is tried for a minute, and then the
/// instance <see cref="SagaStatus.NeedsAttention"/>.
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
