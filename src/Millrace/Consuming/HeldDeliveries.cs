using System.Runtime.InteropServices;
using Millrace.Consuming.Ordered;
using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>Everything a group's worker holds, queued and running, and the room left for more.</summary>
/// <param name="places">Deliveries read that there is room for, besides those read ahead.</param>
/// <param name="ahead">How many may be read ahead.</param>
/// <param name="moved">Called when a delivery came or ended.</param>
internal sealed class HeldDeliveries(int places, ReadAhead ahead, Action moved)
{
    private readonly Lock _lock = new();
    private readonly Dictionary<(bool IsAgain, EntryId Id), Delivery> _held = [];
    private int _count; // Of all, to be read without the lock.
    private int _readCount;

    // The reader, when it waits for room.
    private TaskCompletionSource? _roomWaiter;

    /// <summary>Whether more than one is held. May be a moment old.</summary>
    public bool AreSeveral => Volatile.Read(ref _count) > 1;

    public void Add(Delivery delivery) => Add([delivery]);

    public void Add(ReadOnlySpan<Delivery> deliveries)
    {
        if (deliveries.IsEmpty)
            return;
        lock (_lock)
        {
            foreach (var delivery in deliveries)
            {
                // An entry claimed again while an old run of it still winds down takes its place; the fence of the old one fails.
                ref var held = ref CollectionsMarshal.GetValueRefOrAddDefault(_held, (delivery.IsAgain, delivery.Id), out _);
                _readCount += (delivery.IsRecovered ? 0 : 1) - (held is { IsRecovered: false } ? 1 : 0);
                held = delivery;
            }

            Volatile.Write(ref _count, _held.Count);
        }

        moved();
    }

    /// <summary>Ends a delivery, whatever became of it.</summary>
    public void Remove(Delivery delivery) => Remove([delivery]);

    /// <summary>Ends deliveries, whatever became of them.</summary>
    public void Remove(ReadOnlySpan<Delivery> deliveries)
    {
        if (deliveries.IsEmpty)
            return;
        TaskCompletionSource? waiter = null;
        lock (_lock)
        {
            foreach (var delivery in deliveries)
                RemoveNeedsLock(delivery);
            Volatile.Write(ref _count, _held.Count);
            if (_roomWaiter is not null && RoomNeedsLock() >= ahead.WantedRoom)
                (waiter, _roomWaiter) = (_roomWaiter, null);
        }

        foreach (var delivery in deliveries)
            delivery.End();
        moved();
        waiter?.TrySetResult();
    }

    /// <summary>Whether the entry is held and, as far as this process knows, still its own.</summary>
    public bool IsHeld(bool isAgain, EntryId id)
    {
        lock (_lock)
            return _held.TryGetValue((isAgain, id), out var delivery) && !delivery.IsLost;
    }

    /// <summary>
    /// Whether the entry is held, though its lease may be over, and nobody else is known to have it: its handler may run, and it must not run twice here.
    /// </summary>
    /// <param name="isAgain">Whether it is in the group's private stream.</param>
    /// <param name="id">The entry.</param>
    /// <param name="besides">In an ordered group: the tenure that asks, which knows what it holds itself.</param>
    public bool MayRun(bool isAgain, EntryId id, Tenure? besides = null)
    {
        lock (_lock)
            return _held.TryGetValue((isAgain, id), out var delivery) && !delivery.IsTaken && (besides is null || delivery.Tenure != besides);
    }

    public IReadOnlyList<Delivery> Snapshot()
    {
        lock (_lock)
            return [.. _held.Values];
    }

    /// <summary>Waits until there is room that is worth a read and returns how much there is. For one waiter at a time.</summary>
    public async ValueTask<int> WaitForRoomAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            Task wait;
            lock (_lock)
            {
                var room = RoomNeedsLock();
                if (room >= ahead.WantedRoom)
                    return room;
                _roomWaiter = new(TaskCreationOptions.RunContinuationsAsynchronously);
                wait = _roomWaiter.Task;
            }

            await wait.WaitAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    private int RoomNeedsLock() => places + ahead.Entries - _readCount;

    private void RemoveNeedsLock(Delivery delivery)
    {
        if (!_held.Remove((delivery.IsAgain, delivery.Id), out var held))
            return;
        if (!ReferenceEquals(held, delivery))
            _held.Add((delivery.IsAgain, delivery.Id), held); // Another one took its place.
        else if (!delivery.IsRecovered)
            _readCount--;
    }
}
