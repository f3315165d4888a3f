using Millrace.Sagas;

namespace Millrace.Tests.Sagas;

[Message("shop.order-placed")]
public sealed record OrderPlaced(string OrderId, int Amount);

[Message("shop.reserve-stock")]
public sealed record ReserveStock(string OrderId);

[Message("shop.stock-reserved")]
public sealed record StockReserved(string OrderId);

[Message("shop.stock-refused")]
public sealed record StockRefused(string OrderId, string Reason);

[Message("shop.release-stock")]
public sealed record ReleaseStock(string OrderId);

[Message("shop.stock-released")]
public sealed record StockReleased(string OrderId);

[Message("shop.charge-card")]
public sealed record ChargeCard(string OrderId, int Amount);

[Message("shop.card-charged")]
public sealed record CardCharged(string OrderId);

[Message("shop.card-declined")]
public sealed record CardDeclined(string OrderId, string Reason);

[Message("shop.refund-card")]
public sealed record RefundCard(string OrderId, int Amount);

[Message("shop.card-refunded")]
public sealed record CardRefunded(string OrderId);

[Message("shop.refund-refused")]
public sealed record RefundRefused(string OrderId, string Reason);

[Message("shop.ship-order")]
public sealed record ShipOrder(string OrderId);

[Message("shop.order-shipped")]
public sealed record OrderShipped(string OrderId);

[Message("shop.shipping-failed")]
public sealed record ShippingFailed(string OrderId, string Reason);

[Message("shop.order-touched")]
public sealed record OrderTouched(string OrderId, string Timeout, int DelayMs);

[Message("shop.order-completed")]
public sealed record OrderCompleted(string OrderId);

[Message("shop.order-cancelled")]
public sealed record OrderCancelled(string OrderId);

public sealed record CheckoutState(string OrderId, int Amount, string Phase)
{
    public int Touched { get; init; }
}

/// <summary>Reserves, charges, ships; gives stock back and refunds when anything fails or takes too long.</summary>
public sealed class CheckoutSaga : Saga<CheckoutState>
{
    public CheckoutSaga()
        : this("shop")
    {
    }

    public CheckoutSaga(string shop, TimeSpan? limit = null, TimeSpan? within = null, TimeSpan? retryDelay = null)
        : base("checkout")
    {
        var answers = $"{shop}:out";
        DescribedBy(state => state.Phase);
        Step("stock").UndoBy($"{shop}:inventory", state => new ReleaseStock(state.OrderId));
        Step("payment").UndoBy($"{shop}:payments", state => new RefundCard(state.OrderId, state.Amount)).Awaited(3, within, retryDelay);

        On<OrderPlaced>().CorrelateBy(m => m.OrderId).Start((order, saga) =>
        {
            saga.Send($"{shop}:inventory", new ReserveStock(order.OrderId));
            saga.Timeout("limit", limit ?? TimeSpan.FromMinutes(15));
            return new(order.OrderId, order.Amount, "reserving");
        });
        On<StockReserved>().CorrelateBy(m => m.OrderId).Completes("stock").Handle((state, _, saga) =>
        {
            saga.Send($"{shop}:payments", new ChargeCard(state.OrderId, state.Amount));
            return state with { Phase = "charging" };
        });
        On<CardCharged>().CorrelateBy(m => m.OrderId).Completes("payment").Handle((state, _, saga) =>
        {
            saga.Send($"{shop}:shipping", new ShipOrder(state.OrderId));
            return state with { Phase = "shipping" };
        });
        On<OrderShipped>().CorrelateBy(m => m.OrderId).IfNotFound(SagaNotFound.DeadLetter).Handle((state, _, saga) =>
        {
            saga.Send(answers, new OrderCompleted(state.OrderId));
            saga.Complete();
        });

        On<StockRefused>().CorrelateBy(m => m.OrderId).Handle((_, m, saga) => saga.Compensate(m.Reason));
        On<CardDeclined>().CorrelateBy(m => m.OrderId).IfNotFound(SagaNotFound.Retry).Handle((_, m, saga) => saga.Compensate(m.Reason));
        On<ShippingFailed>().CorrelateBy(m => m.OrderId)
            .IfNotFound((m, saga) => saga.Send(answers, new OrderCancelled(m.OrderId)))
            .Handle((_, m, saga) => saga.Compensate(m.Reason));
        OnTimeout("limit", (_, saga) => saga.Compensate("it took too long"));
        OnCompensated((state, saga) => saga.Send(answers, new OrderCancelled(state.OrderId)));

        On<CardRefunded>().CorrelateBy(m => m.OrderId).Confirms("payment");
        On<RefundRefused>().CorrelateBy(m => m.OrderId).Refuses("payment", m => m.Reason);

        // What tests of time-outs and of conflicts need.
        On<OrderTouched>().CorrelateBy(m => m.OrderId).Handle((state, m, saga) =>
        {
            if (m.DelayMs < 0)
                saga.CancelTimeout(m.Timeout);
            else if (m.Timeout.Length > 0)
                saga.Timeout(m.Timeout, TimeSpan.FromMilliseconds(m.DelayMs));
            return state with { Touched = state.Touched + 1 };
        });
        OnTimeout("ping", (state, saga) => saga.Note("pinged"));
    }
}
