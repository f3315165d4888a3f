using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Retention;

public sealed class RedisRetentionTests(SharedRedis redis) : RetentionContract, IAsyncLifetime
{
    private RedisStreamStore? _store;

    protected override IStreamStore Store => _store!;

    public async ValueTask InitializeAsync() => _store = new(RedisOptions.Parse((await redis.StartedAsync()).Endpoint));

    public ValueTask DisposeAsync() => Store.DisposeAsync();

    /// <summary>As many of them as of the small ones are more than an answer may hold.</summary>
    [Fact]
    public async Task Large_entries_behind_small_ones_do_not_stop_retention()
    {
        var options = RedisOptions.Parse((await redis.StartedAsync()).Endpoint);
        options.MaxReplyBytes = 8 * 1024 * 1024;
        await using var store = new RedisStreamStore(options);
        var stream = $"orders-{Guid.NewGuid():N}";
        await store.AppendManyAsync(stream, [.. Enumerable.Repeat(EntryFields.Create(("data", "x")), 1_000)]);
        foreach (var _ in Enumerable.Range(0, 60))
            await store.AppendAsync(stream, EntryFields.Create(("data", new string('x', 200_000))));

        var result = await new Millrace.Retention(store).ApplyAsync(stream, new() { MaxCount = 7 });

        Assert.Equal((1_053L, 7L), (result.Entries, (await store.GetStreamInfoAsync(stream))!.Length));
    }
}
