using Microsoft.Extensions.DependencyInjection;
using Millrace.Sagas;
using Millrace.Streams;
using Millrace.Tests.Chaos;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Sagas;

/// <summary>
/// Many checkouts whose services refuse, are slow and say nothing, while everything goes wrong that <see cref="PatternChaos"/> knows. On each store a
/// tenth of the slice, from the seed <c>MILLRACE_SAGA_SEED</c> or a new one.
/// </summary>
public sealed class SagaChaosTests
{
    private const int Checkouts = 50;

    // What time-outs, leases and retries of all checkouts take, many times over.
    private const int MaxSteps = 4_000;
    private const int LookEvery = 8;

    public static TheoryData<string> Places => PatternChaos.Places;

    [Theory]
    [MemberData(nameof(Places))]
    public Task Checkouts_in_chaos_all_end_with_money_and_stock_balanced_and_no_command_sent_twice(string place) =>
        Slice.RunAsync("MILLRACE_SAGA_SEED", 0.1, seed => RunAsync(place, seed));

    private static async Task RunAsync(string place, int seed)
    {
        // A server takes seconds to come back where the machine is busy; then everything would take too long.
        var shop = new SagaShop($"shop-{seed}", seed, TimeSpan.FromSeconds(place == PatternChaos.Embedded ? 2 : 5));
        await using var chaos = await PatternChaos.StartAsync(place, seed, shop.AddTo, desk => desk.AddMessage<OrderPlaced>());
        chaos.Begin();
        for (var order = 0; order < Checkouts; order++)
        {
            // Nobody knows whether an order was placed whose answer was lost, so it is placed again; the checkout begins once.
            await chaos.InsistAsync(async () => await chaos.Desk.Publisher.PublishAsync(shop.Orders, new OrderPlaced($"{order}", SagaShop.Price)));
            await chaos.StepAsync();
        }

        for (var step = 0; step < Checkouts; step++)
            await chaos.StepAsync();
        await chaos.HealAsync();
        var looks = 0;
        await chaos.UntilAsync("all checkouts ended", MaxSteps, async () => ++looks % LookEvery == 0 && await IsQuietAsync(chaos, shop));
        await CheckAsync(chaos, shop);
    }

    private static SagaStore<CheckoutState> SagasOf(PatternChaos chaos) => chaos.Host.Host.Services.GetRequiredService<SagaStore<CheckoutState>>();

    /// <summary>Whether every saga has ended and nothing is on its way any more; sagas that need attention get it.</summary>
    private static async Task<bool> IsQuietAsync(PatternChaos chaos, SagaShop shop)
    {
        var isQuiet = true;
        await foreach (var saga in SagasOf(chaos).ListActiveAsync())
        {
            isQuiet = false;
            if (saga.Status == SagaStatus.NeedsAttention)
                await SagasOf(chaos).RetryAsync(saga.Id, "once more");
        }

        foreach (var stream in shop.Streams.TakeWhile(_ => isQuiet))
        {
            var again = StreamNames.Again(stream, SagaShop.Group);
            isQuiet = (await chaos.Store.GetGroupsAsync(stream)).All(group => group is { PendingCount: 0, Lag: 0 }) &&
                (await chaos.Store.GetStreamInfoAsync(again))?.Length is null or 0 &&
                (await chaos.Store.GetScheduleAsync(stream)).Count + (await chaos.Store.GetScheduleAsync(again)).Count == 0;
        }

        return isQuiet;
    }

    private static async Task CheckAsync(PatternChaos chaos, SagaShop shop)
    {
        var ended = await SagasOf(chaos).ListEndedAsync().ToDictionaryAsync(saga => saga.Id);
        var completed = ended.Values.Count(saga => saga.Status == SagaStatus.Completed);
        var reasons = ended.Values.CountBy(saga => saga.Reason ?? "completed").Select(reason => $"{reason.Key} {reason.Value}");
        TestContext.Current.TestOutputHelper?.WriteLine($"  {string.Join(", ", reasons)}");
        Assert.Equal(Checkouts, ended.Count);
        Assert.All(ended.Values, saga => Assert.True(saga.EndedAt is not null, $"seed {chaos.Seed}: {saga.Id} is {saga.Status}"));

        var commit = chaos.Host.Publisher.NewCommit(shop.Orders);
        foreach (var saga in ended.Values)
        {
            var order = await shop.ReadOrderAsync(commit, saga.Id);
            var isDone = saga.Status == SagaStatus.Completed;
            Assert.True((isDone, isDone) == (order.IsReserved, order.IsCharged), $"seed {chaos.Seed}: {saga.Id} is {saga.Status}, and {order}");
            Assert.All(order.Commands.Where(command => command != "refund").CountBy(command => command), command =>
                Assert.True(command.Value == 1, $"seed {chaos.Seed}: {command.Key} of {saga.Id} came {command.Value} times"));
        }

        var book = await shop.ReadBookAsync(commit);
        Assert.Equal((completed, completed * SagaShop.Price), (book.Reserved, book.Money));
        var told = (await chaos.Store.RangeAsync(shop.Out, new()))
            .Select(entry => new MessageHeaders(entry.Id, entry.Fields).Type)
            .CountBy(type => type)
            .ToDictionary();
        Assert.Equal(completed, told.GetValueOrDefault("shop.order-completed"));
        var cancelled = await chaos.Host.Reader.ReadAsync<OrderCancelled>(shop.Out, ReadFrom.Start, follow: false)
            .Select(message => message.Body.OrderId).ToListAsync();
        Assert.Equal(Checkouts - completed, cancelled.Distinct().Count());
        foreach (var (id, count) in cancelled.CountBy(id => id).Where(order => order.Value > 1))
        {
            // The lorry that was refused after the checkout had taken too long: who finds no saga says it again.
            var isRefusedLate = ended[id].Reason != SagaShop.NoLorry && (await shop.ReadOrderAsync(commit, id)).Commands.Contains("ship");
            Assert.True(isRefusedLate && count == 2, $"seed {chaos.Seed}: {id} was told to be cancelled {count} times");
        }
    }
}
