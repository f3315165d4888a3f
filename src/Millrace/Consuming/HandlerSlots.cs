using System.Collections.Concurrent;
using System.Runtime.CompilerServices;
using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>Runs deliveries, as many at once as the group may, the rest in the order they came.</summary>
internal sealed class HandlerSlots(int concurrency, Func<Delivery, Task> handle)
{
    private readonly Lock _lock = new();
    private readonly ConcurrentQueue<Delivery> _waiting = [];
    private readonly TaskCompletionSource _ended = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _running;
    private bool _isComplete;

    /// <summary>Completes when nothing runs or waits any more, once no more is to come.</summary>
    public Task Ended => _ended.Task;

    /// <summary>Runs deliveries on the thread pool, each as soon as a slot is free.</summary>
    public void Start(IReadOnlyList<Delivery> deliveries)
    {
        int started;
        lock (_lock)
        {
            started = TakeSlotsNeedsLock(deliveries.Count);
            for (var i = started; i < deliveries.Count; i++)
                _waiting.Enqueue(deliveries[i]);
        }

        for (var i = 0; i < started; i++)
            ThreadPool.UnsafeQueueUserWorkItem(
                static start => _ = start.Slots.RunAsync(start.Delivery),
                (Slots: this, Delivery: deliveries[i]),
                preferLocal: false);
    }

    /// <summary>
    /// Runs a delivery on this thread if a slot is free, and lets whoever awaits this go on on another one: waking a thread takes longer
    /// than most handlers, and a reader can wait for it better than a message can. However long the handler keeps the thread, reading goes on.
    /// </summary>
    public HandOver StartHere(Delivery delivery) => new(this, TryTakeSlot(delivery) ? delivery : null);

    /// <summary>No more is to come.</summary>
    public void Complete()
    {
        lock (_lock)
        {
            _isComplete = true;
            if (_running == 0)
                _ended.TrySetResult();
        }
    }

    private bool TryTakeSlot(Delivery delivery)
    {
        lock (_lock)
        {
            if (TakeSlotsNeedsLock(1) == 1)
                return true;
            _waiting.Enqueue(delivery);
            return false;
        }
    }

    /// <summary>Takes slots for as many of these as there are; the others have to wait.</summary>
    private int TakeSlotsNeedsLock(int wanted)
    {
        var taken = Math.Min(wanted, concurrency - _running);

        // Entries are only read or claimed when there is room for them. Bounded all the same, so that a mistake shows.
        if (_waiting.Count + wanted - taken > StreamLimits.MaxBatch)
            throw new InvalidOperationException($"More than {StreamLimits.MaxBatch} deliveries wait for a handler.");
        _running += taken;
        return taken;
    }

    private async Task RunAsync(Delivery first)
    {
        for (var delivery = first; delivery is not null; delivery = NextOrFreeSlot())
            await handle(delivery).ConfigureAwait(false);
    }

    private Delivery? NextOrFreeSlot()
    {
        // Without the lock while there are any, or processors that handle side by side would meet here for every message.
        if (_waiting.TryDequeue(out var next))
            return next;
        lock (_lock)
        {
            if (_waiting.TryDequeue(out next))
                return next;
            if (--_running == 0 && _isComplete)
                _ended.TrySetResult();
            return null;
        }
    }

    /// <summary>Awaited by the reader, see <see cref="StartHere"/>.</summary>
    internal readonly struct HandOver(HandlerSlots slots, Delivery? delivery) : ICriticalNotifyCompletion
    {
        /// <summary>Nothing to run here: every slot is taken, and the delivery waits for one.</summary>
        public bool IsCompleted => delivery is null;

        public HandOver ConfigureAwait(bool continueOnCapturedContext) => this;

        public HandOver GetAwaiter() => this;

        public void GetResult()
        {
        }

        public void OnCompleted(Action continuation) => UnsafeOnCompleted(continuation);

        public void UnsafeOnCompleted(Action continuation)
        {
            ThreadPool.UnsafeQueueUserWorkItem(static reader => reader(), continuation, preferLocal: true);
            _ = slots.RunAsync(delivery!);
        }
    }
}
