using Millrace.Consuming;
using Millrace.Embedded;
using Millrace.Hosting;
using Millrace.Monitoring;
using Millrace.Sagas;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Sagas;

namespace Millrace.Tests.Monitoring;

public sealed class MessageMeterTests : IAsyncLifetime
{
    private const string Orders = "messaging.system=millrace messaging.destination.name=orders";
    private const string Billing = $"{Orders} messaging.consumer.group.name=billing";

    private readonly ManualTimeProvider _time = new();
    private readonly EmbeddedStreamStore _store;

    public MessageMeterTests() => _store = new(new(), _time);

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => _store.DisposeAsync();

    [Fact]
    public async Task Publishing_counts_messages_and_times_the_call()
    {
        await using var host = await ConsumerHost.StartAsync(static _ => { }, _store, _time);
        using var recorder = new MeterRecorder(host);

        await host.Publisher.PublishAsync("orders", new OrderPaid("o1"));
        await host.Publisher.PublishManyAsync<OrderPaid>("orders", [new("o2"), new("o3")]);
        await host.Publisher.PublishAsync("orders", new OrderPaid("o4"), new() { Delay = TimeSpan.FromHours(1) });
        var scope = host.Publisher.NewCommit("orders");
        scope.Publish("orders", new OrderPaid("o5"));
        await scope.CommitAsync();

        const string send = $"{Orders} messaging.operation.name=send";
        Assert.Equal<(string?, double, string)>(
            [("{message}", 1, send), ("{message}", 2, send), ("{message}", 1, $"{Orders} messaging.operation.name=schedule"), ("{message}", 1, send)],
            recorder.Of("messaging.client.sent.messages").Select(Parts));
        Assert.Equal(("s", 0, $"{send} messaging.operation.type=send"), Parts(recorder.Of("messaging.client.operation.duration")[0]));
        Assert.Equal(3, recorder.Of("messaging.client.operation.duration").Count);
    }

    [Fact]
    public async Task Refused_publish_counts_with_its_error()
    {
        var store = FaultyStore.Wrap(
            _store, member => member == nameof(IStreamStore.AppendAsync) ? FaultyStore.Fault.Before : FaultyStore.Fault.None);
        await using var host = await ConsumerHost.StartAsync(static _ => { }, store, _time);
        using var recorder = new MeterRecorder(host);

        await Assert.ThrowsAsync<StreamException>(async () => await host.Publisher.PublishAsync("orders", new OrderPaid("o1")));

        const string tags = $"{Orders} messaging.operation.name=send error.type=Unavailable";
        Assert.Equal(("{message}", 1, tags), Parts(Assert.Single(recorder.Of("messaging.client.sent.messages"))));
        Assert.Equal(
            ("s", 0, $"{tags} messaging.operation.type=send"), Parts(Assert.Single(recorder.Of("messaging.client.operation.duration"))));
    }

    [Fact]
    public async Task Refused_commit_counts_its_messages_with_its_error()
    {
        var store = FaultyStore.Wrap(
            _store, member => member == nameof(IStreamStore.CommitAsync) ? FaultyStore.Fault.Before : FaultyStore.Fault.None);
        await using var host = await ConsumerHost.StartAsync(static _ => { }, store, _time);
        using var recorder = new MeterRecorder(host);
        var scope = host.Publisher.NewCommit("orders");
        scope.Publish("orders", new OrderPaid("o1"));
        scope.Schedule("orders", new OrderPaid("o2"), TimeSpan.FromHours(1));

        await Assert.ThrowsAsync<StreamException>(async () => await scope.CommitAsync());

        Assert.Equal<(string?, double, string)>(
            [
                ("{message}", 1, $"{Orders} messaging.operation.name=send error.type=Unavailable"),
                ("{message}", 1, $"{Orders} messaging.operation.name=schedule error.type=Unavailable"),
            ],
            recorder.Of("messaging.client.sent.messages").Select(Parts));
    }

    [Fact]
    public async Task Handler_is_timed_by_registered_message_type()
    {
        await using var host = await StartAsync((_, _, _) =>
        {
            _time.Advance(TimeSpan.FromSeconds(2));
            return Task.CompletedTask;
        });
        using var recorder = new MeterRecorder(host);

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await recorder.WhenCountedAsync("messaging.process.duration", 2);

        Assert.Equal(
            ("s", 2, $"{Billing} messaging.operation.name=process millrace.message.type=order.created"),
            Parts(Assert.Single(recorder.Of("messaging.process.duration"))));
        Assert.Equal(
            ("{message}", 1, $"{Billing} messaging.operation.name=receive"), Parts(Assert.Single(recorder.Of("messaging.client.consumed.messages"))));
    }

