using Shop.Orders;

namespace Shop.Driver;

/// <summary>Follows the orders of a run through the read model: how long each takes, and when all are settled.</summary>
internal sealed class OrderTracker : IDisposable
{
    private readonly OrderBoard _board;
    private readonly TimeProvider _time;
    private readonly Lock _lock = new();
    private readonly Dictionary<string, Tracked> _orders = [];
    private readonly TaskCompletionSource _allSettled = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly SemaphoreSlim _window;
    private int _unsettled;
    private bool _isComplete;

    /// <param name="board">The read model.</param>
    /// <param name="window">Orders that may be on their way at once.</param>
    /// <param name="time">The clock.</param>
    public OrderTracker(OrderBoard board, int window, TimeProvider time)
    {
        (_board, _time, _window) = (board, time, new(window));
        board.Changed += OnChanged;
    }

    /// <summary>Raised when an order of the run is settled.</summary>
    public event Action? Settled;

    /// <summary>Done when every order is settled, after <see cref="CompleteAdding"/>.</summary>
    public Task AllSettled => _allSettled.Task;

    /// <summary>The orders of the run.</summary>
    public IReadOnlySet<string> Orders
    {
        get
        {
            lock (_lock)
                return _orders.Keys.ToHashSet();
        }
    }

    /// <summary>The events of the run that groups handle.</summary>
    public long HandledEvents
    {
        get
        {
            lock (_lock)
                return _orders.Values.Sum(order => order.HandledEvents);
        }
    }

    /// <summary>From POST to end, shortest first.</summary>
    public IReadOnlyList<TimeSpan> Latencies
    {
        get
        {
            lock (_lock)
            {
                var ended = _orders.Values.Where(order => order.Ended > 0);
                return [.. ended.Select(order => _time.GetElapsedTime(order.Posted, order.Ended)).Order()];
            }
        }
    }

    /// <summary>Waits until another order may set out.</summary>
    public Task WaitForRoomAsync(CancellationToken cancellationToken) => _window.WaitAsync(cancellationToken);

    /// <summary>Says that an order did not set out after all.</summary>
    public void GiveRoomBack() => _window.Release();

    /// <summary>Takes an order that was answered into the run; it may have ended already.</summary>
    public void Add(string orderId, long posted)
    {
        lock (_lock)
        {
            _orders.Add(orderId, new() { Posted = posted });
            _unsettled++;
        }

        if (_board.Find(orderId) is { } view)
            OnChanged(view);
    }

    /// <summary>Says that no more orders come.</summary>
    public void CompleteAdding()
    {
        lock (_lock)
        {
            _isComplete = true;
            if (_unsettled == 0)
                _allSettled.TrySetResult();
        }
    }

    public void Dispose()
    {
        _board.Changed -= OnChanged;
        _window.Dispose();
    }

    private static int HandlersOf(string eventType) => eventType switch
    {
        // The command that led to it, and itself in three groups.
        "order.created" => 4,
        // The command that led to it, the event itself, and the mail.
        "order.completed" or "order.cancelled" or "order.deadlettered" => 3,
        "payment.completed" => 2,
        "payment.failed" or "stock.reserved" or "stock.rejected" => 1,
        // The command that led to it, and itself in two groups.
        "payment.refunded" => 3,
        // The command that led to it.
        "stock.released" => 1,
        "order.created given up" => 1,
        _ => 0,
    };

    private void OnChanged(OrderView view)
    {
        lock (_lock)
        {
            if (!_orders.TryGetValue(view.Id, out var order))
                return;
            if (order.Ended == 0 && view.Status != OrderStatus.Processing)
                order.Ended = _time.GetTimestamp();
            if (order.IsSettled || !view.IsSettled)
                return;

            order.IsSettled = true;
            order.HandledEvents = view.Events.Sum(one => HandlersOf(one.Type));
            _window.Release();
            if (--_unsettled == 0 && _isComplete)
                _allSettled.TrySetResult();
        }

        Settled?.Invoke();
    }

    private sealed class Tracked
    {
        // Timestamps of the time provider.
        public required long Posted { get; init; }

        public long Ended { get; set; }

        public bool IsSettled { get; set; }

        public long HandledEvents { get; set; }
    }
}
