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
}
