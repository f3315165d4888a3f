using Millrace.EventSourcing;

namespace Millrace.Projections;

/// <summary>What a fold is told besides the event.</summary>
/// <param name="Key">The key of the view.</param>
/// <param name="Recorded">The event as it was recorded: its stream, version, headers.</param>
public readonly record struct FoldContext(string Key, RecordedEvent Recorded);

/// <summary>
/// Which events change which views, and how. Folds are pure: they may run again. A fold is given <see langword="null"/> where there is no view yet, and
/// returns <see langword="null"/> to delete it. Events of other classes change nothing.
/// </summary>
/// <typeparam name="TView">The view: a document for each key, which JSON must bring back.</typeparam>
public sealed class ViewFolds<TView>
    where TView : class
{
    private readonly Dictionary<Type, Route> _routes = [];

    /// <summary>Whether every view is made of one stream, whose name is its key.</summary>
    internal bool IsByStream { get; private set; } = true;

    internal bool IsEmpty => _routes.Count == 0;

    /// <summary>Folds an event into the view of its stream: the stream's name is the key.</summary>
    /// <typeparam name="TEvent">The event's class, in its newest version.</typeparam>
    /// <param name="fold">The view after the event.</param>
    /// <exception cref="ArgumentException">The class has a fold already.</exception>
    public ViewFolds<TView> On<TEvent>(Func<TView?, TEvent, FoldContext, TView?> fold)
        where TEvent : notnull => Add(static (_, recorded) => [recorded.Stream], fold);

    /// <summary>Folds an event into the views of any number of keys.</summary>
    /// <typeparam name="TEvent">The event's class, in its newest version.</typeparam>
    /// <param name="keys">
    /// The keys, of at most 512 bytes each and at most 990 for an event; none: the event changes nothing. A key that is named twice counts once.
    /// </param>
    /// <param name="fold">The view of a key after the event.</param>
    /// <exception cref="ArgumentException">The class has a fold already.</exception>
    public ViewFolds<TView> On<TEvent>(Func<TEvent, RecordedEvent, IEnumerable<string>> keys, Func<TView?, TEvent, FoldContext, TView?> fold)
        where TEvent : notnull
    {
        ArgumentNullException.ThrowIfNull(keys);
        IsByStream = false;
        return Add(keys, fold);
    }

    /// <summary>The keys an event is for; none when it has no fold.</summary>
    internal IEnumerable<string> KeysOf(RecordedEvent recorded) =>
        _routes.TryGetValue(recorded.Event.GetType(), out var route) ? route.Keys(recorded) : [];

    internal TView? Fold(TView? view, FoldContext context) => _routes[context.Recorded.Event.GetType()].Fold(view, context);

    private ViewFolds<TView> Add<TEvent>(Func<TEvent, RecordedEvent, IEnumerable<string>> keys, Func<TView?, TEvent, FoldContext, TView?> fold)
        where TEvent : notnull
    {
        ArgumentNullException.ThrowIfNull(fold);
        _routes.Add(typeof(TEvent), new(
            recorded => keys((TEvent)recorded.Event, recorded),
            (view, context) => fold(view, (TEvent)context.Recorded.Event, context)));
        return this;
    }

    private sealed record Route(Func<RecordedEvent, IEnumerable<string>> Keys, Func<TView?, FoldContext, TView?> Fold);
}
