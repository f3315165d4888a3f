using Millrace.Streams;

namespace Millrace.EventSourcing;

/// <summary>
/// An aggregate as two pure functions: what a command decides in a state, and what a state becomes by an event. The form is Jérémie Chassaing's
/// decider (<c>thinkbeforecoding.com</c>).
/// </summary>
/// <typeparam name="TState">The state.</typeparam>
/// <typeparam name="TCommand">What is asked for.</typeparam>
/// <param name="Decide">
/// The events that follow, none when nothing changes. Refuses by an exception, which reaches the caller. Pure: it may be asked several times.
/// </param>
/// <param name="Fold">How the state follows from events.</param>
public sealed record Decider<TState, TCommand>(Func<TState, TCommand, IReadOnlyList<object>> Decide, EventFold<TState> Fold)
    where TState : notnull;

/// <summary>What became of a decision.</summary>
/// <typeparam name="TState">The state.</typeparam>
/// <param name="State">The state after it.</param>
/// <param name="Version">The version of the stream after it.</param>
/// <param name="Events">The events it appended; empty when nothing changed, and for a command that was decided before.</param>
public sealed record Decided<TState>(TState State, long Version, IReadOnlyList<object> Events)
{
    /// <summary>
    /// Where the last of the events is, see <see cref="AppendResult.Position"/>, also for a command that was decided before; <see langword="null"/> when
    /// nothing changed.
    /// </summary>
    public EntryId? Position { get; init; }
}

/// <summary>A stream that was deleted was asked to decide.</summary>
public sealed class StreamDeletedException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="stream">The stream.</param>
    public StreamDeletedException(string stream)
        : base($"The stream '{stream}' was deleted; nothing can be appended to it.") => Stream = stream;

    /// <summary>The stream.</summary>
    public string Stream { get; }
}
