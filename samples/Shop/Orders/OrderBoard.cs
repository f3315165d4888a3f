using Millrace;
using Millrace.Streams;
using Shop.Inventory;
using Shop.Notifications;
using Shop.Payments;

namespace Shop.Orders;

/// <summary>How many orders stand where.</summary>
/// <param name="Processing">Still on their way.</param>
/// <param name="Completed">Ended well.</param>
/// <param name="Cancelled">Ended and compensated.</param>
/// <param name="DeadLettered">Given up by a service.</param>
/// <param name="AwaitingPayment">Ended or not, the payment service has not answered.</param>
/// <param name="AwaitingStock">Ended or not, the inventory service has not answered.</param>
public readonly record struct OrderCounts(
    int Processing, int Completed, int Cancelled, int DeadLettered, int AwaitingPayment, int AwaitingStock);

/// <summary>
/// The read model: every order, folded in memory from the streams, without a group, from the first entry at each start. Each stream has
/// its own reader, so events of one order may arrive in any order; no fold depends on one. It is no projection, because a projection follows
/// one source, and this follows seven; and because a live page wants each step from memory, and nothing that must be kept.
/// </summary>
public sealed class OrderBoard(MessageReader reader, ILogger<OrderBoard> logger) : BackgroundService
{
    /// <summary>Views kept. The oldest settled ones go first; their histories still answer GET /orders/{id}.</summary>
    private const int MaxViews = 100_000;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, OrderView> _views = [];

    // Placed orders by position, oldest first: what GET /orders lists from its end. Two lanes have IDs in common now and then.
    private readonly List<OrderView> _placed = [];

    // All views by their last change, oldest first: what a live page reads from its end.
    private readonly LinkedList<string> _byChange = new();
    private readonly Dictionary<string, LinkedListNode<string>> _changeNodes = [];
    private readonly int[] _counts = new int[Enum.GetValues<OrderStatus>().Length];
    private int _awaitingPayment;
    private int _awaitingStock;
    private long _lastChange;
    private TaskCompletionSource _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Raised after each change, by several readers at once.</summary>
    public event Action<OrderView>? Changed;

    /// <summary>How many orders stand where.</summary>
    public OrderCounts Counts
    {
        get
        {
            lock (_lock)
                return new(_counts[0], _counts[1], _counts[2], _counts[3], _awaitingPayment, _awaitingStock);
        }
    }

    /// <summary>The number of the last change.</summary>
    public long LastChange => Interlocked.Read(ref _lastChange);

    /// <summary>An order, or <see langword="null"/> when no event of it was folded.</summary>
    public OrderView? Find(string id)
    {
        lock (_lock)
            return _views.GetValueOrDefault(id);
    }

    /// <summary>Orders newest first, from before a position on.</summary>
    public OrderPage Newest(int count, EntryId before)
    {
        lock (_lock)
        {
            var end = _placed.FindLastIndex(view => view.Position < before) + 1;
            var start = Math.Max(0, end - count);
            while (start > 0 && _placed[start - 1].Position == _placed[start].Position)
                start--; // Where the next page begins is said by position, so those that share one are on one page.
            OrderView[] page = [.. _placed[start..end].Select(view => _views.GetValueOrDefault(view.Id, view)).Reverse()];
            return new(page, start > 0 ? _placed[start].Position.ToString() : null);
        }
    }

    /// <summary>Orders that changed after a change, at most so many, the latest change first.</summary>
    public IReadOnlyList<OrderView> ChangedSince(long change, int count)
    {
        var views = new List<OrderView>();
        lock (_lock)
        {
            for (var node = _byChange.Last; node is not null && views.Count < count; node = node.Previous)
            {
                var view = _views[node.Value];
                if (view.Change <= change)
                    break;
                views.Add(view);
            }
        }

        return views;
    }

