using Microsoft.Extensions.DependencyInjection;
using Millrace.Sagas;
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
            saga, ["shop:orders"], "checkout", options => options.ConfigureConsumer(consumer => consumer.MaxAttempts = 1_000)));
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

    private sealed class OldCheckout : Saga<CheckoutState>
    {
        public OldCheckout()
            : base("checkout") => On<OrderPlaced>().CorrelateBy(m => m.OrderId).Start((m, _) => new(m.OrderId, m.Amount, "old"));
    }
}
