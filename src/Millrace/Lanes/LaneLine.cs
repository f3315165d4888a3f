using System.Diagnostics.CodeAnalysis;

namespace Millrace.Consuming;

/// <summary>
/// The deliveries of a lane that have not begun, in the order they came. Whoever is given a place takes the first of them, so it does not matter which thread
/// was first to ask for one: with one handler a lane keeps its order.
/// </summary>
internal sealed class LaneLine(LaneShare lane)
{
    private readonly Lock _lock = new();
    private readonly Queue<Delivery> _waiting = [];

    // Who asks for a place, or has one and no delivery yet: never more than there are deliveries, or the lane would pay for places that nobody takes.
    private int _asking;

    /// <summary>Whether there is one that still waits.</summary>
    public bool IsAny
    {
        get
        {
            lock (_lock)
                return TryPeekNeedsLock(out _);
        }
    }

    /// <summary>Adds deliveries at the end. For each of them somebody is to ask for a place.</summary>
    public void Add(IReadOnlyList<Delivery> deliveries)
    {
        lock (_lock)
        {
            foreach (var delivery in deliveries)
                _waiting.Enqueue(delivery);
        }
    }

    /// <summary>Waits for a place.</summary>
    /// <returns>Whether there is one, to be used or given back; otherwise it was told to stop, or others ask already for all that wait.</returns>
    public async ValueTask<bool> EnterAsync(CancellationToken stop)
    {
        lock (_lock)
        {
            if (!TryPeekNeedsLock(out _) || _asking >= _waiting.Count)
                return false;
            _asking++;
        }

        if (await lane.Budget.EnterAsync(lane.Index, stop).ConfigureAwait(false))
            return true;
        lock (_lock)
            _asking--;
        return false;
    }

    /// <summary>Uses a place for the first in line, if there is one, and it may begin.</summary>
    public Delivery? TryTake(Func<Delivery, bool> mayBegin)
    {
        lock (_lock)
        {
            if (!TryPeekNeedsLock(out var first) || !mayBegin(first))
                return null;
            _asking--;
            return _waiting.Dequeue();
        }
    }

    /// <summary>Takes the first out of the line, without a place.</summary>
    public Delivery? TakeOut()
    {
        lock (_lock)
            return TryPeekNeedsLock(out _) ? _waiting.Dequeue() : null;
    }

    /// <summary>Gives back a place that was not used: other lanes need it.</summary>
    public void GiveUp()
    {
        lock (_lock)
            _asking--;
        Leave();
    }

    /// <summary>Gives back a place that was used.</summary>
    public void Leave() => lane.Budget.Leave();

    /// <summary>Finds the first, without those that were lost or handed back.</summary>
    private bool TryPeekNeedsLock([NotNullWhen(true)] out Delivery? first)
    {
        while (_waiting.TryPeek(out first))
        {
            if (first.IsQueued)
                return true;
            _waiting.Dequeue();
        }

        return false;
    }
}
