using Millrace.Sagas;

namespace Millrace.Tests.Sagas;

/// <summary>The rules of a saga, without a host; and what the helper says when they are otherwise.</summary>
public sealed class SagaScenarioTests
{
    private static readonly object Placed = new OrderPlaced("1", 10);

    private static SagaScenario<CheckoutState> Checkout => SagaScenario.Of(
        new CheckoutSaga("shop", within: TimeSpan.FromSeconds(30), retryDelay: TimeSpan.FromSeconds(5)));

    private static SagaScenario<CheckoutState> Failed => Checkout
        .Given(Placed, new StockReserved("1"), new CardCharged("1"))
        .When(new ShippingFailed("1", "no lorry"));

    [Fact]
    public void Checkout_that_goes_well_sends_one_command_after_the_other_and_completes() => Checkout
        .When(Placed).ThenSent(new ReserveStock("1")).ThenTimeouts("limit").ThenState(state => state.Phase == "reserving")
        .When(new StockReserved("1")).ThenSent(new ChargeCard("1", 10))
        .When(new CardCharged("1")).ThenSent(new ShipOrder("1"))
        .When(new OrderShipped("1")).ThenSent(new OrderCompleted("1")).ThenStatus(SagaStatus.Completed).ThenTimeouts();

    [Fact]
    public void Failure_undoes_what_is_done_in_reverse_and_waits_where_it_was_told_to() => Failed
        .ThenSent(new RefundCard("1", 10)).ThenStatus(SagaStatus.Compensating).ThenTimeouts()
        .When(new CardRefunded("1")).ThenSent(new ReleaseStock("1"), new OrderCancelled("1")).ThenStatus(SagaStatus.Compensated);

    [Fact]
    public void Failure_before_anything_is_done_compensates_at_once() => Checkout
        .Given(Placed).When(new StockRefused("1", "sold out")).ThenSent(new OrderCancelled("1")).ThenStatus(SagaStatus.Compensated);

    [Fact]
    public void Undoing_that_is_refused_is_tried_again_and_parks_the_saga_after_the_last_attempt() => Failed
        .When(new RefundRefused("1", "bank closed")).ThenSent()
        .WhenTimePasses(TimeSpan.FromSeconds(4.9)).ThenSent()
        .WhenTimePasses(TimeSpan.FromSeconds(0.1)).ThenSent(new RefundCard("1", 10))
        .When(new RefundRefused("1", "bank closed"))
        .WhenTimePasses(TimeSpan.FromSeconds(10)).ThenSent(new RefundCard("1", 10)).ThenStatus(SagaStatus.Compensating)
        .When(new RefundRefused("1", "bank closed")).ThenStatus(SagaStatus.NeedsAttention)
        .WhenTimePasses(TimeSpan.FromDays(100)).ThenSent().ThenStatus(SagaStatus.NeedsAttention)
        .When(new CardRefunded("1")).ThenSent(new ReleaseStock("1"), new OrderCancelled("1")).ThenStatus(SagaStatus.Compensated);

    [Fact]
    public void Undoing_that_is_not_answered_is_sent_again_and_parks_the_saga_after_the_last_attempt() => Failed
        .WhenTimePasses(TimeSpan.FromSeconds(34)).ThenSent()
        .WhenTimePasses(TimeSpan.FromSeconds(1)).ThenSent(new RefundCard("1", 10))
        .WhenTimePasses(TimeSpan.FromDays(1)).ThenSent(new RefundCard("1", 10)).ThenStatus(SagaStatus.NeedsAttention);

    [Fact]
    public void Timeout_compensates_and_what_is_done_late_is_undone_while_and_after_that() => Checkout
        .Given(Placed, new StockReserved("1"))
        .WhenTimePasses(TimeSpan.FromMinutes(15)).ThenSent(new ReleaseStock("1"), new OrderCancelled("1")).ThenStatus(SagaStatus.Compensated)
        .When(new CardCharged("1")).ThenSent(new RefundCard("1", 10)).ThenStatus(SagaStatus.Compensating)
        .When(new CardCharged("1")).ThenSent()
        .When(new CardRefunded("1")).ThenSent().ThenStatus(SagaStatus.Compensated)
        .When(new CardCharged("1")).ThenSent().ThenStatus(SagaStatus.Compensated);

    [Fact]
    public void Timeout_that_was_cancelled_or_superseded_does_not_fire() => Checkout
        .Given(Placed, new OrderTouched("1", "ping", 1_000))
        .When(new OrderTouched("1", "ping", 5_000)).ThenTimeouts("limit", "ping")
        .WhenTimePasses(TimeSpan.FromSeconds(2)).ThenTimeouts("limit", "ping")
        .WhenTimePasses(TimeSpan.FromSeconds(3)).ThenTimeouts("limit")
        .Given(new OrderTouched("1", "ping", 1_000))
        .When(new OrderTouched("1", "ping", -1)).ThenTimeouts("limit");

