using System.Collections.Concurrent;
using System.Diagnostics;
using Millrace;
using Millrace.EntityFrameworkCore;

namespace Shop.Orders;

/// <summary>
/// Accepts orders in the service's own database: the order and the command that begins its history are one transaction, so that the shop takes orders while
/// the store is away or full, and what it took is published once, afterwards. What a store then loses that it had acknowledged, <see cref="OrderRecovery"/>
/// publishes again. The history itself does not begin here: its first event and the message that tells of it stay one commit of the store, which the command's
/// handler makes.
/// </summary>
public sealed class OrderAcceptance(IServiceScopeFactory scopes)
{
    // Bounds a transaction; a client waits for one or two of them.
    private const int MaxOrders = 100;

    private readonly ConcurrentQueue<Waiting> _waiting = new();
    private readonly SemaphoreSlim _turn = new(1, 1);

    /// <summary>Returns when the order is synced to the device. Orders that come while one transaction is synced share the next one.</summary>
    public async Task AcceptAsync(AcceptedOrder order)
    {
        var accepted = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        _waiting.Enqueue(new(order, Activity.Current, accepted));
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

    /// <summary>Puts the command that begins an order into the outbox, always under the same message ID.</summary>
    public static void Place(OrdersDb db, AcceptedOrder order) => db.Publish(
        OrderNames.Placing,
        new PlaceOrder(order.Placed),
        new PublishOptions { MessageId = $"place:{order.OrderId}", Subject = order.OrderId, CorrelationId = order.CorrelationId });

    private async Task AcceptWaitingAsync()
    {
        var batch = new List<Waiting>();
        while (batch.Count < MaxOrders && _waiting.TryDequeue(out var one))
            batch.Add(one);
        try
        {
            await using var scope = scopes.CreateAsyncScope();
            var db = scope.ServiceProvider.GetRequiredService<OrdersDb>();
            foreach (var (order, request, _) in batch)
            {
                Activity.Current = request; // Each order goes on with its own trace, whoever's turn this is.
                db.Accepted.Add(order);
                Place(db, order);
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

    /// <param name="Order">The order.</param>
    /// <param name="Request">The trace of the request it came with, if it is traced.</param>
    /// <param name="Accepted">Done when the order is accepted.</param>
    private sealed record Waiting(AcceptedOrder Order, Activity? Request, TaskCompletionSource Accepted);
}
