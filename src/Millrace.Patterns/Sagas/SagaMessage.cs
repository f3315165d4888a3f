using System.Globalization;

namespace Millrace.Sagas;

/// <summary>What a message means to a saga; made by <see cref="Saga{TState}.On{TMessage}"/>.</summary>
/// <typeparam name="TState">What an instance remembers.</typeparam>
/// <typeparam name="TMessage">The message.</typeparam>
public sealed class SagaMessage<TState, TMessage>
    where TState : notnull
    where TMessage : notnull
{
    private readonly SagaRule<TState> _rule;

    internal SagaMessage(SagaRule<TState> rule) => _rule = rule;

    /// <summary>Says to which instance a message belongs: the one of this ID. Every message needs it.</summary>
    /// <typeparam name="TKey">Text, number, GUID: what has an invariant text.</typeparam>
    /// <param name="member">Gives the ID, as in <c>m => m.OrderId</c>. A message without one is a dead letter.</param>
    public SagaMessage<TState, TMessage> CorrelateBy<TKey>(Func<TMessage, TKey> member)
    {
        ArgumentNullException.ThrowIfNull(member);
        _rule.Correlate = message => Convert.ToString(member((TMessage)message), CultureInfo.InvariantCulture);
        return this;
    }

    /// <summary>The message starts an instance when there is none. One that comes again starts no other; see <see cref="SagaOptions.RestartsEnded"/>.</summary>
    /// <param name="handle">What follows; gives the first state.</param>
    public SagaMessage<TState, TMessage> Start(Func<TMessage, SagaContext, TState> handle)
    {
        ArgumentNullException.ThrowIfNull(handle);
        _rule.Start = (message, saga) => handle((TMessage)message, saga);
        return this;
    }

    /// <summary>Says what follows from the message while the instance is <see cref="SagaStatus.Running"/>.</summary>
    /// <param name="handle">What follows; gives the new state.</param>
    public SagaMessage<TState, TMessage> Handle(Func<TState, TMessage, SagaContext, TState> handle)
    {
        ArgumentNullException.ThrowIfNull(handle);
        _rule.Handle = (state, message, saga) => handle(state, (TMessage)message, saga);
        return this;
    }

    /// <summary>As the other overload, for what leaves the state as it is.</summary>
    /// <param name="handle">What follows.</param>
    public SagaMessage<TState, TMessage> Handle(Action<TState, TMessage, SagaContext> handle)
    {
        ArgumentNullException.ThrowIfNull(handle);
        return Handle((state, message, saga) =>
        {
            handle(state, message, saga);
            return state;
        });
    }

    /// <summary>
    /// The message says that a step is done, which is recorded before <see cref="Handle(Func{TState, TMessage, SagaContext, TState})"/> is called.
    /// When it comes
    /// late, after the saga has begun to compensate or even has ended so, the step is undone as well, as long as the instance is kept. One that
    /// says it again changes nothing.
    /// </summary>
    /// <param name="step">The step.</param>
    /// <param name="detail">Which one, if the step is done several times, as in <c>m => m.Line</c>. Default: it is done once.</param>
    public SagaMessage<TState, TMessage> Completes(string step, Func<TMessage, string>? detail = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(step);
        _rule.Completes = step;
        return WithDetail(detail);
    }

    /// <summary>The message says that a step is undone, and the compensation goes on.</summary>
    /// <param name="step">The step, see <see cref="SagaStep{TState}.Awaited"/>.</param>
    /// <param name="detail">Which one, as in <see cref="Completes"/>. Needed if the step is done several times.</param>
    public SagaMessage<TState, TMessage> Confirms(string step, Func<TMessage, string>? detail = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(step);
        _rule.Confirms = step;
        return WithDetail(detail);
    }

    /// <summary>The message says that undoing a step failed: it is tried again, as often as <see cref="SagaStep{TState}.Awaited"/> allows.</summary>
    /// <param name="step">The step.</param>
    /// <param name="reason">Why, for people. Default: the name of the message.</param>
    /// <param name="detail">Which one, as in <see cref="Completes"/>. Needed if the step is done several times.</param>
    public SagaMessage<TState, TMessage> Refuses(string step, Func<TMessage, string>? reason = null, Func<TMessage, string>? detail = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(step);
        _rule.Refuses = step;
        _rule.Reason = message => reason?.Invoke((TMessage)message) ?? Saga.NameOf(typeof(TMessage));
        return WithDetail(detail);
    }

    /// <summary>Says what becomes of a message whose instance does not exist or has ended. Default: <see cref="SagaNotFound.Ignore"/>.</summary>
    /// <param name="rule">What becomes of it.</param>
    public SagaMessage<TState, TMessage> IfNotFound(SagaNotFound rule)
    {
        _rule.NotFound = rule;
        return this;
    }

    /// <summary>Says what follows from a message whose instance does not exist or has ended. It can send, and nothing else.</summary>
    /// <param name="handle">What follows.</param>
    public SagaMessage<TState, TMessage> IfNotFound(Action<TMessage, SagaContext> handle)
    {
        ArgumentNullException.ThrowIfNull(handle);
        _rule.Missing = (message, saga) => handle((TMessage)message, saga);
        return this;
    }

    private SagaMessage<TState, TMessage> WithDetail(Func<TMessage, string>? detail)
    {
        if (detail is not null)
            _rule.Detail = message => detail((TMessage)message);
        return this;
    }
}

