using Millrace.Embedded;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Incidents;

/// <summary>
/// What happened to users of other systems, each as a test of what we promise instead; <c>docs/incidents.md</c> lists them. The nested classes
/// run the tests of a class on the embedded store, where they give no server, and on Redis.
/// </summary>
/// <param name="redis">The server, or <see langword="null"/>: the embedded store.</param>
public abstract class IncidentTests(SharedRedis? redis) : IAsyncLifetime
{
    protected const string Group = "billing";

    /// <summary>The shortest there is, for tests that have to wait until one is over.</summary>
    protected static readonly TimeSpan ShortLease = TimeSpan.FromMilliseconds(500);

    private IStreamStore? _store;

    protected IStreamStore Store => _store!;

    protected string Stream { get; } = $"orders-{Guid.NewGuid():N}";

    protected string Done => $"{Stream}-done";

    protected string Again => StreamNames.Again(Stream, Group);

    protected string Dead => StreamNames.DeadLetters(Stream, Group);

    protected GroupDeadLetters Letters => new Millrace.DeadLetters(Store).Of(Stream, Group);

    public async ValueTask InitializeAsync() =>
        _store = redis is null ? new EmbeddedStreamStore(new()) : new RedisStreamStore(RedisOptions.Parse((await redis.StartedAsync()).Endpoint));

    public ValueTask DisposeAsync() => Store.DisposeAsync();

    /// <summary>A process with one consumer.</summary>
    protected Task<ConsumerHost> StartAsync(
        Func<OrderCreated, MessageContext, CancellationToken, Task> handle,
        Action<ConsumerOptions>? configure = null,
        string instance = "local",
        string group = Group,
        IStreamStore? store = null) => ConsumerHost.StartAsync(
        m => m.AddConsumer(Stream, group, handle, o =>
        {
            o.RetryBaseDelay = TimeSpan.FromMilliseconds(1);
            configure?.Invoke(o);
        }),
        store ?? Store,
        instance: instance);

    /// <summary>A process whose handler waits for nothing.</summary>
    protected Task<ConsumerHost> StartAsync(
        Action<OrderCreated, MessageContext> handle,
        Action<ConsumerOptions>? configure = null,
        string instance = "local",
        string group = Group,
        IStreamStore? store = null) => StartAsync(
        (order, context, _) =>
        {
            handle(order, context);
            return Task.CompletedTask;
        },
        configure,
        instance,
        group,
        store);

    /// <summary>A process that publishes what it handles to <see cref="Done"/>.</summary>
    protected Task<ConsumerHost> StartDoneAsync(
        Action<ConsumerOptions>? configure = null, string instance = "local", string group = Group, IStreamStore? store = null) =>
        StartAsync((order, context) => context.Publish(Done, new OrderPaid(order.OrderId)), configure, instance, group, store);

    protected Task PublishAsync(ConsumerHost host, params string[] orders) =>
        host.Publisher.PublishManyAsync<OrderCreated>(Stream, [.. orders.Select(order => new OrderCreated(order, 1))]).AsTask();

    /// <summary>Publishes as another process would that has no consumers.</summary>
    protected async Task PublishAsync(params string[] orders)
    {
        await using var host = await ConsumerHost.StartAsync(_ => { }, Store, instance: "publisher");
        await PublishAsync(host, orders);
    }

    /// <summary>The orders of these numbers.</summary>
    protected static string[] Orders(int count) => [.. Enumerable.Range(0, count).Select(i => $"o{i}")];

    /// <summary>Delivers what is new to a consumer that is no process of ours, or of one that died.</summary>
    protected async Task<IReadOnlyList<DeliveredEntry>> DeliverAsync(string consumer, int count)
    {
        await Store.CreateGroupAsync(Stream, Group, GroupStart.Beginning);
        var batches = await Store.ReadGroupAsync(new() { Group = Group, Consumer = consumer, Streams = [Stream], Count = count });
        return Assert.Single(batches).Entries;
    }

    /// <summary>The orders that were handled, in the order of their commits.</summary>
    protected async Task<IReadOnlyList<string>> HandledAsync() => [.. (await Store.RangeAsync(Done, new())).Select(OrderOf)];

    protected Task WhenHandledAsync(string order) =>
        Eventually.TrueAsync($"{order} is handled", async () => (await HandledAsync()).Contains(order));

    protected Task WhenPendingAsync(int count) => Eventually.TrueAsync($"{count} entries are held", async () =>
        (await Store.GetGroupsAsync(Stream)).FirstOrDefault(group => group.Name == Group)?.PendingCount >= count);

    protected async Task<long> AddedAsync(string stream) => (await Store.GetStreamInfoAsync(stream))?.EntriesAdded ?? 0;

    private static string OrderOf(StreamEntry entry)
    {
        using var data = System.Text.Json.JsonDocument.Parse(entry.Fields.GetText("data"u8)!);
        return data.RootElement.GetProperty("orderId").GetString()!;
    }
}