    [Fact]
    public void Message_that_comes_twice_changes_nothing_the_second_time() => Checkout
        .When(Placed, "m1").When(Placed, "m1").ThenSent()
        .When(Placed, "m2").ThenSent().ThenStatus(SagaStatus.Running)
        .When(new StockReserved("1"), "m3").When(new StockReserved("1"), "m3").ThenSent()
        .When(new StockReserved("1"), "m4").ThenSent()
        .When(new OrderTouched("1", "", 0), "m5").When(new OrderTouched("1", "", 0), "m5").ThenState(state => state.Touched == 1);

    [Fact]
    public void Saga_that_ended_starts_anew_only_when_it_is_told_to()
    {
        Checkout.Given(Placed, new StockRefused("1", "x")).When(Placed).ThenSent().ThenStatus(SagaStatus.Compensated);
        SagaScenario.Of(new CheckoutSaga(), options => options.RestartsEnded = true)
            .Given(Placed, new StockRefused("1", "x")).When(Placed).ThenSent(new ReserveStock("1")).ThenStatus(SagaStatus.Running);
    }

    [Fact]
    public void Message_without_an_instance_goes_the_way_of_its_rule()
    {
        Checkout.When(new StockReserved("1")).ThenSent().ThenStatus(null);
        Checkout.When(new ShippingFailed("1", "x")).ThenSent(new OrderCancelled("1"));
        Checkout.When(new OrderShipped("1")).ThenFails<MessageRejectedException>();
        Checkout.When(new CardDeclined("1", "x")).ThenFails<SagaNotFoundException>();
    }

    [Fact]
    public void Step_that_is_done_several_times_is_undone_as_often_the_last_one_first() => SagaScenario.Of(new PackingSaga())
        .Given(new Packed("1", "a"), new Packed("1", "b"))
        .When(new Packed("1", "b")).ThenSent()
        .When(new PackingFailed("1")).ThenSent(new Unpack("1", "b"))
        .When(new Unpacked("1", "a")).ThenSent()
        .When(new Unpacked("1", "b")).ThenSent(new Unpack("1", "a"))
        .When(new Packed("1", "c")).ThenSent()
        .When(new Unpacked("1", "a")).ThenSent(new Unpack("1", "c"))
        .When(new Unpacked("1", "c")).ThenStatus(SagaStatus.Compensated);

    [Fact]
    public void Steps_too_many_for_one_commit_are_undone_in_several()
    {
        const int steps = 250;
        var scenario = SagaScenario.Of(new StampingSaga()).Given(new Packed("1", $"{steps}"));

        scenario.When(new PackingFailed("1")).ThenSent([.. Enumerable.Range(0, 100).Select(i => new Unpack("1", $"{steps - i}"))])
            .ThenStatus(SagaStatus.Compensating)
            .WhenTimePasses(TimeSpan.Zero).ThenSent([.. Enumerable.Range(100, 150).Select(i => new Unpack("1", $"{steps - i}"))])
            .ThenStatus(SagaStatus.Compensated);
    }

    [Fact]
    public void Undoing_whose_command_cannot_be_made_parks_the_saga_and_loses_nothing() => SagaScenario.Of(new PackingSaga())
        .Given(new Packed("1", "bad"))
        .When(new PackingFailed("1")).ThenSent().ThenStatus(SagaStatus.NeedsAttention);

    [Fact]
    public void Answer_that_does_not_say_which_step_it_is_about_undoes_none_of_several() => SagaScenario.Of(new VagueSaga())
        .Given(new Packed("1", "a"), new PackingFailed("1"))
        .When(new Unpacked("1", "a")).ThenStatus(SagaStatus.Compensated)
        .Given(new Packed("2", "a"), new Packed("2", "b"), new PackingFailed("2"))
        .When(new Unpacked("2", "b")).ThenSent().ThenStatus(SagaStatus.Compensating)
        .WhenTimePasses(TimeSpan.FromDays(1)).ThenStatus(SagaStatus.NeedsAttention);

    [Fact]
    public void Answer_without_the_detail_of_its_step_is_refused()
    {
        var refused = Assert.Throws<MillraceConfigurationException>(() => SagaScenario.Of(new VagueSaga(isStatic: true)));

        Assert.Contains("does not say which 'pack'", Assert.Single(refused.Errors), StringComparison.Ordinal);
    }

    [Fact]
    public void Stream_whose_first_tag_is_another_is_refused()
    {
        SagaScenario.Of(new CheckoutSaga("{shop}"), options => options.Tag = "shop").When(Placed).ThenSent(new ReserveStock("1"));
        SagaScenario.Of(new CheckoutSaga("{a}:{shop}"), options => options.Tag = "shop").When(Placed).ThenFails<InvalidOperationException>();
    }

