namespace Millrace.EventSourcing;

/// <summary>See <see cref="Scenario"/>.</summary>
/// <typeparam name="TAggregate">What is tested.</typeparam>
public sealed class AggregateScenario<TAggregate>
    where TAggregate : AggregateRoot, new()
{
    // An aggregate changes as it is asked: each question goes to a new one, made of what happened.
    private readonly Scenario<IReadOnlyList<object>, Action<TAggregate>> _scenario;
    private readonly string _id;

    internal AggregateScenario(string id)
    {
        _id = id;
        _scenario = Scenario.Of(new Decider<IReadOnlyList<object>, Action<TAggregate>>(
            (history, ask) =>
            {
                var aggregate = Load(history);
                ask(aggregate);
                return [.. aggregate.Raised];
            },
            new(static () => [], static (history, one) => [.. history, one])));
    }

    /// <summary>What happened before.</summary>
    /// <param name="events">Events, in order.</param>
    public AggregateScenario<TAggregate> Given(params IReadOnlyList<object> events)
    {
        _scenario.Given(events);
        return this;
    }

    /// <summary>What is asked for now; after an earlier question, of an aggregate after its events.</summary>
    /// <param name="ask">Calls the aggregate.</param>
    public AggregateScenario<TAggregate> When(Action<TAggregate> ask)
    {
        ArgumentNullException.ThrowIfNull(ask);
        _scenario.When(ask);
        return this;
    }

    /// <summary>Says that these events are raised and no others.</summary>
    /// <param name="events">The events, in order; none: nothing changes.</param>
    /// <exception cref="ScenarioException">Others are raised, or the aggregate refused.</exception>
    public AggregateScenario<TAggregate> Then(params IReadOnlyList<object> events)
    {
        _scenario.Then(events);
        return this;
    }

    /// <summary>Says that the aggregate after these events is so.</summary>
    /// <param name="check">Throws, or gives false, when it is not as it should be.</param>
    /// <exception cref="ScenarioException">The check gave false, or the aggregate refused.</exception>
    public AggregateScenario<TAggregate> ThenState(Func<TAggregate, bool> check)
    {
        ArgumentNullException.ThrowIfNull(check);
        _scenario.ThenState(history => check(Load(history)));
        return this;
    }

    /// <summary>Says that the aggregate refuses.</summary>
    /// <typeparam name="TException">By this exception, or one derived from it.</typeparam>
    /// <returns>The exception, to look at.</returns>
    /// <exception cref="ScenarioException">Events are raised, or it refuses by another exception.</exception>
    public TException ThenRefused<TException>()
        where TException : Exception => _scenario.ThenRefused<TException>();

    private TAggregate Load(IReadOnlyList<object> history)
    {
        var aggregate = new TAggregate { Id = _id };
        foreach (var one in history)
            aggregate.Replay(one);
        return aggregate;
    }
}
