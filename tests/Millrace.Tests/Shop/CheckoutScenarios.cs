using Millrace.EventSourcing;
using Millrace.Sagas;
using Shop.Inventory;
using Shop.Orders;
using Shop.Payments;

namespace Millrace.Tests.Shop;

/// <summary>How orders end, without a host: what the checkout asks for, and what the order's own history makes of it.</summary>
public sealed class CheckoutScenarios
{
    private static readonly TimeSpan Patience = TimeSpan.FromMinutes(20);

    private static readonly OrderCreated Placed = new OrderRequest { Items = [new("tea", 2, null)] }.ToEvent("o-1", DateTimeOffset.UnixEpoch);
    private static readonly PaymentCompleted Paid = new("o-1", 13);
    private static readonly PaymentRefunded Refunded = new("o-1", 13);
    private static readonly StockReserved Reserved = new("o-1", "main", []);

    public static TheoryData<object[]> AnswersInEveryOrder => new(
        [[Placed, Paid, Reserved], [Placed, Reserved, Paid], [Paid, Placed, Reserved], [Reserved, Paid, Placed]]);

    [Theory]
    [MemberData(nameof(AnswersInEveryOrder), DisableDiscoveryEnumeration = true)]
    public void Order_completes_when_both_said_yes_whatever_came_first(object[] messages) => Checkout()
        .Given(messages[..^1])
        .When(messages[^1])
        .ThenSent(new CompleteOrder(Placed))
        .ThenStatus(SagaStatus.Completed)
        .ThenTimeouts();

    [Fact]
    public void Goods_go_back_when_the_card_is_declined() => Checkout()
        .Given(Placed, Reserved)
        .When(new PaymentFailed("o-1", "declined"))
        .ThenSent(new CancelOrder(Placed, "declined"), new ReleaseStock("o-1"))
        .ThenStatus(SagaStatus.Compensated);

    [Fact]
    public void Nobody_is_told_of_a_failure_before_the_order_is_known() => Checkout()
        .Given(new StockRejected("o-1", "sold out"))
        .When(Placed)
        .ThenSent(new CancelOrder(Placed, "sold out"));

    [Fact]
    public void Silence_cancels_a_payment_that_may_have_been_made_and_goods_that_are_reserved_later_go_back() => Checkout()
        .Given(Placed)
        .WhenTimePasses(Patience)
        .ThenSent(new CancelOrder(Placed, "The services did not answer in time."), new RefundPayment("o-1"))
        .When(Paid)
        .ThenSent()
        .When(Reserved)
        .ThenSent()
        .When(Refunded)
        .ThenSent(new ReleaseStock("o-1"))
        .ThenStatus(SagaStatus.Compensated);

    /// <summary>Money that is not given back was forgotten: the saga ended as compensated, whatever became of its command.</summary>
    [Fact]
    public void Refund_that_nobody_answers_is_asked_for_again_and_at_last_needs_attention()
    {
        var checkout = Checkout().Given(Placed, Paid).When(new StockRejected("o-1", "sold out"))
            .ThenSent(new CancelOrder(Placed, "sold out"), new RefundPayment("o-1")).ThenStatus(SagaStatus.Compensating);
        for (var again = 0; again < 4; again++)
            checkout.WhenTimePasses(TimeSpan.FromMinutes(16)).ThenSent(new RefundPayment("o-1")).ThenStatus(SagaStatus.Compensating);

        checkout.WhenTimePasses(TimeSpan.FromMinutes(16)).ThenSent().ThenStatus(SagaStatus.NeedsAttention)
            .When(Refunded).ThenSent().ThenStatus(SagaStatus.Compensated);
    }

    [Fact]
    public void Payment_that_was_never_made_needs_no_refund() => Checkout()
        .Given(Placed, Reserved)
        .WhenTimePasses(Patience)
        .ThenSent(new CancelOrder(Placed, "The services did not answer in time."), new RefundPayment("o-1"))
        .When(new PaymentFailed("o-1", "cancelled"))
        .ThenSent(new ReleaseStock("o-1"))
        .ThenStatus(SagaStatus.Compensated);

    /// <summary>Payments gave up after the provider had charged the card, and nobody gave the money back.</summary>
    [Fact]
    public void Order_a_service_gave_up_ends_as_that_and_is_undone_last_step_first_also_a_payment_nobody_told_of() => Checkout()
        .Given(Placed, Reserved, new OrderGivenUp("o-2", "payments"))
        .When(new OrderGivenUp("o-1", "payments"))
        .ThenSent(new GiveUpOrder(Placed, "payments"), new RefundPayment("o-1"))
        .When(Refunded)
        .ThenSent(new ReleaseStock("o-1"))
        .ThenStatus(SagaStatus.Compensated)
        .When(new OrderGivenUp("o-1", "inventory"))
        .ThenSent();

    [Fact]
    public void Order_ends_once() => Scenario.Of(Order.Decider)
        .Given(Placed)
        .When(new CancelOrder(Placed, "sold out"))
        .Then(new OrderCancelled("o-1", Placed.Customer, "sold out"))
        .ThenState(order => order.Status == OrderStatus.Cancelled)
        .When(new CompleteOrder(Placed))
        .Then();

    [Fact]
    public void Order_begins_once_however_often_it_is_asked_for() => Scenario.Of(Order.Decider)
        .When(new PlaceOrder(Placed))
        .Then(Placed)
        .ThenState(order => order.Status == OrderStatus.Processing)
        .When(new PlaceOrder(Placed with { Total = 1 }))
        .Then();

    [Fact]
    public void Order_that_others_published_has_its_history_from_its_end_on() => Scenario.Of(Order.Decider)
        .When(new CompleteOrder(Placed))
        .Then(Placed, new OrderCompleted("o-1", Placed.Customer, Placed.Total));

    private static SagaScenario<CheckoutState> Checkout() => SagaScenario.Of(new Checkout(Patience));
}
