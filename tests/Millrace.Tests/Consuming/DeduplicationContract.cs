using System.Collections.Concurrent;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Monitoring;

namespace Millrace.Tests.Consuming;

/// <summary>Messages that are published again within the window, the same on every store.</summary>
public abstract class DeduplicationContract
{
    private const string Group = "billing";

    private static readonly TimeSpan Window = TimeSpan.FromHours(1);

    private readonly string _stream = $"orders-{Guid.NewGuid():N}";
    private readonly ConcurrentQueue<string> _handled = new();

    protected abstract IStreamStore Store { get; }

    [Fact]
    public async Task Message_published_again_is_acknowledged_and_counted_without_its_handler()
    {
        await using var host = await StartAsync();
        using var recorder = new MeterRecorder(host, name => name == "millrace.duplicates");

        await PublishAsync(host, "m1", "m1", "m2", "m1");
        await host.WhenSettledAsync(_stream, Group);
        await PublishAsync(host, "m2", "m3");
        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal(["m1", "m2", "m3"], _handled.Order());
        await recorder.WhenCountedAsync("millrace.duplicates", 3);
        Assert.Equal(3, recorder.Of("millrace.duplicates").Count);
    }

    [Fact]
    public async Task Failed_attempt_does_not_count_as_handled_and_the_one_that_succeeds_does()
    {
        await using var host = await StartAsync(context => context.Attempt < 3
            ? throw new InvalidOperationException("not yet")
            : Task.CompletedTask);

        await PublishAsync(host, "m1");
        await Eventually.TrueAsync("the third attempt was handled", () => ValueTask.FromResult(!_handled.IsEmpty));
        await WhenAllIsSettledAsync(host);
        await PublishAsync(host, "m1");
        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal(["m1"], _handled);
    }

    [Fact]
    public async Task Dead_letter_does_not_count_as_handled_so_that_it_can_be_redriven()
    {
        var isFixed = false;
        await using var host = await StartAsync(
            _ => isFixed ? Task.CompletedTask : throw new MessageRejectedException("bad"));
        await PublishAsync(host, "m1");
        var dead = await host.ReadAsync(StreamNames.DeadLetters(_stream, Group));
        isFixed = true;

        await new Millrace.DeadLetters(Store).Of(_stream, Group).RedriveAsync(dead[0].Id, new() { By = "ann" });

        await Eventually.TrueAsync("the redriven message is handled", () => ValueTask.FromResult(!_handled.IsEmpty));
    }

    [Fact]
    public async Task Message_settled_by_hand_counts_as_handled()
    {
        await using var host = await StartAsync(async context => Assert.True(await context.AckAsync()));

        await PublishAsync(host, "m1", "m1");
        await host.WhenSettledAsync(_stream, Group);
        await PublishAsync(host, "m1");
        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal(["m1"], _handled);
    }

    [Fact]
    public async Task Another_process_remembers_and_another_group_has_a_memory_of_its_own()
    {
        await using (var first = await StartAsync())
        {
            await PublishAsync(first, "m1");
            await first.WhenSettledAsync(_stream, Group);
            await first.StopAsync();
        }

        await using var second = await StartAsync(instance: "second");
        await using var other = await StartAsync(group: "other", instance: "other");
        await PublishAsync(second, "m1");
        await second.WhenSettledAsync(_stream, Group);
        await other.WhenSettledAsync(_stream, "other");

        Assert.Equal(["m1", "m1"], _handled); // The first group's once, and the other's of both copies once.
    }

    [Fact]
    public async Task Copies_that_run_in_two_processes_at_once_have_their_effects_once()
    {
        var both = new Barrier(2);
        var runs = 0;
        Task Run(MessageContext context)
        {
            // The first run of each process waits for the other's; a run after a conflict would find the message handled.
            if (Interlocked.Increment(ref runs) <= 2)
                Assert.True(both.SignalAndWait(Eventually.Deadline));
            context.Publish($"{_stream}-done", new OrderPaid(context.MessageId));
            return Task.CompletedTask;
        }

        await using var first = await StartAsync(Run, instance: "first", prefetch: 0, concurrency: 1);
        await using var second = await StartAsync(Run, instance: "second", prefetch: 0, concurrency: 1);
        await PublishAsync(first, "m1");
        await PublishAsync(first, "m1");
        await first.WhenSettledAsync(_stream, Group);

        Assert.Equal(2, runs);
        Assert.Single(await Store.RangeAsync($"{_stream}-done", new()));
    }

