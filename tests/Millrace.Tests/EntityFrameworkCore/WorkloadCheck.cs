using System.Globalization;
using Microsoft.EntityFrameworkCore;
using Millrace.OutboxWorker;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>What must be true of the <see cref="Workload"/> in the end, whatever was killed meanwhile.</summary>
internal static class WorkloadCheck
{
    // Each process writes its numbers upwards, from a multiple of this on.
    public const int NumbersOfProcess = 100_000;

    /// <summary>Waits until all rows are relayed and all messages handled.</summary>
    public static async Task SettledAsync(Func<ShopDb> open, IStreamStore store, string stream)
    {
        await Eventually.TrueAsync("all rows are relayed", async () =>
        {
            await using var db = open();
            return !await db.Outbox.AnyAsync();
        });
        var again = StreamNames.Again(stream, Workload.Group);
        await Eventually.TrueAsync("all messages are handled, and nothing waits for another attempt", async () =>
            (await store.GetGroupsAsync(stream)).FirstOrDefault(info => info.Name == Workload.Group) is { PendingCount: 0, Lag: 0 } &&
            (await store.GetScheduleAsync(again)).Count == 0 &&
            ((await store.GetGroupsAsync(again)).FirstOrDefault() is not { } retries || retries is { PendingCount: 0, Lag: 0 }));
    }

    /// <summary>Every committed order is published once, in the order of its key, and noted once; and none that was rolled back.</summary>
    public static async Task<List<int>> CheckAsync(Func<ShopDb> open, IStreamStore store, MessageCodec codec, string stream)
    {
        await using var db = open();
        var names = await db.Orders.Select(order => order.Name).ToListAsync();
        var noted = names.Where(name => name.StartsWith(Workload.Noted, StringComparison.Ordinal))
            .Select(name => int.Parse(name[Workload.Noted.Length..], CultureInfo.InvariantCulture)).Order().ToList();
        var committed = names.Where(name => !name.StartsWith(Workload.Noted, StringComparison.Ordinal))
            .Select(name => int.Parse(name, CultureInfo.InvariantCulture)).Order().ToList();
        var published = (await store.RangeAsync(stream, new() { Count = StreamLimits.MaxBatch }))
            .Select(entry => ((Placed)codec.Decode(entry.Id, entry.Fields)).Number).ToList();

        Assert.Equal(committed, published.Order());
        Assert.Equal(committed, noted);
        foreach (var key in published.GroupBy(number => (number / NumbersOfProcess, number % Workload.Keys)))
            Assert.Equal(key.Order(), key);
        Assert.DoesNotContain(committed, number => number % 5 == 4);
        Assert.Empty(await store.RangeAsync(StreamNames.DeadLetters(stream, Workload.Group), new()));
        return committed;
    }
}
