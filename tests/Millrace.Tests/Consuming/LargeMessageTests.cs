using System.Collections.Concurrent;
using Millrace.Embedded;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Clients;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

/// <summary>A backlog of large messages, the same on every store.</summary>
public abstract class LargeMessageTests(Func<Task<string>>? endpoint = null) : IAsyncLifetime
{
    private const string Group = "billing";
    private const int LargeBytes = 1024 * 1024;
    private const int Count = 200;

    private readonly string _stream = $"orders-{Guid.NewGuid():N}";
    private readonly ConcurrentBag<long> _deliveryCounts = [];
    private IStreamStore _store = null!;

    public sealed class OnEmbedded : LargeMessageTests;

    public sealed class OnServer(SharedMillrace millrace) : LargeMessageTests(async () => $"127.0.0.1:{(await millrace.StartedAsync()).Endpoint.Port}");

    public sealed class OnRedis(SharedRedis redis) : LargeMessageTests(async () => (await redis.StartedAsync()).Endpoint)
    {
        /// <summary>Only there is there a limit that a read can exceed.</summary>
        [Fact]
        public Task Large_messages_after_small_ones_cost_a_read_and_no_message() => ReadAfterSmallOnesAsync();

        /// <summary>Nothing says how large they are, and a claim that fails costs each of them a delivery.</summary>
        [Fact]
        public Task Large_messages_behind_small_ones_are_taken_over_at_once() => TakeOverBehindSmallOnesAsync();

        [Fact]
        public Task Entry_larger_than_any_answer_keeps_none_behind_it_from_being_taken_over() => TakeOverBehindTooLargeAsync();
    }

    public async ValueTask InitializeAsync() =>
        _store = endpoint is null ? new EmbeddedStreamStore(new()) : new RedisStreamStore(RedisOptions.Parse(await endpoint()));

    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        await _store.DeleteStreamAsync(_stream);
        await _store.DisposeAsync();
    }

    [Fact]
    public async Task Large_messages_are_read_ahead_by_their_bytes_and_delivered_once()
    {
        await AppendAsync(LargeBytes, Count);
        var goOn = new TaskCompletionSource();
        var (running, allRun) = (0, new TaskCompletionSource());
        await using var host = await StartAsync(async context =>
        {
            if (Interlocked.Increment(ref running) == 100)
                allRun.SetResult();
            await goOn.Task;
        });
        await allRun.Task.WaitAsync(Eventually.Deadline);

        // A read that waits is given what there is; so a message that finds no room here is not given to anybody.
        var room = 16 * 1024 * 1024 / LargeBytes;
        await Eventually.TrueAsync("the rest of the room is taken", async () => (await _store.PendingSummaryAsync(_stream, Group)).Count > 100);
        Assert.InRange((await _store.PendingSummaryAsync(_stream, Group)).Count, 100 + 1, 100 + room);

        goOn.SetResult();
        await host.WhenSettledAsync(_stream, Group);
        Assert.Equal(Enumerable.Repeat(1L, Count), _deliveryCounts);
    }

    private async Task ReadAfterSmallOnesAsync()
    {
        const int small = 3_000;
        await AppendAsync(100, small);
        await AppendAsync(LargeBytes, Count);

        await using var host = await StartAsync(_ => Task.CompletedTask);

        await host.WhenSettledAsync(_stream, Group);
        Assert.Equal(small + Count, _deliveryCounts.Count);
        Assert.InRange(_deliveryCounts.Max(), 1, 2);
    }

    private async Task TakeOverBehindSmallOnesAsync()
    {
        const int small = 60;
        await AppendAsync(100, small);
        await AppendAsync(LargeBytes, Count);
        await _store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
        for (var read = 0; read < small + Count; read += 20)
            await _store.ReadGroupAsync(new() { Group = Group, Consumer = "local", Streams = [_stream], Count = 20 });

        await using var host = await StartAsync(_ => Task.CompletedTask);

        await host.WhenSettledAsync(_stream, Group);
        Assert.Equal(Enumerable.Repeat(2L, small + Count), _deliveryCounts);
    }

    /// <summary>All are its own of a run before, and were delivered twice: each may be what ended that. The one in the middle cannot be read.</summary>
    private async Task TakeOverBehindTooLargeAsync()
    {
        foreach (var bytes in new[] { 1, LargeBytes, 1 })
            await AppendAsync(bytes, 1);
        await _store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
        await _store.ReadGroupAsync(new() { Group = Group, Consumer = "local", Streams = [_stream], Count = 3 });
        var ids = (await _store.PendingAsync(_stream, Group, new() { Count = 3 })).Select(pending => pending.Id).ToList();
        await _store.ClaimAsync(_stream, Group, new() { Consumer = "local", Ids = ids, MinIdleTime = TimeSpan.Zero });
        var options = RedisOptions.Parse(await endpoint!());
        options.MaxReplyBytes = LargeBytes / 2;
        await using var store = new RedisStreamStore(options);

        await using var host = await StartAsync(_ => Task.CompletedTask, store, lease: TimeSpan.FromSeconds(5));

        await Eventually.TrueAsync("the one behind it is handled", async () =>
            (await _store.PendingAsync(_stream, Group, new() { Count = 3 })) is [var left] && left.Id == ids[1]);
        Assert.True(_deliveryCounts.Count >= 2 && _deliveryCounts.Min() == 3, string.Join(", ", _deliveryCounts));
    }

    private async Task AppendAsync(int bytes, int count)
    {
        var data = $$"""{"orderId":"{{new string('x', bytes)}}","total":1}""";
        for (var i = 0; i < count; i++)
            await _store.AppendAsync(_stream, EntryFields.Create(("type", "order.created"), ("schemaversion", "2"), ("data", data)));
    }

    private Task<ConsumerHost> StartAsync(Func<MessageContext, Task> handle, IStreamStore? store = null, TimeSpan? lease = null) => ConsumerHost.StartAsync(
        m => m.AddConsumer<OrderCreated>(
            _stream,
            Group,
            async (_, context, _) =>
            {
                _deliveryCounts.Add(context.DeliveryCount);
                await handle(context);
            },
            o => (o.Concurrency, o.HandlerTimeout, o.Lease) = (100, Timeout.InfiniteTimeSpan, lease ?? o.Lease)),
        store ?? _store);
}
