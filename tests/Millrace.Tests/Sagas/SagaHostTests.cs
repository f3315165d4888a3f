using Microsoft.Extensions.DependencyInjection;
using Millrace.Sagas;
using Millrace.Streams;
using Millrace.Testing;

namespace Millrace.Tests.Sagas;

/// <summary>A whole application with a saga in virtual time.</summary>
public sealed class SagaHostTests
{
    [Fact]
    public async Task Timeout_of_a_saga_fires_after_its_time_though_the_process_was_killed_meanwhile()
    {
        await using var host = await MillraceTestHost.StartAsync(millrace => millrace.AddSaga<CheckoutSaga>("shop:orders", "checkout"));
        await host.PublishAsync("shop:orders", new OrderPlaced("1", 10));
        await host.PublishAsync("shop:orders", new OrderPlaced("2", 10));
        await host.WhenIdleAsync();
        await host.PublishAsync("shop:orders", new StockRefused("2", "sold out"));
        await host.AdvanceAsync(TimeSpan.FromMinutes(10));
        await host.KillAsync();
        await host.RestartAsync();
        await host.AdvanceAsync(TimeSpan.FromMinutes(4));
        Assert.Equal(SagaStatus.Running, (await StatusAsync("1")).Status);

        await host.AdvanceAsync(TimeSpan.FromMinutes(2));

        var first = await StatusAsync("1");
        Assert.Equal((SagaStatus.Compensated, "it took too long"), (first.Status, first.Reason));
        Assert.Equal("sold out", (await StatusAsync("2")).Reason);
        Assert.Equal(2, (await host.Store.GetStreamInfoAsync("shop:out"))!.Length);

        async Task<SagaInstance<CheckoutState>> StatusAsync(string id) =>
            (await host.Services.GetRequiredService<SagaStore<CheckoutState>>().GetAsync(id))!;
    }

    [Fact]
    public async Task Timeout_that_an_older_version_does_not_know_is_not_lost()
    {
        Saga saga = new CheckoutSaga();
        await using var host = await MillraceTestHost.StartAsync(millrace => millrace.AddSaga(
            saga, ["shop:orders"], "checkout"));
        await host.PublishAsync("shop:orders", new OrderPlaced("1", 10));
        await host.WhenIdleAsync();
        saga = new OldCheckout();
        await host.RestartAsync();
        await host.AdvanceAsync(TimeSpan.FromMinutes(16));
        Assert.Null(await host.Store.GetStreamInfoAsync("shop:out"));

        saga = new CheckoutSaga();
        await host.RestartAsync();
        await host.AdvanceAsync(TimeSpan.FromMinutes(2));

        Assert.Equal(1, (await host.Store.GetStreamInfoAsync("shop:out"))!.Length);
    }

    [Fact]
    public async Task Step_that_an_older_version_does_not_know_is_undone_by_a_newer_one()
    {
        Saga saga = new CheckoutSaga();
        await using var host = await MillraceTestHost.StartAsync(millrace => millrace.AddSaga(saga, ["shop:orders"], "checkout"));
        await host.PublishAsync("shop:orders", new OrderPlaced("1", 10));
        await host.WhenIdleAsync();
        await host.PublishAsync("shop:orders", new StockReserved("1"));
        await host.WhenIdleAsync();
        saga = new OldCheckout();
        await host.RestartAsync();
        await host.PublishAsync("shop:orders", new StockRefused("1", "burnt"));

        // Six waits of up to 1, 2, 4, 8, 16 and 32 s, each a random share: all of them within 2 s is one case in 300,000.
        await host.AdvanceAsync(TimeSpan.FromSeconds(2));
        Assert.Equal(SagaStatus.Running, (await host.Services.GetRequiredService<SagaStore<CheckoutState>>().GetAsync("1"))!.Status);

        saga = new CheckoutSaga();
        await host.RestartAsync();
        await host.AdvanceAsync(TimeSpan.FromMinutes(2));

        var undone = await host.Services.GetRequiredService<SagaStore<CheckoutState>>().GetAsync("1");
        Assert.Equal((SagaStatus.Compensated, "burnt"), (undone!.Status, undone.Reason));
        Assert.Empty(await host.DeadLettersAsync("shop:orders", "checkout"));
    }