    /// <summary>Waits until there is a change after the given one.</summary>
    public Task WaitForChangeAsync(long change, CancellationToken cancellationToken)
    {
        lock (_lock)
            return _lastChange > change ? Task.CompletedTask : _changed.Task.WaitAsync(cancellationToken);
    }

    /// <summary>Waits until an order is on the board.</summary>
    public async Task WaitForPlacedAsync(string id, CancellationToken cancellationToken)
    {
        while (true)
        {
            var change = LastChange;
            if (Find(id) is { Placed: not null })
                return;
            await WaitForChangeAsync(change, cancellationToken);
        }
    }

    /// <inheritdoc/>
    protected override Task ExecuteAsync(CancellationToken stoppingToken) => Task.WhenAll(
        FoldAsync(OrderNames.Stream, stoppingToken),
        FoldAsync(OrderNames.Express, stoppingToken),
        FoldAsync(PaymentNames.Stream, stoppingToken),
        FoldAsync(InventoryNames.Stream, stoppingToken),
        FoldAsync(NotificationNames.Stream, stoppingToken),
        FoldAsync(OrderNames.DeadForPayments, stoppingToken),
        FoldAsync(OrderNames.DeadForInventory, stoppingToken));

    private async Task FoldAsync(string stream, CancellationToken cancellationToken)
    {
        var from = ReadFrom.Start;
        while (!cancellationToken.IsCancellationRequested)
        {
            try
            {
                await foreach (var message in reader.ReadAsync<object>(stream, from, follow: true, cancellationToken))
                {
                    from = ReadFrom.After(message.EntryId);
                    Fold(stream, message);
                }
            }
            catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
            {
                return;
            }
            catch (StreamException broken) when (broken.IsTransient)
            {
                logger.LogWarning("The read model lost '{Stream}' and reads on in a moment: {Error}", stream, broken.Message);
                await Task.Delay(TimeSpan.FromSeconds(1), cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private void Fold(string stream, ReceivedMessage<object> message)
    {
        var orderId = OrderViewFold.OrderId(message.Body);
        if (orderId is null)
            return;

        OrderView after;
        lock (_lock)
        {
            var before = _views.GetValueOrDefault(orderId);
            after = OrderViewFold.Apply(before ?? new OrderView { Id = orderId }, stream, message.Body, message.EntryId, message.Headers)
                with { Change = ++_lastChange };
            CountNeedsLock(before, -1);
            CountNeedsLock(after, +1);
            _views[orderId] = after;
            if (before?.Placed is null && after.Placed is not null)
                _placed.Insert(_placed.FindLastIndex(view => view.Position <= after.Position) + 1, after);
            MarkChangedNeedsLock(orderId);
            EvictNeedsLock();
        }

        Changed?.Invoke(after);
    }

    private void CountNeedsLock(OrderView? view, int change)
    {
        if (view?.Placed is null)
            return;
        _counts[(int)view.Status] += change;
        _awaitingPayment += view.Payment == PaymentStage.Awaited ? change : 0;
        _awaitingStock += view.Stock == StockStage.Awaited ? change : 0;
    }

    private void MarkChangedNeedsLock(string orderId)
    {
        if (_changeNodes.TryGetValue(orderId, out var node))
        {
            _byChange.Remove(node);
            _byChange.AddLast(node);
        }
        else
        {
            _changeNodes[orderId] = _byChange.AddLast(orderId);
        }

        var changed = _changed;
        _changed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        changed.SetResult();
    }

    /// <summary>Drops a tenth at once, so that the list is not moved for each order.</summary>
    private void EvictNeedsLock()
    {
        if (_placed.Count <= MaxViews)
            return;

        var old = _placed[..(MaxViews / 10)].Where(view => _views[view.Id].IsSettled).Select(view => view.Id).ToHashSet();
        _placed.RemoveAll(view => old.Contains(view.Id));
        foreach (var id in old)
        {
            _views.Remove(id);
            _changeNodes.Remove(id, out var node);
            _byChange.Remove(node!);
        }
    }
}
