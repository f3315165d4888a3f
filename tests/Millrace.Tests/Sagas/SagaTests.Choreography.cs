using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Sagas;

/// <summary>The same without a conductor: consumers that react to each other's events, and to those that take them back.</summary>
public abstract partial class SagaTests
{
    [Fact]
    public async Task Services_that_only_react_to_events_give_back_what_a_later_one_refuses()
    {
        const int orders = 30;
        await StartAsync(AddChoreography);
        await StartAsync(AddChoreography);
        for (var i = 0; i < orders; i++)
            await PublishAsync(new OrderPlaced($"{i}", i));

        await Eventually.TrueAsync("every order has ended", async () => (await _store!.GetStreamInfoAsync($"{_shop}:out"))?.Length == orders);
        await Host.WhenSettledAsync(Orders, "inventory");
        await Host.WhenSettledAsync(Orders, "payments");
        var book = await Host.Publisher.NewCommit(Orders).State.GetAsync<ShopBook>("book");
        Assert.Equal(orders / 2, book!.Reserved);
        var ends = (await SentAsync("out", orders)).Select(entry => new MessageHeaders(entry.Id, entry.Fields).Type).CountBy(type => type).ToDictionary();
        Assert.Equal((orders / 2, orders / 2), (ends["shop.order-completed"], ends["shop.order-cancelled"]));
    }

    private void AddChoreography(MillraceBuilder millrace) => millrace
        .AddConsumer<OrderPlaced>(Orders, "inventory", async (order, context, _) =>
        {
            await KeepAsync(context, 1);
            context.State.Create($"reserved/{order.OrderId}", order);
            context.Publish(Orders, new StockReserved(order.OrderId));
        })
        .AddConsumer<CardDeclined>(Orders, "inventory", async (declined, context, _) =>
        {
            if (await context.State.GetAsync<OrderPlaced>($"reserved/{declined.OrderId}") is null)
                return;
            await KeepAsync(context, -1);
            context.State.Delete($"reserved/{declined.OrderId}");
            context.Publish($"{_shop}:out", new OrderCancelled(declined.OrderId));
        })
        .AddConsumer<StockReserved>(Orders, "payments", (reserved, context, _) =>
        {
            if (int.Parse(reserved.OrderId, System.Globalization.CultureInfo.InvariantCulture) % 2 == 0)
                context.Publish(Orders, new CardDeclined(reserved.OrderId, "no money"));
            else
                context.Publish($"{_shop}:out", new OrderCompleted(reserved.OrderId));
            return Task.CompletedTask;
        });

    private static async Task KeepAsync(MessageContext context, int reserved)
    {
        var book = await context.State.GetAsync<ShopBook>("book") ?? new(0, 0, 0);
        context.State.Put("book", book with { Reserved = book.Reserved + reserved });
    }
}
