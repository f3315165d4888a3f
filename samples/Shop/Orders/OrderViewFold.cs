using Millrace;
using Millrace.Streams;
using Shop.Inventory;
using Shop.Notifications;
using Shop.Payments;

namespace Shop.Orders;

/// <summary>What each event does to the view of its order. Pure, and free of any order between the streams.</summary>
internal static class OrderViewFold
{
    /// <summary>The order an event is about, or <see langword="null"/> for other events.</summary>
    public static string? OrderId(object message) => message switch
    {
        OrderCreated created => created.OrderId,
        OrderCompleted completed => completed.OrderId,
        OrderCancelled cancelled => cancelled.OrderId,
        OrderDeadLettered dead => dead.OrderId,
        PaymentCompleted paid => paid.OrderId,
        PaymentFailed failed => failed.OrderId,
        PaymentRefunded refunded => refunded.OrderId,
        StockReserved reserved => reserved.OrderId,
        StockRejected rejected => rejected.OrderId,
        StockReleased released => released.OrderId,
        NotificationSent sent => sent.OrderId,
        _ => null,
    };

    public static OrderView Apply(OrderView view, string stream, object message, EntryId position, MessageHeaders headers)
    {
        var next = (stream, message) switch
        {
            (OrderNames.DeadForPayments, OrderCreated) => WithPayment(view, PaymentStage.GivenUp),
            (OrderNames.DeadForInventory, OrderCreated) => WithStock(view, StockStage.GivenUp),
            (OrderNames.Stream or OrderNames.Express, OrderCreated created) when view.Placed is null =>
                view with { Placed = created, Position = position },
            (_, OrderCompleted) => view with { Status = OrderStatus.Completed },
            (OrderNames.Stream, OrderCancelled cancelled) => view with { Status = OrderStatus.Cancelled, Reason = cancelled.Reason },
            (OrderNames.Stream, OrderDeadLettered dead) =>
                view with { Status = OrderStatus.DeadLettered, Reason = dead.Reason },
            (_, PaymentCompleted) => WithPayment(view, PaymentStage.Paid),
            (_, PaymentFailed) when view.Payment == PaymentStage.GivenUp => view, // Says that no money was kept, which is not why it failed.
            (_, PaymentFailed) => WithPayment(view, PaymentStage.Failed),
            (_, PaymentRefunded) => WithPayment(view, PaymentStage.Refunded),
            (_, StockReserved) => WithStock(view, StockStage.Reserved),
            (_, StockRejected) => WithStock(view, StockStage.Rejected),
            (_, StockReleased) => WithStock(view, StockStage.Released),
            (_, NotificationSent sent) => view with { Mail = sent.Kind },
            _ => view,
        };
        var type = headers.DeadReason is null ? headers.Type : $"{headers.Type} given up";
        return next with
        {
            CorrelationId = next.CorrelationId ?? headers.CorrelationId,
            Events = [.. next.Events, new OrderEvent(type, stream, headers.Time)],
        };
    }

    // What was given back stays given back, also when the answer it belongs to is published after it.
    private static OrderView WithPayment(OrderView view, PaymentStage stage) =>
        view.Payment == PaymentStage.Refunded ? view : view with { Payment = stage };

    private static OrderView WithStock(OrderView view, StockStage stage) =>
        view.Stock == StockStage.Released ? view : view with { Stock = stage };
}
