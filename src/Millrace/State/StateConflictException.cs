using Millrace.Streams;

namespace Millrace;

/// <summary>
/// A state document changed since it was read, so nothing was applied. Thrown by <see cref="MessageContext.AckAsync"/>; a handler lets it
/// pass and is run again at once with fresh state.
/// </summary>
public sealed class StateConflictException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="key">The document that changed.</param>
    public StateConflictException(StateKey key)
        : base($"The state document '{key.Name}' of the stream '{key.Stream}' changed since it was read; nothing was applied.") =>
        Key = key;

    /// <summary>The document that changed.</summary>
    public StateKey Key { get; }
}
