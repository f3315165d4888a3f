using Millrace.Sagas;
using Millrace.Streams;

namespace Millrace.Tests.Sagas;

/// <summary>
/// The services around <see cref="CheckoutSaga"/>: each refuses, is slow, throws or says nothing as drawn from the seed, and counts in the store what
/// it was asked for and what it did.
/// </summary>
internal sealed class SagaShop(string shop, int seed, TimeSpan limit)
{
    public const string Group = "service";
    public const int Price = 7;
    public const string NoLorry = "no lorry";

    private readonly Random _random = new(seed);

    public string Orders => $"{shop}:orders";

    public string Out => $"{shop}:out";

    private string Inventory => $"{shop}:inventory";

    private string Payments => $"{shop}:payments";

    private string Shipping => $"{shop}:shipping";

    public IReadOnlyList<string> Streams => [Orders, Inventory, Payments, Shipping];

    public void AddTo(MillraceBuilder millrace) => millrace
        .AddSaga(
            new CheckoutSaga(shop, limit, within: TimeSpan.FromMilliseconds(300), retryDelay: TimeSpan.FromMilliseconds(20)),
            [Orders],
            Group,
            options => options.ConfigureConsumer(Configure))
        .AddConsumer<ReserveStock>(Inventory, Group, ReserveAsync, Configure)
        .AddConsumer<ReleaseStock>(Inventory, Group, ReleaseAsync)
        .AddConsumer<ChargeCard>(Payments, Group, ChargeAsync, Configure)
        .AddConsumer<RefundCard>(Payments, Group, RefundAsync)
        .AddConsumer<ShipOrder>(Shipping, Group, ShipAsync, Configure);

    public async Task<ShopBook> ReadBookAsync(CommitScope commit) =>
        await commit.State.GetAsync<ShopBook>(new StateKey(Orders, "book")) ?? new(0, 0, 0);

    public async Task<OrderBook> ReadOrderAsync(CommitScope commit, string orderId) =>
        await commit.State.GetAsync<OrderBook>(Key(orderId)) ?? new(false, false, []);

    private static void Configure(ConsumerOptions options)
    {
        (options.MaxAttempts, options.MaxDeliveries) = (1_000, 1_000);
        (options.RetryBaseDelay, options.RetryMaxDelay) = (TimeSpan.FromMilliseconds(5), TimeSpan.FromMilliseconds(50));
        options.Lease = TimeSpan.FromSeconds(1);
    }

    private Task ReserveAsync(ReserveStock command, MessageContext context, CancellationToken cancellationToken) =>
        DoAsync(command.OrderId, context, "reserve", (order, book) => Draw(command.OrderId, "stock") switch
        {
            < 10 => (order, book, new StockRefused(command.OrderId, "sold out"), false),
            < 20 => (order with { IsReserved = true }, book with { Reserved = book.Reserved + 1 }, new StockReserved(command.OrderId), true),
            _ => (order with { IsReserved = true }, book with { Reserved = book.Reserved + 1 }, new StockReserved(command.OrderId), false),
        });

    private Task ReleaseAsync(ReleaseStock command, MessageContext context, CancellationToken cancellationToken) =>
        DoAsync(command.OrderId, context, "release", (order, book) => order.IsReserved
            ? (order with { IsReserved = false }, book with { Reserved = book.Reserved - 1 }, null, false)
            : throw new InvalidOperationException("There is nothing to release."));

    private Task ChargeAsync(ChargeCard command, MessageContext context, CancellationToken cancellationToken) =>
        DoAsync(command.OrderId, context, "charge", (order, book) => Draw(command.OrderId, "card") switch
        {
            < 10 => (order, book, new CardDeclined(command.OrderId, "no money"), false),
            < 25 => (order with { IsCharged = true }, book with { Money = book.Money + command.Amount }, new CardCharged(command.OrderId), true),
            _ => (order with { IsCharged = true }, book with { Money = book.Money + command.Amount }, new CardCharged(command.OrderId), false),
        });

    /// <summary>May be refused, or not answered, and knows what it has given back already.</summary>
    private Task RefundAsync(RefundCard command, MessageContext context, CancellationToken cancellationToken) =>
        DoAsync(command.OrderId, context, "refund", (order, book) => Draw(context.MessageId, "refund") switch
        {
            < 30 => (order, book, new RefundRefused(command.OrderId, "bank closed"), false),
            var draw => (
                order with { IsCharged = false },
                order.IsCharged ? book with { Money = book.Money - command.Amount } : book,
                draw < 60 ? null : new CardRefunded(command.OrderId),
                false),
        });

    private Task ShipAsync(ShipOrder command, MessageContext context, CancellationToken cancellationToken) =>
        DoAsync(command.OrderId, context, "ship", (order, book) => Draw(command.OrderId, "lorry") switch
        {
            < 10 => (order, book, new ShippingFailed(command.OrderId, NoLorry), false),
            < 20 => (order, book, null, false),
            _ => (order, book with { Shipped = book.Shipped + 1 }, new OrderShipped(command.OrderId), false),
        });

    private async Task DoAsync(
        string orderId, MessageContext context, string command, Func<OrderBook, ShopBook, (OrderBook Order, ShopBook Book, object? Answer, bool IsLate)> act)
    {
        lock (_random)
        {
            if (_random.Next(20) == 0)
                throw new InvalidOperationException("The service is down.");
        }

        var order = await context.State.GetAsync<OrderBook>(Key(orderId)) ?? new(false, false, []);
        var book = await context.State.GetAsync<ShopBook>(new StateKey(Orders, "book")) ?? new(0, 0, 0);
        var (orderAfter, bookAfter, answer, isLate) = act(order, book);
        context.State.Put(Key(orderId), orderAfter with { Commands = [.. order.Commands, command] });
        if (bookAfter != book)
            context.State.Put(new StateKey(Orders, "book"), bookAfter);
        if (answer is not null)
            context.Publish(Orders, answer, isLate ? new() { Delay = limit * 1.2 } : null);
    }

    private StateKey Key(string orderId) => new(Orders, $"order/{orderId}");

    /// <summary>0 to 99, the same for every attempt.</summary>
    private int Draw(string id, string about)
    {
        var hash = (uint)seed;
        foreach (var character in $"{about}/{id}")
            hash = (hash ^ character) * 16777619;
        return (int)((hash ^ (hash >> 15)) % 100);
    }
}

public sealed record ShopBook(int Reserved, int Money, int Shipped);

public sealed record OrderBook(bool IsReserved, bool IsCharged, IReadOnlyList<string> Commands);
