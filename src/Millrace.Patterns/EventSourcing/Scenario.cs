namespace Millrace.EventSourcing;

/// <summary>
/// A unit test of a decider without a store, for any test framework: <c>Scenario.Of(decider).Given(…).When(command).Then(…)</c>. Events are compared as
/// <see cref="object.Equals(object)"/> does, so events that are records compare by value, but for collections in them.
/// </summary>
public static class Scenario
{
    /// <summary>Begins a scenario.</summary>
    /// <typeparam name="TState">The state.</typeparam>
    /// <typeparam name="TCommand">What is asked for.</typeparam>
    /// <param name="decider">What is tested.</param>
    public static Scenario<TState, TCommand> Of<TState, TCommand>(Decider<TState, TCommand> decider)
        where TState : notnull => new(decider);

    /// <summary>Begins a scenario of an aggregate: <c>Scenario.For&lt;Account&gt;().Given(…).When(account => account.Spend(5)).Then(…)</c>.</summary>
    /// <typeparam name="TAggregate">What is tested.</typeparam>
    /// <param name="id">The ID it has, for those whose events or decisions name it. Default: <c>test</c>.</param>
    /// <exception cref="ArgumentException">The ID is empty: no aggregate has that.</exception>
    public static AggregateScenario<TAggregate> For<TAggregate>(string id = "test")
        where TAggregate : AggregateRoot, new()
    {
        ArgumentException.ThrowIfNullOrEmpty(id);
        return new(id);
    }
}

/// <summary>See <see cref="Scenario"/>.</summary>
/// <typeparam name="TState">The state.</typeparam>
/// <typeparam name="TCommand">What is asked for.</typeparam>
public sealed class Scenario<TState, TCommand>
    where TState : notnull
{
    private readonly Decider<TState, TCommand> _decider;
    private TState _state;
    private IReadOnlyList<object>? _events;
    private Exception? _refusal;

    internal Scenario(Decider<TState, TCommand> decider) => (_decider, _state) = (decider, decider.Fold.Initial());

    /// <summary>What happened before.</summary>
    /// <param name="events">Events, in order.</param>
    public Scenario<TState, TCommand> Given(params IReadOnlyList<object> events)
    {
        _state = events.Aggregate(_state, _decider.Fold.Evolve);
        return this;
    }

    /// <summary>What is asked for now; after an earlier command, in the state after its events.</summary>
    /// <param name="command">The command.</param>
    public Scenario<TState, TCommand> When(TCommand command)
    {
        Given(_events ?? []);
        (_events, _refusal) = (null, null);
        try
        {
            _events = _decider.Decide(_state, command);
        }
        catch (Exception exception)
        {
            _refusal = exception; // Then and ThenRefused say whether it should be.
        }

        return this;
    }

    /// <summary>Says that these events follow and no others.</summary>
    /// <param name="events">The events, in order; none: nothing changes.</param>
    /// <exception cref="ScenarioException">Others follow, or the command was refused.</exception>
    public Scenario<TState, TCommand> Then(params IReadOnlyList<object> events)
    {
        var followed = Followed($"Expected {Show(events)}");
        if (!followed.SequenceEqual(events))
            throw new ScenarioException($"Expected {Show(events)}, but what followed is {Show(followed)}.");
        return this;
    }

    /// <summary>Says that the state after these events is so.</summary>
    /// <param name="check">Throws, or gives false, when the state is not as it should be.</param>
    /// <exception cref="ScenarioException">The check gave false, or the command was refused.</exception>
    public Scenario<TState, TCommand> ThenState(Func<TState, bool> check)
    {
        ArgumentNullException.ThrowIfNull(check);
        var state = Followed("Expected a state").Aggregate(_state, _decider.Fold.Evolve);
        return check(state) ? this : throw new ScenarioException($"The state is not as expected: {state}");
    }

    /// <summary>Says that the command is refused.</summary>
    /// <typeparam name="TException">By this exception, or one derived from it.</typeparam>
    /// <returns>The exception, to look at.</returns>
    /// <exception cref="ScenarioException">Events follow, or another exception.</exception>
    public TException ThenRefused<TException>()
        where TException : Exception => _refusal switch
        {
            TException refusal => refusal,
            null => throw new ScenarioException($"Expected a refusal, but what followed is {Show(Followed(""))}."),
            var other => throw new ScenarioException($"Expected {typeof(TException).Name}, but the refusal is {other.GetType().Name}: {other.Message}", other),
        };

    private IReadOnlyList<object> Followed(string expected) => _refusal is null
        ? _events ?? throw new InvalidOperationException("Nothing was asked for yet: call When first.")
        : throw new ScenarioException($"{expected}, but the command was refused: {_refusal.Message}", _refusal);

    private static string Show(IReadOnlyList<object> events) => events.Count == 0 ? "nothing" : string.Join(", ", events);
}

/// <summary>A scenario went otherwise than it says.</summary>
/// <param name="message">How.</param>
/// <param name="innerException">The refusal, if there was one.</param>
public sealed class ScenarioException(string message, Exception? innerException = null) : Exception(message, innerException);