/// <summary>What becomes of a message that belongs to no instance, or to one that has ended.</summary>
public enum SagaNotFound
{
    /// <summary>Nothing; it is acknowledged. Right for streams that others use, too.</summary>
    Ignore,

    /// <summary>It goes to the dead letters at once.</summary>
    DeadLetter,

    /// <summary>
    /// It fails with <see cref="SagaNotFoundException"/> and is tried again as the group's options say, in case the message that starts the saga is
    /// late.
    /// </summary>
    Retry,
}

/// <summary>A rule as the machine reads it.</summary>
/// <param name="messageType">The message.</param>
/// <param name="register">Adds its consumer.</param>
internal sealed class SagaRule<TState>(
    Type messageType, Action<MillraceBuilder, string, string, SagaRule<TState>, Action<ConsumerOptions>?> register)
    where TState : notnull
{
    public Type MessageType => messageType;

    public Func<object, string?>? Correlate { get; set; }

    public Func<object, SagaContext, TState>? Start { get; set; }

    public Func<TState, object, SagaContext, TState>? Handle { get; set; }

    public Action<object, SagaContext>? Missing { get; set; }

    public SagaNotFound NotFound { get; set; }

    public string? Completes { get; set; }

    public string? Confirms { get; set; }

    public string? Refuses { get; set; }

    public Func<object, string>? Reason { get; set; }

    public Func<object, string>? Detail { get; set; }

    public void AddTo(MillraceBuilder builder, string stream, string group, Action<ConsumerOptions>? configure) =>
        register(builder, stream, group, this, configure);

    public IEnumerable<string> Check(IReadOnlyDictionary<string, SagaStep<TState>> steps)
    {
        if (Correlate is null)
            yield return $"{messageType.Name} has no CorrelateBy";
        if (Start is null && Handle is null && Completes is null && Confirms is null && Refuses is null)
            yield return $"nothing follows from {messageType.Name}: it has no Start, Handle, Completes, Confirms or Refuses";
        foreach (var step in new[] { Completes, Confirms, Refuses })
            if (step is not null && !steps.ContainsKey(step))
                yield return $"{messageType.Name} names the step '{step}', which is none";
        foreach (var step in new[] { Confirms, Refuses })
            if (step is not null && steps.TryGetValue(step, out var found) && !found.IsAwaited)
                yield return $"{messageType.Name} answers the undoing of '{step}', which is not awaited";
    }
}