    [Fact]
    public async Task Copies_of_many_messages_shuffled_over_two_processes_have_their_effects_once()
    {
        const int messages = 150;
        Task Run(MessageContext context)
        {
            context.Publish($"{_stream}-done", new OrderPaid(context.MessageId));
            return Task.CompletedTask;
        }

        await using var first = await StartAsync(Run, instance: "first");
        await using var second = await StartAsync(Run, instance: "second");
        var ids = Enumerable.Range(0, 3 * messages).Select(i => $"m{i % messages}").ToArray();
        new Random(5).Shuffle(ids);
        await PublishAsync(first, ids);
        await first.WhenSettledAsync(_stream, Group);

        var done = await Store.RangeAsync($"{_stream}-done", new() { Count = 1_000 });
        Assert.Equal(messages, done.Select(entry => entry.Fields.GetText("causationid"u8)).Distinct().Count());
        Assert.Equal(messages, done.Count);
    }

    [Fact]
    public async Task Message_published_again_after_the_window_is_handled_again()
    {
        await using var host = await StartAsync(window: TimeSpan.FromSeconds(1));
        await PublishAsync(host, "m1");

        await Eventually.TrueAsync("the store has forgotten it", async () =>
        {
            await PublishAsync(host, "m1");
            await host.WhenSettledAsync(_stream, Group);
            return _handled.Count > 1;
        });
    }

    /// <summary>Entries of another program: the second one was acknowledged unhandled, as a copy of the first.</summary>
    [Fact]
    public async Task Entries_without_an_id_are_two_messages_where_two_lanes_give_them_the_same_entry_id()
    {
        var messages = new ConcurrentQueue<string>();
        await using var host = await StartAsync(
            context =>
            {
                messages.Enqueue(context.MessageId);
                context.Publish($"{_stream}-done", new OrderPaid(context.MessageId));
                return Task.CompletedTask;
            },
            hasLanes: true);
        await AppendAsync(_stream, "standard");
        await host.WhenSettledAsync(_stream, Group);
        await AppendAsync(Express, "express");
        await host.WhenSettledAsync(Express, Group);
        await host.StopAsync();

        Assert.Equal(["standard", "express"], _handled);
        Assert.Equal(["1700000000000-0", $"{Express}/1700000000000-0"], messages); // Where there are no lanes, and in the stream itself, it is as it was.
        var done = await Store.RangeAsync($"{_stream}-done", new());
        Assert.Equal(2, done.Select(entry => entry.Fields.GetText("id"u8)).Distinct().Count());
    }

    /// <summary>The letters of all lanes are in one stream, and come back without a lane.</summary>
    [Fact]
    public async Task Letter_of_a_lane_without_an_id_is_still_another_message_when_it_is_redriven()
    {
        await using var host = await StartAsync(
            context => context.Lane is null ? Task.CompletedTask : throw new MessageRejectedException("bad"), hasLanes: true);
        await AppendAsync(Express, "express");
        var letter = Assert.Single(await host.ReadAsync(StreamNames.DeadLetters(_stream, Group)));
        await AppendAsync(_stream, "standard");
        await host.WhenSettledAsync(_stream, Group);

        await new Millrace.DeadLetters(Store).Of(_stream, Group).RedriveAsync(letter.Id, new() { By = "ann" });

        await Eventually.TrueAsync("the redriven message is handled", () => new(_handled.Count == 2));
        Assert.Equal(["standard", "express"], _handled);
    }

    private string Express => StreamNames.Lane(_stream, "express");

    /// <summary>What another program writes.</summary>
    private async Task AppendAsync(string stream, string order)
    {
        var fields = EntryFields.Create(("type", "order.created"), ("schemaversion", "2"), ("data", $"{{\"orderId\":\"{order}\",\"total\":1}}"));
        await Store.CommitAsync(new Commit { Changes = [new CommitChange.Append(stream, fields, new EntryId(1_700_000_000_000, 0))] });
    }

    private async Task WhenAllIsSettledAsync(ConsumerHost host)
    {
        await host.WhenSettledAsync(_stream, Group);
        await Eventually.TrueAsync("the private stream is empty", async () =>
            (await Store.GetStreamInfoAsync(StreamNames.Again(_stream, Group)))!.Length == 0);
    }

    private async Task PublishAsync(ConsumerHost host, params string[] ids)
    {
        foreach (var id in ids)
            await host.Publisher.PublishAsync(_stream, new OrderCreated(id, 1), new() { MessageId = id });
    }

    private Task<ConsumerHost> StartAsync(
        Func<MessageContext, Task>? handle = null,
        string group = Group,
        string instance = "local",
        TimeSpan? window = null,
        int? prefetch = null,
        int concurrency = 8,
        bool hasLanes = false) => ConsumerHost.StartAsync(
        m => (hasLanes ? m.AddLanes(_stream, lanes => lanes.Add("express", 8)) : m).AddMessage<OrderPaid>().AddConsumer<OrderCreated>(
            _stream,
            group,
            async (order, context, _) =>
            {
                if (handle is not null)
                    await handle(context);
                _handled.Enqueue(order.OrderId);
            },
            o =>
            {
                (o.DeduplicationWindow, o.Prefetch, o.Concurrency) = (window ?? Window, prefetch, concurrency);
                o.RetryBaseDelay = TimeSpan.FromMilliseconds(1);
            }),
        Store,
        instance: instance);
}