    [Fact]
    public async Task Step_that_was_removed_needs_attention_soon_and_is_retried_where_it_is_known_or_skipped()
    {
        Saga saga = new CheckoutSaga();
        await using var host = await MillraceTestHost.StartAsync(millrace => millrace.AddSaga(saga, ["shop:orders"], "checkout"));
        foreach (var id in new[] { "1", "2" })
        {
            await host.PublishAsync("shop:orders", new OrderPlaced(id, 10));
            await host.WhenIdleAsync();
            await host.PublishAsync("shop:orders", new StockReserved(id));
            await host.WhenIdleAsync();
        }

        saga = new OldCheckout();
        await host.RestartAsync();
        await host.PublishAsync("shop:orders", new StockRefused("1", "burnt"));
        await host.PublishAsync("shop:orders", new StockRefused("2", "burnt"));
        await host.AdvanceAsync(TimeSpan.FromMinutes(3));
        foreach (var id in new[] { "1", "2" })
        {
            var stuck = (await Sagas().GetAsync(id))!;
            Assert.Equal((SagaStatus.NeedsAttention, "burnt"), (stuck.Status, stuck.Reason));
            Assert.Contains("has no step 'stock'", stuck.Attention, StringComparison.Ordinal);
        }

        await Sagas().SkipAsync("2", "Ann");
        await host.WhenIdleAsync();
        Assert.Equal(SagaStatus.Compensated, (await Sagas().GetAsync("2"))!.Status);
        saga = new CheckoutSaga();
        await host.RestartAsync();
        await Sagas().RetryAsync("1", "Ann");
        await host.WhenIdleAsync();

        var undone = (await Sagas().GetAsync("1"))!;
        Assert.Equal((SagaStatus.Compensated, null), (undone.Status, undone.Attention));
        Assert.Equal(SagaUndo.Undone, Assert.Single(undone.Steps).Undo);
        Assert.Empty(await host.DeadLettersAsync("shop:orders", "checkout"));

        SagaStore<CheckoutState> Sagas() => host.Services.GetRequiredService<SagaStore<CheckoutState>>();
    }

    [Fact]
    public async Task What_cannot_leave_needs_attention_and_an_operator_skips_only_what_he_saw()
    {
        await using var host = await MillraceTestHost.StartAsync(millrace => millrace.AddSaga<StuckSaga>("stuck", "stuck"));
        var sagas = host.Services.GetRequiredService<SagaStore<Stuck>>();
        await host.PublishAsync("stuck", new Begun("1"));
        await host.WhenIdleAsync();
        await host.PublishAsync("stuck", new Failed("1"));
        await NeedsAttentionAsync("'nameless' cannot be made");

        await sagas.SkipAsync("1", "Ann");
        await NeedsAttentionAsync("'null' cannot be made: It is null.");
        await RequestAgainAsync("bob", """{"id":"1","act":"Skip","reason":"Bob saw what Ann saw","step":"nameless"}""");
        await NeedsAttentionAsync("'null' cannot be made: It is null.");
        await RequestAgainAsync("ann", """{"id":"1","act":"Retry","reason":"Ann","step":"null"}""");
        await RequestAgainAsync("ann", """{"id":"1","act":"Skip","reason":"a redelivery","step":"null"}""");
        await NeedsAttentionAsync("'null' cannot be made: It is null.");

        await sagas.SkipAsync("1", "Ann");
        await NeedsAttentionAsync("Everything is undone");
        await sagas.RetryAsync("1", "Ann");
        await NeedsAttentionAsync("Everything is undone");
        await sagas.SkipAsync("1", "Ann");
        await host.WhenIdleAsync();

        var ended = await sagas.GetAsync("1");
        Assert.Equal((SagaStatus.Compensated, null), (ended!.Status, ended.Attention));
        Assert.All(ended.Steps, step => Assert.Equal(SagaUndo.Skipped, step.Undo));
        Assert.Empty(await host.DeadLettersAsync("stuck", "stuck"));

        async Task NeedsAttentionAsync(string why)
        {
            await host.WhenIdleAsync();
            var instance = (await sagas.GetAsync("1"))!;
            Assert.Equal(SagaStatus.NeedsAttention, instance.Status);
            Assert.Contains(why, instance.Attention, StringComparison.Ordinal);
        }

        async Task RequestAgainAsync(string id, string json)
        {
            var request = new EntryFieldsWriter()
                .Add(EnvelopeFieldNames.Id, id)
                .Add(EnvelopeFieldNames.Type, "millrace.saga-request")
                .Add(EnvelopeFieldNames.Data, json)
                .ToFields();
            await host.Store.AppendAsync(StreamNames.Again("stuck", "stuck"), request);
            await host.WhenIdleAsync();
        }
    }

    private sealed class OldCheckout : Saga<CheckoutState>
    {
        public OldCheckout()
            : base("checkout")
        {
            On<OrderPlaced>().CorrelateBy(m => m.OrderId).Start((m, _) => new(m.OrderId, m.Amount, "old"));
            On<StockRefused>().CorrelateBy(m => m.OrderId).Handle((_, m, saga) => saga.Compensate(m.Reason));
        }
    }

    [Message("stuck.begun")]
    public sealed record Begun(string Id);

    [Message("stuck.failed")]
    public sealed record Failed(string Id);

    public sealed record Nameless;

    public sealed record Stuck(string Id);

    /// <summary>Nothing of what it sends in the end can leave.</summary>
    private sealed class StuckSaga : Saga<Stuck>
    {
        public StuckSaga()
            : base("stuck")
        {
            Step("null").UndoBy("out", _ => null!);
            Step("nameless").UndoBy("out", _ => new Nameless());
            On<Begun>().CorrelateBy(m => m.Id).Start((m, saga) =>
            {
                saga.Done("null");
                saga.Done("nameless");
                return new(m.Id);
            });
            On<Failed>().CorrelateBy(m => m.Id).Handle((_, _, saga) => saga.Compensate("failed"));
            OnCompensated((_, saga) => saga.Send("out", new Nameless()));
        }
    }
}
