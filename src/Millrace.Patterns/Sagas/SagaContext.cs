namespace Millrace.Sagas;

/// <summary>
/// What a saga's handler knows besides state and message, and what it may decide. Everything leaves in the commit that acknowledges the message, or
/// nothing does. For one call of one handler.
/// </summary>
public sealed class SagaContext
{
    private readonly SagaTurn _turn;

    internal SagaContext(SagaTurn turn) => _turn = turn;

    /// <summary>The ID of the instance.</summary>
    public string Id => _turn.Id;

    /// <summary>The time of this process when the message was handled.</summary>
    public DateTimeOffset Now => _turn.Now;

    /// <summary>The ID of the message handled.</summary>
    public string MessageId => _turn.MessageId;

    /// <summary>Sends a message: exactly once for each message handled. Its correlation and cause are those of any output of a handler.</summary>
    /// <param name="stream">The stream; on a cluster, in the hash slot of the saga's, see <see cref="SagaOptions.Tag"/>.</param>
    /// <param name="message">The message.</param>
    /// <param name="options">More about it; <see cref="PublishOptions.Delay"/> schedules it. Default: nothing.</param>
    public void Send(string stream, object message, PublishOptions? options = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(stream);
        ArgumentNullException.ThrowIfNull(message);
        _turn.Send(stream, message, options);
    }

    /// <summary>
    /// Sets a time-out, which is kept by the store and fires once, by the store's clock. One of the same name that is set already is superseded, and
    /// does nothing any more even if it is on its way. All are cancelled when the saga ends or compensates.
    /// </summary>
    /// <param name="name">Its name, see <see cref="Saga{TState}.OnTimeout(string, Action{TState, SagaContext})"/>.</param>
    /// <param name="delay">When it fires. At most <see cref="SagaOptions.MaxTimeout"/>.</param>
    /// <exception cref="InvalidOperationException">The saga has no such time-out, or the instance has too many at once.</exception>
    public void Timeout(string name, TimeSpan delay)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentOutOfRangeException.ThrowIfLessThan(delay, TimeSpan.Zero);
        Instance("set a time-out").SetTimeout(name, delay);
    }

    /// <summary>Cancels a time-out, also one on its way. Nothing happens when there is none of this name.</summary>
    /// <param name="name">Its name.</param>
    public void CancelTimeout(string name) => Instance("cancel a time-out").Document.Timeouts.RemoveAll(timeout => timeout.Name == name);

    /// <summary>
    /// Records that a step is done, and has to be undone if the saga fails. Once more changes nothing. See also
    /// <see cref="SagaMessage{TState, TMessage}.Completes"/>.
    /// </summary>
    /// <param name="step">The step, see <see cref="Saga{TState}.Step"/>.</param>
    /// <param name="detail">Which one, if it is done several times. Default: it is done once.</param>
    public void Done(string step, string? detail = null) => Instance("do a step").MarkDone(step, detail);

    /// <summary>Ends the instance well, after this handler.</summary>
    /// <exception cref="InvalidOperationException">It was told to compensate.</exception>
    public void Complete()
    {
        if (Instance("complete").Failure is not null)
            throw new InvalidOperationException("A saga completes or compensates, not both.");
        _turn.IsComplete = true;
    }

    /// <summary>
    /// The saga has failed: after this handler the steps that were done are undone, the last one first; then the instance ends as
    /// <see cref="SagaStatus.Compensated"/>.
    /// </summary>
    /// <param name="reason">Why, for people.</param>
    /// <exception cref="InvalidOperationException">It was told to complete.</exception>
    public void Compensate(string reason)
    {
        ArgumentException.ThrowIfNullOrEmpty(reason);
        if (Instance("compensate").IsComplete)
            throw new InvalidOperationException("A saga completes or compensates, not both.");
        _turn.Failure = reason;
    }

    /// <summary>Writes a note into the timeline.</summary>
    /// <param name="note">The note, for people.</param>
    public void Note(string note)
    {
        ArgumentException.ThrowIfNullOrEmpty(note);
        Instance("write a note").Notes.Add(note);
    }

    private SagaTurn Instance(string act) => _turn.IsRunning
        ? _turn
        : throw new InvalidOperationException(
            $"Nothing runs here that could {act}: for a message without an instance, and one that was compensated, one can only send.");
}
