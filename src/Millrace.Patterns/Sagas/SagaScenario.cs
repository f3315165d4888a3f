namespace Millrace.Sagas;

/// <summary>
/// A unit test of a saga without a host or a store, for any test framework: <c>SagaScenario.Of(saga).Given(…).When(message).ThenSent(…)</c>. Messages
/// are compared as <see cref="object.Equals(object)"/> does, so messages that are records compare by value, but for collections in them.
/// </summary>
public static class SagaScenario
{
    /// <summary>Begins a scenario, in which no instance has started.</summary>
    /// <typeparam name="TState">The saga's state.</typeparam>
    /// <param name="saga">What is tested.</param>
    /// <param name="configure">Changes the settings. Default: as <see cref="SagaOptions"/> says.</param>
    /// <exception cref="MillraceConfigurationException">What the saga says is wrong.</exception>
    public static SagaScenario<TState> Of<TState>(Saga<TState> saga, Action<SagaOptions>? configure = null)
        where TState : notnull
    {
        ArgumentNullException.ThrowIfNull(saga);
        var options = new SagaOptions();
        configure?.Invoke(options);
        return saga.Check() is { Count: > 0 } errors ? throw new MillraceConfigurationException(errors) : new(saga, options);
    }
}

/// <summary>See <see cref="SagaScenario"/>.</summary>
/// <typeparam name="TState">The saga's state.</typeparam>
public sealed class SagaScenario<TState>
    where TState : notnull
{
    // Time-outs set each other; a scenario that goes round in circles is to fail.
    private const int MaxTimeouts = 10_000;

    private readonly Saga<TState> _saga;
    private readonly SagaOptions _options;
    private readonly Dictionary<string, SagaTurn<TState>> _instances = new(StringComparer.Ordinal);
    private List<SagaOutput> _outputs = [];
    private Exception? _failure;
    private string _id = "";
    private int _messages;

    internal SagaScenario(Saga<TState> saga, SagaOptions options) => (_saga, _options) = (saga, options);

    /// <summary>The time in the scenario; begins with 2000-01-01 and goes on with <see cref="WhenTimePasses"/>.</summary>
    public DateTimeOffset Now { get; private set; } = new(2000, 1, 1, 0, 0, 0, TimeSpan.Zero);

    /// <summary>What happened before.</summary>
    /// <param name="messages">Messages, in order; of one instance or of several.</param>
    public SagaScenario<TState> Given(params IReadOnlyList<object> messages)
    {
        foreach (var message in messages)
        {
            When(message);
            ThrowIfFailed($"Given {message}");
        }

        _outputs = [];
        return this;
    }

    /// <summary>What comes now. The checks that follow are about its instance, and about what it made.</summary>
    /// <param name="message">The message.</param>
    /// <param name="messageId">Its ID, to let one come twice. Default: a new one.</param>
    /// <exception cref="ArgumentException">The saga has no rule for it.</exception>
    public SagaScenario<TState> When(object message, string? messageId = null)
    {
        ArgumentNullException.ThrowIfNull(message);
        var rule = _saga.Rules.FirstOrDefault(rule => rule.MessageType == message.GetType())
            ?? throw new ArgumentException($"The saga has no rule for {message.GetType().Name}.", nameof(message));
        _id = rule.Correlate!(message) ?? "";
        _outputs = [];
        Run(Saga.NameOf(rule.MessageType), messageId, turn => SagaMachine.Handle(_saga, rule, message, turn));
        return this;
    }

    /// <summary>Time passes, and the time-outs of the instance that are due fire, in their order.</summary>
    /// <param name="time">How much.</param>
    public SagaScenario<TState> WhenTimePasses(TimeSpan time)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(time, TimeSpan.Zero);
        _outputs = [];
        _failure = null;
        var until = Now + time;
        for (var fired = 0; NextTimeout() is { } next && next.Due <= until; fired++)
        {
            if (fired == MaxTimeouts)
                throw new SagaScenarioException($"More than {MaxTimeouts} time-outs fired in {time}.");
            Now = next.Due > Now ? next.Due : Now;
            Run($"time-out {next.Name}", null, turn => SagaMachine.HandleTimeout(_saga, new(_id, next.Name, next.Token), turn));
            ThrowIfFailed($"When the time-out '{next.Name}' fired");
        }

        Now = until;
        return this;
    }

    /// <summary>Says that these messages were sent and no others, in this order.</summary>
    /// <param name="messages">The messages; none: nothing was sent.</param>
    /// <exception cref="SagaScenarioException">It is otherwise, or the handler failed.</exception>
    public SagaScenario<TState> ThenSent(params IReadOnlyList<object> messages)
    {
        ThrowIfFailed($"Expected {Show(messages)}");
        var sent = _outputs.Where(output => output.Stream is not null).Select(output => output.Message).ToList();
        return sent.SequenceEqual(messages) ? this : throw new SagaScenarioException($"Expected {Show(messages)}, but what was sent is {Show(sent)}.");
    }

    /// <summary>Says that the instance has this status.</summary>
    /// <param name="status">The status; <see langword="null"/>: there is no instance.</param>
    /// <exception cref="SagaScenarioException">It has another, or the handler failed.</exception>
    public SagaScenario<TState> ThenStatus(SagaStatus? status)
    {
        ThrowIfFailed($"Expected {status}");
        var now = Find()?.Document.Status;
        return now == status ? this : throw new SagaScenarioException($"Expected {Show(status)}, but it is {Show(now)}: {Find()?.Document.Attention}");

        static string Show(SagaStatus? status) => status?.ToString() ?? "no instance";
    }

    /// <summary>Says that the state is so.</summary>
    /// <param name="check">Throws, or gives false, when it is not.</param>
    /// <exception cref="SagaScenarioException">The check gave false, there is no instance, or the handler failed.</exception>
    public SagaScenario<TState> ThenState(Func<TState, bool> check)
    {
        ArgumentNullException.ThrowIfNull(check);
        ThrowIfFailed("Expected a state");
        var turn = Find() ?? throw new SagaScenarioException("Expected a state, but there is no instance.");
        return check(turn.State) ? this : throw new SagaScenarioException($"The state is not as expected: {turn.State}");
    }

    /// <summary>Says that these time-outs may fire and no others, in any order.</summary>
    /// <param name="names">Their names, without those of the saga's own undoing.</param>
    /// <exception cref="SagaScenarioException">It is otherwise, or the handler failed.</exception>
    public SagaScenario<TState> ThenTimeouts(params IReadOnlyList<string> names)
    {
        ThrowIfFailed("Expected time-outs");
        var set = (Find()?.Document.Timeouts ?? []).Select(timeout => timeout.Name).Where(name => name != SagaMachine.UndoTimeout).Order().ToList();
        return set.SequenceEqual(names.Order()) ? this : throw new SagaScenarioException($"Expected {Show(names)}, but what may fire is {Show(set)}.");
    }

    /// <summary>Says that the handler fails, or that its rule sends the message to the dead letters.</summary>
    /// <typeparam name="TException">By this exception, or one derived from it.</typeparam>
    /// <returns>The exception, to look at.</returns>
    /// <exception cref="SagaScenarioException">It does not fail, or by another exception.</exception>
    public TException ThenFails<TException>()
        where TException : Exception => _failure switch
        {
            TException failure => failure,
            null => throw new SagaScenarioException("Expected a failure, but the handler went through."),
            var other => throw new SagaScenarioException($"Expected {typeof(TException).Name}, but it is {other.GetType().Name}: {other.Message}", other),
        };

    private SagaTurn<TState>? Find() => _instances.GetValueOrDefault(_id);

    private SagaTimeoutRecord? NextTimeout() => Find()?.Document.Timeouts.MinBy(timeout => timeout.Due);

    private void Run(string message, string? messageId, Action<SagaTurn<TState>> handle)
    {
        var before = Find();
        var turn = new SagaTurn<TState>
        {
            Id = _id,
            MessageId = messageId ?? $"message-{++_messages}",
            Message = message,
            Attempt = 1,
            Now = Now,
            Options = _options,
            KnowsStep = _saga.Steps.ContainsKey,
            KnowsTimeout = name => _saga.TryFindTimeout(name, out _),
        };
        if (before is not null)
            (turn.Document, turn.State) = (before.Document.Copy(), before.State);
        _failure = null;
        try
        {
            handle(turn);
            _outputs.AddRange(turn.Outputs);
            if (turn.IsChanged)
                _instances[_id] = turn;
        }
        catch (Exception exception)
        {
            _failure = exception; // The checks say whether it should be. Nothing changed, as in a host.
        }
    }

    private void ThrowIfFailed(string expected)
    {
        if (_failure is { } failure)
            throw new SagaScenarioException($"{expected}, but the handler failed: {failure.Message}", failure);
    }

    private static string Show(IReadOnlyList<object> messages) => messages.Count == 0 ? "nothing" : string.Join(", ", messages);
}

/// <summary>A scenario of a saga went otherwise than it says.</summary>
/// <param name="message">How.</param>
/// <param name="innerException">What the handler threw, if it did.</param>
public sealed class SagaScenarioException(string message, Exception? innerException = null) : Exception(message, innerException);
