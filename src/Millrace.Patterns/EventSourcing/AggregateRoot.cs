namespace Millrace.EventSourcing;

/// <summary>
/// An aggregate as an object: its methods check what they are asked for and <see cref="Raise"/> events; <see cref="Apply"/> is the only place that
/// changes it. The other form is <see cref="Decider{TState, TCommand}"/>.
/// </summary>
public abstract class AggregateRoot
{
    private readonly List<object> _raised = [];
    private bool _isSpent;

    /// <summary>The ID it was loaded by.</summary>
    public string Id { get; internal set; } = "";

    /// <summary>The version of its last event in the store; 0 when it has none.</summary>
    public long Version { get; internal set; }

    /// <summary>Events raised and not yet saved.</summary>
    public IReadOnlyList<object> Raised => _raised;

    /// <summary>The snapshot that the load found, so that a later one replaces that and no other.</summary>
    internal (long? Document, long Version, DateTimeOffset? UnkeptSince) Snapshot { get; set; }

    internal void Replay(object one) => Apply(one);

    /// <exception cref="InvalidOperationException">A save found it out of date.</exception>
    internal void CheckNotSpent()
    {
        if (_isSpent)
            throw new InvalidOperationException($"The aggregate '{Id}' was out of date when it was saved; load it anew.");
    }

    internal void Saved(AppendResult result)
    {
        _isSpent = result.Outcome != AppendOutcome.Appended;
        if (_isSpent)
            return;
        _raised.Clear();
        Version = result.Version;
    }

    /// <summary>Makes an event happen: applies it and keeps it to be saved.</summary>
    /// <param name="one">The event; its class has a message name.</param>
    /// <exception cref="InvalidOperationException">A save found the aggregate out of date.</exception>
    protected void Raise(object one)
    {
        ArgumentNullException.ThrowIfNull(one);
        CheckNotSpent();
        Apply(one);
        _raised.Add(one);
    }

    /// <summary>Changes the aggregate as the event says. Never refuses: the event has happened. Events it has no use for pass.</summary>
    /// <param name="one">The event.</param>
    protected abstract void Apply(object one);
}
