using System.Collections.Concurrent;
using Millrace;
using Millrace.EntityFrameworkCore;

namespace Shop.Orders;

/// <summary>
/// Accepts orders in the service's own database: the order and the command that begins its history are one transaction, so that the shop takes orders while
/// the store is away or full, and what it took is published once, afterwards. A store that then loses its last second, as the embedded one may in a power
/// cut, loses what was published in it: the row of the order remains, and nothing publishes it again. The history itself does not begin here: its first
/// event and the message that tells of it stay one commit of the store, which the command's handler makes.
/// </summary>
public sealed class OrderAcceptance(IServiceScopeFactory scopes)
{
    // Bounds a transaction; a client waits for one or two of them.
    private const int MaxOrders = 100;

    private readonly ConcurrentQueue<(AcceptedOrder Order, TaskCompletionSource Accepted)> _waiting = new();
    private readonly SemaphoreSlim _turn = new(1, 1);

    /// <summary>Returns when the order is synced to the device. Orders that come while one transaction is synced share the next one.</summary>
    public async Task AcceptAsync(AcceptedOrder order)
    {
        var accepted = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _waiting.Enqueue((order, accepted));
        await _turn.WaitAsync();
        try
        {
            while (!accepted.Task.IsCompleted)
                await AcceptWaitingAsync();
        }
        finally
        {
            _turn.Release();
        }

        await accepted.Task;
    }

    private async Task AcceptWaitingAsync()
    {
        var batch = new List<(AcceptedOrder Order, TaskCompletionSource Accepted)>();
        while (batch.Count < MaxOrders && _waiting.TryDequeue(out var one))
            batch.Add(one);
        try
        {
            await using var scope = scopes.CreateAsyncScope();
            var db = scope.ServiceProvider.GetRequiredService<OrdersDb>();
            foreach (var (order, _) in batch)
            {
                db.Accepted.Add(order);
                db.Publish(
                    OrderNames.Placing,
                    new PlaceOrder(order.Placed),
                    new PublishOptions { Subject = order.OrderId, CorrelationId = order.CorrelationId });
            }

            await db.SaveChangesAsync();
            batch.ForEach(one => one.Accepted.SetResult());
        }
        catch (Exception failure)
        {
            // Each client is told, by its own call.
            batch.ForEach(one => one.Accepted.SetException(failure));
        }
    }
}
