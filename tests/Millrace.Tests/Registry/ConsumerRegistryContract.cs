using System.Collections.Concurrent;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Registry;

/// <summary>Who consumes, and what becomes of the dead, the same on every store. The clock of the processes moves by hand.</summary>
public abstract class ConsumerRegistryContract
{
    private const string Group = "billing";

    private static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    private readonly ManualTimeProvider _time = new();
    private readonly string _stream = $"orders-{Guid.NewGuid():N}";

    protected abstract IStreamStore Store { get; }

    private ConsumerRegistry Registry => new(Store);

    [Fact]
    public async Task Live_consumers_say_who_they_are_and_what_they_hold()
    {
        var started = new TaskCompletionSource();
        await using var host = await StartAsync("a", HandleAsync);
        await using var other = await StartAsync("b", HandleAsync);
        await host.Publisher.PublishAsync(_stream, new OrderCreated("o1", 1));
        await BeatUntilAsync("a handler runs", () => Task.FromResult(started.Task.IsCompleted));
        IReadOnlyList<GroupConsumer> consumers = [];
        await BeatUntilAsync("both say what they hold", async () =>
            (consumers = await ListAsync()).Count(consumer => consumer.IsAlive) == 2 && consumers.Sum(consumer => consumer.Instance!.Running) == 1);

        Assert.Equal(["a", "b"], consumers.Select(consumer => consumer.Name));
        Assert.All(consumers, consumer => Assert.Equal(
            (consumer.Name, Environment.MachineName, Environment.ProcessId, 8),
            (consumer.Instance!.Name, consumer.Instance.Host, consumer.Instance.ProcessId, consumer.Instance.Concurrency)));
        Assert.Equal(1, consumers.Sum(consumer => consumer.Instance!.Held));
        Assert.Equal(1, consumers.Sum(consumer => consumer.PendingCount));
        Assert.NotNull(host.Host.Services.GetRequiredService<ConsumerRegistry>());

        Task HandleAsync(CancellationToken cancellationToken)
        {
            started.TrySetResult();
            return Task.Delay(Timeout.Infinite, cancellationToken);
        }
    }

    [Fact]
    public async Task Group_that_does_not_exist_has_no_consumers() => Assert.Empty(await ListAsync());

    [Fact]
    public async Task Consumer_of_another_program_is_listed_without_a_document()
    {
        await Store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
        await Store.CreateConsumerAsync(_stream, Group, "node");

        Assert.Equal(new GroupConsumer("node", 0, null), Assert.Single(await ListAsync()));
    }

    /// <summary>Two say so, the one that reads and the one that goes on saying it: where either fails, the other must not rely on it.</summary>
    [Fact]
    public async Task Consumer_says_that_it_lives_before_it_is_in_its_group()
    {
        var writes = 0;
        var said = new ConcurrentQueue<bool>();
        var store = FaultyStore.Wrap(Store, (member, arguments) =>
        {
            if (member == nameof(IStreamStore.CreateConsumerAsync))
                said.Enqueue(Store.GetStateAsync(Document("a")).AsTask().GetAwaiter().GetResult() is not null);
            var isWrite = member == nameof(IStreamStore.CommitAsync) && ((IReadOnlyList<Commit>)arguments[0]!)
                .SelectMany(static commit => commit.Changes).Any(change => change is CommitChange.PutState put && put.Key == Document("a"));
            return isWrite && Interlocked.Increment(ref writes) == 1 ? FaultyStore.Fault.Before : FaultyStore.Fault.None;
        });

        await using var host = await StartAsync("a", store: store);
        await Eventually.TrueAsync("it lives", async () => await ListAsync() is [{ IsAlive: true }]);

        Assert.DoesNotContain(false, said);
        Assert.NotEmpty(said);
    }

    [Fact]
    public async Task Consumer_that_stands_by_is_in_its_group_from_the_start()
    {
        await using var host = await StartAsync("a", orderedBy: nameof(OrderCreated.OrderId));
        await Eventually.TrueAsync("one reads", async () => await ListAsync() is [{ IsAlive: true }]);

        await using var other = await StartAsync("b", orderedBy: nameof(OrderCreated.OrderId));

        await Eventually.TrueAsync("the other one lives", async () => await ListAsync() is [_, { Name: "b", IsAlive: true }]);
    }

