namespace Millrace.Sagas;

/// <summary>
/// A step of a saga that can be undone; made by <see cref="Saga{TState}.Step"/>. Without <see cref="UndoBy(string, Func{TState, object})"/> there is
/// nothing to undo.
/// </summary>
/// <typeparam name="TState">What an instance remembers.</typeparam>
public sealed class SagaStep<TState>
    where TState : notnull
{
    internal SagaStep(string name) => Name = name;

    /// <summary>Its name.</summary>
    public string Name { get; }

    internal Func<TState, string?, object>? Undo { get; private set; }

    internal string To { get; private set; } = "";

    internal bool IsAwaited { get; private set; }

    internal int Attempts { get; private set; }

    internal TimeSpan Within { get; private set; }

    internal TimeSpan RetryDelay { get; private set; }

    /// <summary>
    /// Undoes the step by a command, which is sent when the steps after it are undone. If it cannot be made, is null or cannot leave, the saga
    /// <see cref="SagaStatus.NeedsAttention"/>.
    /// </summary>
    /// <param name="stream">The stream the command goes to.</param>
    /// <param name="command">Makes the command from the state as it is then.</param>
    public SagaStep<TState> UndoBy(string stream, Func<TState, object> command)
    {
        ArgumentNullException.ThrowIfNull(command);
        return UndoBy(stream, (state, _) => command(state));
    }

    /// <summary>As the other overload, for a step that is done several times.</summary>
    /// <param name="stream">The stream the command goes to.</param>
    /// <param name="command">Makes the command from the state as it is then, and from which of them it is.</param>
    public SagaStep<TState> UndoBy(string stream, Func<TState, string?, object> command)
    {
        ArgumentException.ThrowIfNullOrEmpty(stream);
        ArgumentNullException.ThrowIfNull(command);
        (To, Undo) = (stream, command);
        return this;
    }

    /// <summary>
    /// Waits for a message that confirms it before the step before is undone. Without an answer, or when it is refused, the command is sent again,
    /// under another message ID: whoever gets it must know what it has undone already. After the last attempt the saga
    /// <see cref="SagaStatus.NeedsAttention"/>. Default: the command is sent and that is all; if its consumer gives up on it, that is a dead letter there, and
    /// the saga ends as compensated.
    /// </summary>
    /// <param name="attempts">How often it is sent at most. Default: 5. At least 1.</param>
    /// <param name="within">How long an answer may take. Default: 1 minute.</param>
    /// <param name="retryDelay">The pause after the first failure, doubled after each further one. Default: 5 s.</param>
    public SagaStep<TState> Awaited(int attempts = 5, TimeSpan? within = null, TimeSpan? retryDelay = null)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(attempts, 1);
        (IsAwaited, Attempts) = (true, attempts);
        Within = Positive(within ?? TimeSpan.FromMinutes(1), nameof(within));
        RetryDelay = Positive(retryDelay ?? TimeSpan.FromSeconds(5), nameof(retryDelay));
        return this;
    }

    private static TimeSpan Positive(TimeSpan value, string name)
    {
        ArgumentOutOfRangeException.ThrowIfLessThanOrEqual(value, TimeSpan.Zero, name);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(value, Streams.StreamLimits.MaxDuration, name);
        return value;
    }
}