    [Fact]
    public void Handler_that_fails_leaves_everything_as_it_was()
    {
        var failure = Checkout.Given(Placed).When(new OrderTouched("1", "unknown", 5)).ThenFails<InvalidOperationException>();
        Assert.Contains("OnTimeout", failure.Message, StringComparison.Ordinal);
        Assert.Throws<SagaScenarioException>(() => Checkout.Given(Placed).When(new OrderTouched("1", "unknown", 5)).ThenSent());
    }

    [Fact]
    public void Scenario_that_goes_otherwise_says_how()
    {
        var sent = Assert.Throws<SagaScenarioException>(() => Checkout.When(Placed).ThenSent(new ReserveStock("2")));
        Assert.Contains("ReserveStock { OrderId = 1 }", sent.Message, StringComparison.Ordinal);
        Assert.Throws<SagaScenarioException>(() => Checkout.When(Placed).ThenStatus(SagaStatus.Completed));
        Assert.Throws<SagaScenarioException>(() => Checkout.When(Placed).ThenState(state => state.Amount == 11));
        Assert.Throws<SagaScenarioException>(() => Checkout.When(Placed).ThenTimeouts());
        Assert.Throws<SagaScenarioException>(() => Checkout.When(Placed).ThenFails<Exception>());
        Assert.Throws<ArgumentException>(() => Checkout.When("no message"));
    }

    [Fact]
    public void Saga_whose_rules_contradict_each_other_is_refused_with_everything_that_is_wrong()
    {
        var refused = Assert.Throws<MillraceConfigurationException>(() => SagaScenario.Of(new BrokenSaga()));

        Assert.Equal(8, refused.Errors.Count);
    }

    [Message("pack.packed")]
    public sealed record Packed(string Id, string Line);

    [Message("pack.failed")]
    public sealed record PackingFailed(string Id);

    [Message("pack.unpack")]
    public sealed record Unpack(string Id, string Line);

    [Message("pack.unpacked")]
    public sealed record Unpacked(string Id, string Line);

    public sealed record Packing(string Id);

    private sealed class PackingSaga : Saga<Packing>
    {
        public PackingSaga()
            : base("packing")
        {
            Step("pack")
                .UndoBy("packers", (state, line) => line == "bad" ? throw new InvalidOperationException("no such line") : new Unpack(state.Id, line!))
                .Awaited();
            On<Packed>().CorrelateBy(m => m.Id).Completes("pack", m => m.Line).Start((m, _) => new(m.Id)).Handle((_, _, _) => { });
            On<PackingFailed>().CorrelateBy(m => m.Id).Handle((_, _, saga) => saga.Compensate("failed"));
            On<Unpacked>().CorrelateBy(m => m.Id).Confirms("pack", m => m.Line);
        }
    }

    /// <summary>Its steps have details, and what answers their undoing has none.</summary>
    private sealed class VagueSaga : Saga<Packing>
    {
        public VagueSaga(bool isStatic = false)
            : base("vague")
        {
            Step("pack").UndoBy("packers", (state, line) => new Unpack(state.Id, line!)).Awaited();
            var packed = On<Packed>().CorrelateBy(m => m.Id)
                .Start((m, saga) => Done(new(m.Id), m, saga))
                .Handle((state, m, saga) => Done(state, m, saga));
            if (isStatic)
                packed.Completes("pack", m => m.Line);
            On<PackingFailed>().CorrelateBy(m => m.Id).Handle((_, _, saga) => saga.Compensate("failed"));
            On<Unpacked>().CorrelateBy(m => m.Id).Confirms("pack");
        }

        private static Packing Done(Packing state, Packed packed, SagaContext saga)
        {
            saga.Done("pack", packed.Line);
            return state;
        }
    }

    private sealed class StampingSaga : Saga<Packing>
    {
        public StampingSaga()
            : base("stamping")
        {
            Step("stamp").UndoBy("packers", (state, line) => new Unpack(state.Id, line!));
            On<Packed>().CorrelateBy(m => m.Id).Start((m, saga) =>
            {
                for (var i = 1; i <= int.Parse(m.Line, System.Globalization.CultureInfo.InvariantCulture); i++)
                    saga.Done("stamp", $"{i}");
                return new(m.Id);
            });
            On<PackingFailed>().CorrelateBy(m => m.Id).Handle((_, _, saga) => saga.Compensate("failed"));
        }
    }

    private sealed class BrokenSaga : Saga<Packing>
    {
        public BrokenSaga()
            : base("broken", stateVersion: 2)
        {
            Step("pack").Awaited();
            On<Packed>().Handle((_, _, _) => { });
            On<Unpacked>().CorrelateBy(m => m.Id).Completes("unknown");
            On<Unpacked>().CorrelateBy(m => m.Id).Completes("pack");
            On<PackingFailed>().CorrelateBy(m => m.Id);
            Upcast<string, int>(1, text => text.Length);
        }
    }
}
