using System.Globalization;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Streams;
using Millrace.Tests.Chaos;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Lanes;

/// <summary>
/// A backlog in every lane of a stream, which several processes work off while everything goes wrong that <see cref="PatternChaos"/> knows, and somebody
/// moves messages from one lane to another. On each store a tenth of the slice, from the seed <c>MILLRACE_LANES_SEED</c> or a new one.
/// </summary>
public sealed class LaneChaosTests
{
    private const string Orders = "orders";
    private const string Group = "packing";
    private const int Each = 250;
    private const int MaxSteps = 4_000;

    // Of so many at the beginning, when every lane has messages left, 8 : 4 : 1 are of each lane.
    private const int Compared = 325;

    private static readonly string Packed = StreamNames.Derive(Orders, "packed");
    private static readonly string[] Lanes = ["express", "", "bulk"];

    public static TheoryData<string> Places => PatternChaos.Places;

    [Message("order.packed")]
    private sealed record OrderPacked(int Number, string Lane);

    private sealed record Count(int Times);

    [Theory]
    [MemberData(nameof(Places))]
    public Task Every_message_of_every_lane_is_handled_with_its_effects_once_and_no_lane_starves_whatever_dies(string place) =>
        Slice.RunAsync("MILLRACE_LANES_SEED", 0.1, seed => RunAsync(place, seed));

    private static async Task RunAsync(string place, int seed)
    {
        PatternChaos? running = null;
        await using var chaos = await PatternChaos.StartAsync(place, seed, AddConsumer, AddPublisher);
        List<EntryId> bulk = [];
        for (var i = 0; i < Lanes.Length; i++)
        {
            var orders = Enumerable.Range(i * Each, Each).Select(number => new OrderCreated($"o{number}", number)).ToList();
            var ids = await chaos.AskAsync(
                chaos.Desk.Publisher.PublishManyAsync(Orders, orders, new() { Lane = Lanes[i] is "" ? null : Lanes[i] }).AsTask());
            if (Lanes[i] == "bulk")
                bulk.AddRange(ids);
        }

        running = chaos;
        chaos.Begin();
        var moved = 0;
        for (var step = 0; step < MaxSteps && !await chaos.AskAsync(AreAllPackedAsync(chaos)); step++)
        {
            await chaos.StepAsync();
            if (chaos.Random.Next(4) == 0)
                moved += await chaos.AskAsync(MoveAsync(chaos, bulk[chaos.Random.Next(bulk.Count)]));
        }

        await chaos.HealAsync();
        await chaos.UntilAsync(() => FindUnsettledAsync(chaos), MaxSteps);
        await CheckAsync(chaos, moved);

        void AddConsumer(MillraceBuilder millrace) => millrace.AddLanes(Orders, AddLanes).AddMessage<OrderPacked>().AddConsumer<OrderCreated>(
            Orders,
            Group,
            async (order, context, token) =>
            {
                var packed = await context.State.GetAsync<Count>(order.OrderId, token);
                context.State.Put(order.OrderId, new Count((packed?.Times ?? 0) + 1));
                context.Publish(Packed, new OrderPacked((int)order.Total, context.Lane ?? ""));
                await Task.Delay(TimeSpan.FromMilliseconds(40), running?.Time ?? TimeProvider.System, token);
                if (order.Total % 9 == 0 && context.Attempt == 1)
                    throw new InvalidOperationException("as planned");
            },
            options =>
            {
                (options.Concurrency, options.MaxAttempts, options.MaxDeliveries) = (4, 1_000, 1_000);
                (options.RetryBaseDelay, options.RetryMaxDelay) = (TimeSpan.FromMilliseconds(5), TimeSpan.FromMilliseconds(50));
                options.Lease = TimeSpan.FromSeconds(1);
            });
    }

    private static void AddPublisher(MillraceBuilder millrace) => millrace.AddLanes(Orders, AddLanes).AddMessage<OrderCreated>().AddMessage<OrderPacked>();

    private static void AddLanes(LaneOptions lanes)
    {
        lanes.Weight = 4;
        lanes.Add("express", 8).Add("bulk", 1);
    }

    /// <summary>Into another lane, if nobody has it yet and the store is there.</summary>
    private static async Task<int> MoveAsync(PatternChaos chaos, EntryId id)
    {
        try
        {
            var lanes = chaos.Desk.Host.Services.GetRequiredService<PriorityLanes>();
            return await lanes.MoveAsync(Orders, id, "bulk", chaos.Random.Next(2) == 0 ? "express" : null) is null ? 0 : 1;
        }
        catch (StreamException)
        {
            return 0;
        }
    }

    private static async Task<bool> AreAllPackedAsync(PatternChaos chaos)
    {
        try
        {
            return (await chaos.Store.GetStreamInfoAsync(Packed))?.Length >= Lanes.Length * Each;
        }
        catch (StreamException)
        {
            return false;
        }
    }

    private static async Task<string?> FindUnsettledAsync(PatternChaos chaos)
    {
        foreach (var lane in Lanes)
        {
            var stream = lane is "" ? Orders : StreamNames.Lane(Orders, lane);
            var again = StreamNames.Again(stream, Group);
            var group = Assert.Single(await chaos.Store.GetGroupsAsync(stream));
            var retries = (await chaos.Store.GetStreamInfoAsync(again))?.Length ?? 0;
            var delayed = (await chaos.Store.GetScheduleAsync(again)).Count;

            // Where messages were moved away the store may not know how many are unread; one that is has not been packed.
            if (group is not { PendingCount: 0, Lag: 0 or null } || retries + delayed > 0)
                return $"'{lane}' has {group.PendingCount} pending and {group.Lag} unread messages, {retries} retries and {delayed} to come";
        }

        return await AreAllPackedAsync(chaos) ? null : "all are settled, and not all are packed";
    }

    private static async Task CheckAsync(PatternChaos chaos, int moved)
    {
        var packed = await chaos.Host.Reader.ReadAsync<OrderPacked>(Packed, ReadFrom.Start, follow: false).Select(message => message.Body).ToListAsync();
        var early = packed.Take(Compared).CountBy(one => one.Lane).ToDictionary();
        TestContext.Current.TestOutputHelper?.WriteLine(
            $"  {moved} messages moved; of the first {Compared}: {string.Join(", ", Lanes.Select(lane => $"{early.GetValueOrDefault(lane)} {lane}"))}");
        Assert.Equal(Enumerable.Range(0, Lanes.Length * Each), packed.Select(one => one.Number).Order());
        for (var number = 0; number < Lanes.Length * Each; number++)
        {
            var count = await chaos.Host.Publisher.NewCommit(Orders).State.GetAsync<Count>(string.Create(CultureInfo.InvariantCulture, $"o{number}"));
            Assert.True(count?.Times == 1, $"seed {chaos.Seed}: order {number} has counted {count}");
        }

        Assert.Empty(await chaos.Store.RangeAsync(StreamNames.DeadLetters(Orders, Group), new()));
        foreach (var (lane, weight) in Lanes.Zip([8, 4, 1]))
            Assert.True(early.GetValueOrDefault(lane) >= Compared * weight / 13 / 2, $"seed {chaos.Seed}: '{lane}' had {early.GetValueOrDefault(lane)}");
    }
}