    [Fact]
    public async Task Stopped_consumer_leaves_its_group_at_once()
    {
        await using var host = await StartAsync("a");
        await using var other = await StartAsync("b");
        await BeatUntilAsync("both live", async () => (await ListAsync()).Count(consumer => consumer.IsAlive) == 2);

        await host.StopAsync();

        Assert.Equal(["b"], (await ListAsync()).Select(consumer => consumer.Name));
        Assert.Null(await Store.GetStateAsync(Document("a")));
    }

    [Fact]
    public async Task Dead_consumer_is_deleted_only_after_its_entries_are_claimed()
    {
        await Store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
        await Store.CreateGroupAsync(StreamNames.Again(_stream, Group), Group, GroupStart.Beginning);
        await Store.CreateConsumerAsync(StreamNames.Again(_stream, Group), Group, "dead");
        var id = await Store.AppendAsync(_stream, EntryFields.Create(("type", "unknown")));
        await Store.ReadGroupAsync(new() { Group = Group, Consumer = "dead", Streams = [_stream] });
        await using var host = await StartAsync("a");

        await BeatUntilAsync("it leaves where it holds nothing", async () =>
            (await Store.GetConsumersAsync(StreamNames.Again(_stream, Group), Group)).All(consumer => consumer.Name != "dead"));
        Assert.Equal(1, Assert.Single(await ListAsync(), consumer => consumer.Name == "dead").PendingCount);

        await Store.ClaimAsync(_stream, Group, new() { Consumer = "a", Ids = [id], MinIdleTime = TimeSpan.Zero });
        await BeatUntilAsync("it leaves altogether", async () => (await ListAsync()).All(consumer => consumer.Name != "dead"));
        Assert.Equal(id, Assert.Single(await Store.PendingAsync(_stream, Group, new())).Id);
    }

    [Fact]
    public async Task Consumer_whose_document_is_there_stays_however_idle_it_is()
    {
        await Store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
        foreach (var name in new[] { "idle", "dead" })
            await Store.CreateConsumerAsync(_stream, Group, name);
        await Store.CommitAsync(new Commit { Changes = [new CommitChange.PutState(Document("idle"), "{}"u8.ToArray())] });
        await using var host = await StartAsync("a");

        await BeatUntilAsync("the dead one leaves", async () => await NamesAsync() is ["a", "idle"]);

        await Assert.ThrowsAsync<JsonException>(async () => await ListAsync());
    }

    [Fact]
    public async Task Killed_consumer_keeps_its_name_in_the_group_until_its_document_expires()
    {
        await using var host = await StartAsync("a");
        await BeatUntilAsync("it lives", async () => (await ListAsync()) is [{ IsAlive: true }]);

        await host.AbortAsync();

        Assert.True(Assert.Single(await ListAsync()).IsAlive);
    }

    private StateKey Document(string consumer) => new(_stream, $"millrace/consumer/{Group}/{consumer}");

    private ValueTask<IReadOnlyList<GroupConsumer>> ListAsync() => Registry.ListAsync(_stream, Group);

    private async Task<List<string>> NamesAsync() =>
        [.. (await Store.GetConsumersAsync(_stream, Group)).Select(consumer => consumer.Name)];

    /// <summary>Lets the processes write their documents again and again.</summary>
    private Task BeatUntilAsync(string reason, Func<Task<bool>> condition) => Eventually.TrueAsync(reason, async () =>
    {
        _time.Advance(Interval);
        return await condition();
    });

    private Task<ConsumerHost> StartAsync(
        string instance, Func<CancellationToken, Task>? handle = null, IStreamStore? store = null, string? orderedBy = null) => ConsumerHost.StartAsync(
        millrace => millrace.AddConsumer<OrderCreated>(
            _stream, Group, (_, _, token) => handle?.Invoke(token) ?? Task.CompletedTask, options =>
            {
                options.OrderedBy = orderedBy;
                options.Lease = TimeSpan.FromDays(1);
                options.HandlerTimeout = Timeout.InfiniteTimeSpan;
            }),
        store ?? Store, _time, instance: instance);
}
