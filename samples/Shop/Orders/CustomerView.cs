using Millrace.Projections;

namespace Shop.Orders;

/// <summary>
/// What the shop knows of a customer, folded from the histories of all orders: a read model that is kept in the store, beside its checkpoint.
/// The board of orders, which the page follows, is folded in memory instead: see <see cref="OrderBoard"/>.
/// </summary>
public sealed record CustomerView
{
    /// <summary>The projection, and what names its views' service.</summary>
    public const string Projection = "customers";

    public required string Customer { get; init; }

    /// <summary>Orders placed, however they ended.</summary>
    public int Orders { get; init; }

    public int Completed { get; init; }

    /// <summary>Cancelled, or given up by a service.</summary>
    public int Failed { get; init; }

    /// <summary>What the completed ones cost, in euros.</summary>
    public decimal Spent { get; init; }

    public string? LastOrder { get; init; }

    /// <summary>Which event changes the view how.</summary>
    public static void Fold(ViewFolds<CustomerView> views) => views
        .On<OrderCreated>(
            (order, _) => [order.Customer],
            (view, order, _) => Known(view, order.Customer) with { Orders = (view?.Orders ?? 0) + 1, LastOrder = order.OrderId })
        .On<OrderCompleted>(
            (order, _) => [order.Customer],
            (view, order, _) => Known(view, order.Customer) with
            {
                Completed = (view?.Completed ?? 0) + 1,
                Spent = (view?.Spent ?? 0) + order.Total,
            })
        .On<OrderCancelled>((order, _) => [order.Customer], (view, order, _) => Failure(view, order.Customer))
        .On<OrderDeadLettered>((order, _) => [order.Customer], (view, order, _) => Failure(view, order.Customer));

    private static CustomerView Failure(CustomerView? view, string customer) =>
        Known(view, customer) with { Failed = (view?.Failed ?? 0) + 1 };

    private static CustomerView Known(CustomerView? view, string customer) => view ?? new() { Customer = customer };
}