    public static TheoryData<string> Reasons =>
        [.. typeof(DeadLetterReasons).GetFields().Select(static reason => (string)reason.GetRawConstantValue()!)];

    [Theory]
    [MemberData(nameof(Reasons))]
    public async Task Dead_letter_is_counted_by_each_reason_of_the_framework(string reason)
    {
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", (_, _, _) => throw new MessageRejectedException(reason)));
        using var recorder = new MeterRecorder(host, static name => name == "millrace.dead_letters");

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await recorder.WhenCountedAsync("millrace.dead_letters", 1);

        Assert.EndsWith($"millrace.dead_letter.reason={reason}", Assert.Single(recorder.Of("millrace.dead_letters")).Tags, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Failed_handler_counts_its_error_its_retry_its_redelivery_and_its_dead_letter()
    {
        await using var host = await StartAsync(
            static (_, _, _) => throw new InvalidOperationException("no"), o => (o.MaxAttempts, o.RetryBaseDelay) = (2, TimeSpan.Zero));
        using var recorder = new MeterRecorder(host);

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await host.ReadAsync(StreamNames.DeadLetters("orders", "billing"));
        await recorder.WhenCountedAsync("millrace.dead_letters", 1);

        // Each is counted behind its commit, and so perhaps after what came of that.
        await recorder.WhenCountedAsync("millrace.retries", 1);
        await Eventually.TrueAsync("both handlers are timed", () => ValueTask.FromResult(recorder.Of("messaging.process.duration").Count == 2));

        Assert.All(recorder.Of("messaging.process.duration"), reading => Assert.Equal(
            $"{Billing} messaging.operation.name=process millrace.message.type=order.created error.type=System.InvalidOperationException",
            reading.Tags));
        Assert.Equal(2, recorder.Of("messaging.process.duration").Count);
        Assert.Equal(
            ("{message}", 1, $"{Billing} messaging.operation.name=settle"), Parts(Assert.Single(recorder.Of("millrace.retries"))));
        Assert.Equal(
            ("{message}", 1, $"{Billing} messaging.operation.name=receive"), Parts(Assert.Single(recorder.Of("millrace.redeliveries"))));
        Assert.Equal(
            ("{message}", 1, $"{Billing} messaging.operation.name=settle millrace.dead_letter.reason=attempts exhausted"),
            Parts(Assert.Single(recorder.Of("millrace.dead_letters"))));
    }

    [Fact]
    public async Task Unregistered_type_and_reason_of_a_handler_never_become_tags()
    {
        await using var host = await StartAsync(static (order, context, token) => context.RejectAsync($"never {order.OrderId}", token).AsTask());
        using var recorder = new MeterRecorder(host);

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await _store.AppendAsync("orders", EntryFields.Create(("type", "made.up"), ("data", "{}")));
        await recorder.WhenCountedAsync("millrace.dead_letters", 2);
        await Eventually.TrueAsync("the handler ends", () => ValueTask.FromResult(recorder.Of("messaging.process.duration").Count > 0));

        Assert.Equal(
            ["rejected", "unknown type"],
            recorder.Of("millrace.dead_letters").Select(reading => reading.Tags.Split("reason=")[1]).Order(StringComparer.Ordinal));
        Assert.Equal(
            [$"{Billing} messaging.operation.name=process millrace.message.type=order.created"],
            recorder.Of("messaging.process.duration").Select(reading => reading.Tags));
    }

    [Fact]
    public async Task Entries_taken_over_count_as_claims()
    {
        await _store.CreateGroupAsync("orders", "billing", GroupStart.Beginning);
        await _store.AppendAsync("orders", EntryFields.Create(("type", "order.created"), ("schemaversion", "2"), ("data", "{\"orderId\":\"o\"}")));
        await _store.ReadGroupAsync(new() { Group = "billing", Consumer = "gone", Streams = ["orders"] });
        await using var host = await StartAsync(static (_, _, _) => Task.CompletedTask);
        using var recorder = new MeterRecorder(host);

        // Two rounds of the recovery, each half lease: the second finds the entry idle for long enough.
        await _time.WaitForTimerAsync(TimeSpan.FromSeconds(15));
        _time.Advance(TimeSpan.FromSeconds(15));
        await _time.WaitForTimerAsync(TimeSpan.FromSeconds(15));
        _time.Advance(TimeSpan.FromSeconds(15));
        await recorder.WhenCountedAsync("millrace.claims", 1);

        const string tags = $"{Billing} messaging.operation.name=receive";
        Assert.Equal(("{message}", 1, tags), Parts(Assert.Single(recorder.Of("millrace.claims"))));
        Assert.Equal(("{message}", 1, tags), Parts(Assert.Single(recorder.Of("millrace.redeliveries"))));
    }

    [Fact]
    public async Task Output_of_a_handler_counts_as_sent()
    {
        await using var host = await StartAsync(static (order, context, _) =>
        {
            context.Publish("done", new OrderPaid(order.OrderId));
            return Task.CompletedTask;
        });
        using var recorder = new MeterRecorder(host, static name => name == "messaging.client.sent.messages");

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await recorder.WhenCountedAsync("messaging.client.sent.messages", 2);

        Assert.Contains(
            recorder.Of("messaging.client.sent.messages"),
            static reading => reading.Tags == "messaging.system=millrace messaging.destination.name=done messaging.operation.name=send");
    }

    /// <summary>The notes that keep the order are Millrace's own.</summary>
    [Fact]
    public async Task Message_of_an_ordered_group_that_waits_in_its_place_counts_as_retried_and_nothing_as_sent()
    {
        await using var host = await StartAsync(
            static (_, context, _) => context.Attempt == 1 ? throw new InvalidOperationException("no") : Task.CompletedTask,
            o => (o.OrderedBy, o.RetryBaseDelay) = (nameof(OrderCreated.OrderId), TimeSpan.Zero));
        using var recorder = new MeterRecorder(host);

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await host.WhenSettledAsync("orders", "billing");
        await host.StopAsync();

        Assert.Equal(("{message}", 1, $"{Billing} messaging.operation.name=settle"), Parts(Assert.Single(recorder.Of("millrace.retries"))));
        Assert.Equal($"{Orders} messaging.operation.name=send", Assert.Single(recorder.Of("messaging.client.sent.messages")).Tags);
    }

    /// <summary>Its time-outs come by the private stream, and are published like any other message.</summary>
    [Fact]
    public async Task Saga_that_times_out_counts_what_it_published_and_no_retry_nor_redelivery()
    {
        const string orders = "shop:orders";
        var again = StreamNames.Again(orders, "checkout");
        await using var host = await ConsumerHost.StartAsync(
            static m => m.AddSaga(new CheckoutSaga("shop", limit: TimeSpan.FromMilliseconds(50)), [orders], "checkout"));
        using var recorder = new MeterRecorder(host);
        await host.Publisher.PublishAsync(orders, new OrderPlaced("1", 10));
        await host.ReadAsync("shop:out");
        await recorder.WhenCountedAsync("messaging.client.sent.messages", 4);
        await host.StopAsync();

        Assert.Equal(
            [("shop:inventory", "send"), (orders, "send"), ("shop:out", "send"), (again, "schedule")],
            recorder.Of("messaging.client.sent.messages").Select(Destination).OrderBy(static one => one.Stream, StringComparer.Ordinal));
        Assert.Equal(2, recorder.Of("messaging.client.consumed.messages").Sum(reading => reading.Value));
        Assert.Empty(recorder.Of("millrace.retries"));
        Assert.Empty(recorder.Of("millrace.redeliveries"));

        static (string Stream, string Operation) Destination(MeterRecorder.Reading reading) =>
            reading.Tags.Split(' ') is [_, var stream, var operation] ? (stream.Split('=')[1], operation.Split('=')[1]) : default;
    }

    [Fact]
    public void Nothing_is_allocated_and_no_clock_read_while_nobody_listens()
    {
        using var meter = new MessageMeter(new BrokenClock());
        var plan = new GroupPlan { Stream = "orders", Group = "billing", Consumer = "c", Options = new(), Routes = null! }.Named();
        IReadOnlyList<DeliveredEntry> entries = [];
        var dead = new SettleAction.DeadLetter(DeadLetterReasons.NotRetried);
        var outputs = new CommitOutputs { new CommitChange.Append("done", EntryFields.Create(("a", "b"))) };
        outputs.AddTo([]);
        var least = long.MaxValue;
        for (var round = 0; round < 100 && least > 0; round++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            for (var i = 0; i < 1_000; i++)
            {
                meter.StartSend("orders", 1, isScheduled: false).End();
                meter.EndProcess(meter.StartProcess(), plan, null!, null);
                meter.Received(plan, isAgain: false, isRecovered: false, entries);
                meter.Settled(plan, dead, outputs);
                meter.Sent(outputs);
            }

            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(0, least);
    }

    private static (string?, double, string) Parts(MeterRecorder.Reading reading) => (reading.Unit, reading.Value, reading.Tags);

    private Task<ConsumerHost> StartAsync(
        Func<OrderCreated, MessageContext, CancellationToken, Task> handler, Action<ConsumerOptions>? configure = null) =>
        ConsumerHost.StartAsync(m => m.AddConsumer("orders", "billing", handler, configure), _store, _time);

    private sealed class BrokenClock : TimeProvider
    {
        public override long GetTimestamp() => throw new InvalidOperationException("Nobody wants to know.");
    }
}
