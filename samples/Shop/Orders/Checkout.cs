using Millrace;
using Millrace.Sagas;
using Shop.Inventory;
using Shop.Payments;

namespace Shop.Orders;

/// <summary>What the checkout of an order knows. Answers arrive in any order, even before the order, when others published it.</summary>
/// <param name="OrderId">The order.</param>
public sealed record CheckoutState(string OrderId)
{
    public OrderCreated? Placed { get; init; }

    public bool IsPaid { get; init; }

    public bool IsReserved { get; init; }

    /// <summary>Why it fails, for the customer; <see langword="null"/>: it does not.</summary>
    public string? Reason { get; init; }

    /// <summary>The service that gave up on the order.</summary>
    public string? GivenUpBy { get; init; }
}

/// <summary>
/// The saga that conducts an order to its end. Payments and inventory begin by themselves, on order.created; when both have said yes, the order
/// is completed. When one says no, gives up, or says nothing in time, the order ends as cancelled or dead-lettered, and what was done is undone, the last
/// step first. A yes that comes after that is undone, too. The saga is not over before payments say that they keep no money; if they never do, it needs
/// attention.
/// </summary>
public sealed class Checkout : Saga<CheckoutState>
{
    private const string StockStep = "stock";
    private const string PaymentStep = "payment";
    private const string Patience = "patience";

    // Longer than payments try by themselves before the command is a dead letter.
    private static readonly TimeSpan RefundPatience = TimeSpan.FromMinutes(15);

    private readonly TimeSpan _patience;

    /// <param name="patience">How long the services may take.</param>
    public Checkout(TimeSpan patience)
        : base("checkout")
    {
        _patience = patience;
        DescribedBy(state => state is { Placed: null } ? "not placed" : (state.IsPaid, state.IsReserved) switch
        {
            (true, _) => "paid",
            (_, true) => "reserved",
            _ => "waiting",
        });
        Step(StockStep).UndoBy(OrderNames.Checkout, state => new ReleaseStock(state.OrderId));
        Step(PaymentStep).UndoBy(OrderNames.Checkout, state => new RefundPayment(state.OrderId)).Awaited(within: RefundPatience);

        Note<OrderCreated>(m => m.OrderId, (state, m) => state with { Placed = state.Placed ?? m });
        Note<PaymentCompleted>(m => m.OrderId, (state, _) => state with { IsPaid = true }).Completes(PaymentStep);
        Note<StockReserved>(m => m.OrderId, (state, _) => state with { IsReserved = true }).Completes(StockStep);
        Note<PaymentFailed>(m => m.OrderId, (state, m) => Fail(state, m.Reason)).Confirms(PaymentStep);
        Note<StockRejected>(m => m.OrderId, (state, m) => Fail(state, m.Reason));

        // Payments may have charged the card before they gave up, and not have come to say so. Of an order that inventory gave up nothing is to be charged.
        Note<OrderGivenUp>(m => m.OrderId, (state, m) => Fail(state, m.Reason) with { GivenUpBy = state.GivenUpBy ?? m.Service })
            .Completes(PaymentStep);
        On<PaymentRefunded>().CorrelateBy(m => m.OrderId).Confirms(PaymentStep);
        OnTimeout(Patience, (state, saga) =>
        {
            saga.Done(PaymentStep); // Perhaps it was: the money is outside of the store, and the answer may be lost with it.
            return End(Fail(state, "The services did not answer in time."), saga);
        });
        OnCompensated((state, saga) =>
        {
            if (state is { Placed: { } order, Reason: null })
                Ask(saga, new CancelOrder(order, "The shop cancelled the order.")); // An operator made it fail; nobody was told.
        });
    }

    private SagaMessage<CheckoutState, TMessage> Note<TMessage>(
        Func<TMessage, string> orderId, Func<CheckoutState, TMessage, CheckoutState> note)
        where TMessage : notnull => On<TMessage>().CorrelateBy(orderId)
            .Start((message, saga) =>
            {
                saga.Timeout(Patience, _patience);
                return Decide(note(new(saga.Id), message), saga);
            })
            .Handle((state, message, saga) => Decide(note(state, message), saga));

    private static CheckoutState Fail(CheckoutState state, string reason) => state with { Reason = state.Reason ?? reason };

    /// <summary>Without the order nobody can be told its end, so that is waited for in any case.</summary>
    private static CheckoutState Decide(CheckoutState state, SagaContext saga) => state is { Placed: null } ? state : End(state, saga);

    private static CheckoutState End(CheckoutState state, SagaContext saga)
    {
        if (state.Reason is { } reason)
        {
            // At once: nobody waits for the end of an order until the money is back.
            if (state.Placed is { } order)
                Ask(saga, state.GivenUpBy is { } service ? new GiveUpOrder(order, service) : new CancelOrder(order, reason));
            saga.Compensate(reason);
        }
        else if (state is { IsPaid: true, IsReserved: true })
        {
            Ask(saga, new CompleteOrder(state.Placed!));
            saga.Complete();
        }

        return state;
    }

    private static void Ask(SagaContext saga, object command) =>
        saga.Send(OrderNames.Checkout, command, new PublishOptions { Subject = saga.Id });
}
