using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

public sealed class RoutingTests
{
    private const string Stream = "orders";
    private static readonly string DeadLetters = StreamNames.DeadLetters(Stream, "billing");

    [Fact]
    public async Task Known_type_without_handler_is_skipped()
    {
        var handled = 0;
        await using var host = await StartAsync(_ => Interlocked.Increment(ref handled));

        await host.Publisher.PublishAsync(Stream, new OrderPaid("o1"));
        await host.WhenSettledAsync(Stream, "billing");

        Assert.Equal(0, handled);
        Assert.Null(await host.Store.GetStreamInfoAsync(DeadLetters));
    }

    [Theory]
    [InlineData("order.lost", "1", "{}", DeadLetterReasons.UnknownType)]
    [InlineData("order.created", "3", "{}", DeadLetterReasons.UnknownVersion)]
    [InlineData("order.created", "two", "{}", DeadLetterReasons.UnknownVersion)]
    [InlineData("order.created", "2", "{\"orderId\":", DeadLetterReasons.UndecodableData)]
    [InlineData("order.created", "2", "null", DeadLetterReasons.UndecodableData)]
    public async Task Unreadable_entry_is_dead_at_once(string type, string version, string data, string reason)
    {
        await using var host = await StartAsync(_ => { });

        await host.Store.AppendAsync(Stream, EntryFields.Create(("type", type), ("schemaversion", version), ("data", data)));
        var dead = (await host.ReadAsync(DeadLetters))[0].Fields;

        Assert.Equal(reason, dead.GetText("deadreason"u8));
        Assert.Equal(data, dead.GetText("data"u8));
        Assert.Equal("1", dead.GetText("attempt"u8));
    }

    [Fact]
    public async Task Entry_without_a_type_or_of_another_media_type_is_dead_at_once()
    {
        await using var host = await StartAsync(_ => { });

        await host.Store.AppendAsync(Stream, EntryFields.Create(("payload", "{}")));
        await host.Store.AppendAsync(Stream, EntryFields.Create(
            ("type", "order.created"), ("schemaversion", "2"), ("datacontenttype", "application/cbor"), ("data", "{}")));
        var dead = await host.ReadAsync(DeadLetters, 2);

        Assert.Equal(
            [DeadLetterReasons.UndecodableData, DeadLetterReasons.UnknownType],
            dead.Select(entry => entry.Fields.GetText("deadreason"u8)!).Order());
    }

    [Theory]
    [InlineData("application/json")]
    [InlineData("application/JSON; charset=utf-8")]
    [InlineData("Application/Vnd.Order+Json")]
    public async Task Entry_of_a_media_type_of_json_is_a_message(string mediaType)
    {
        var seen = new TaskCompletionSource<OrderCreated>();
        await using var host = await StartAsync(seen.SetResult);

        await host.Store.AppendAsync(Stream, EntryFields.Create(
            ("type", "order.created"), ("schemaversion", "2"), ("datacontenttype", mediaType), ("data", "{\"orderId\":\"o1\",\"total\":1}")));

        Assert.Equal(new("o1", 1), await seen.Task.WaitAsync(Eventually.Deadline));
    }

    [Fact]
    public async Task Older_version_is_brought_up_to_the_handlers()
    {
        var seen = new TaskCompletionSource<OrderCreated>();
        await using var host = await StartAsync(seen.SetResult);

        await host.Publisher.PublishAsync(Stream, new OrderCreatedV1("o1"));

        Assert.Equal(new("o1", -1), await seen.Task.WaitAsync(Eventually.Deadline));
    }

    [Fact]
    public async Task Both_versions_with_a_handler_each_get_their_own()
    {
        var seen = new TaskCompletionSource<string>();
        await using var host = await ConsumerHost.StartAsync(m => m
            .AddConsumer<OrderCreated>(Stream, "billing", (_, _, _) => Task.FromResult(seen.TrySetResult("new")))
            .AddConsumer<OrderCreatedV1>(Stream, "billing", (_, _, _) => Task.FromResult(seen.TrySetResult("old"))));

        await host.Publisher.PublishAsync(Stream, new OrderCreatedV1("o1"));

        Assert.Equal("old", await seen.Task.WaitAsync(Eventually.Deadline));
    }

    [Fact]
    public async Task Newer_version_than_the_handlers_is_not_skipped_but_dead()
    {
        await using var host = await ConsumerHost.StartAsync(m => m
            .AddMessage<OrderCreated>()
            .AddConsumer<OrderCreatedV1>(Stream, "billing", (_, _, _) => Task.CompletedTask));

        await host.Publisher.PublishAsync(Stream, new OrderCreated("o1", 1));

        Assert.Equal(DeadLetterReasons.UnknownVersion, (await host.ReadAsync(DeadLetters))[0].Fields.GetText("deadreason"u8));
    }

    [Fact]
    public async Task Foreign_entry_with_type_and_data_alone_is_a_message()
    {
        var seen = new TaskCompletionSource<MessageContext>();
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderPaid>(Stream, "billing", (paid, context, _) =>
        {
            Assert.Equal("o1", paid.OrderId);
            seen.SetResult(context);
            return Task.CompletedTask;
        }));

        var id = await host.Store.AppendAsync(Stream, EntryFields.Create(
            ("type", "order.paid"), ("data", "{\"OrderId\":\"o1\",\"more\":[1]}")));

        var context = await seen.Task.WaitAsync(Eventually.Deadline);
        Assert.Equal((id.ToString(), id.ToString(), 1), (context.MessageId, context.CorrelationId, context.Version));
        Assert.Equal(id.Milliseconds, (ulong)context.Time.ToUnixTimeMilliseconds());
    }

    private static Task<ConsumerHost> StartAsync(Action<OrderCreated> handle) => ConsumerHost.StartAsync(m => m
        .AddMessage<OrderCreatedV1>()
        .AddMessage<OrderPaid>()
        .AddUpcaster<OrderCreatedV1, OrderCreated>(old => new(old.OrderId, -1))
        .AddConsumer<OrderCreated>(Stream, "billing", (order, _, _) =>
        {
            handle(order);
            return Task.CompletedTask;
        }));
}
