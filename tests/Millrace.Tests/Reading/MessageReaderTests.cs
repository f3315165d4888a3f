using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Reading;

public sealed class MessageReaderTests
{
    [Fact]
    public async Task Reading_begins_where_it_is_told_and_stops_at_the_end()
    {
        var time = new ManualTimeProvider();
        await using var host = await ConsumerHost.StartAsync(_ => { }, time: time);
        List<EntryId> ids = [];
        for (var i = 0; i < 3; i++)
        {
            ids.Add(await host.Publisher.PublishAsync("orders", new OrderPaid($"o{i}")));
            time.Advance(TimeSpan.FromSeconds(1));
        }

        Assert.Equal(["o0", "o1", "o2"], await ReadAsync(ReadFrom.Start));
        Assert.Equal(["o1", "o2"], await ReadAsync(ReadFrom.After(ids[0])));
        Assert.Equal(["o2"], await ReadAsync(ReadFrom.Time(DateTimeOffset.FromUnixTimeMilliseconds((long)ids[2].Milliseconds))));
        Assert.Empty(await ReadAsync(ReadFrom.Now));

        async Task<List<string>> ReadAsync(ReadFrom from) =>
            await host.Reader.ReadAsync<OrderPaid>("orders", from, follow: false).Select(message => message.Body.OrderId).ToListAsync();
    }

    [Fact]
    public async Task Following_waits_for_what_comes_and_skips_other_types()
    {
        await using var host = await ConsumerHost.StartAsync(m => m.AddMessage<OrderPaid>().AddMessage<OrderCreated>());
        await using var reading = host.Reader.ReadAsync<OrderPaid>("orders", ReadFrom.Start).GetAsyncEnumerator();
        var next = reading.MoveNextAsync().AsTask();
        Assert.False(next.IsCompleted);

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await host.Store.AppendAsync("orders", EntryFields.Create(("type", "order.paid"), ("data", "{")));
        var id = await host.Publisher.PublishAsync("orders", new OrderPaid("o2"), new() { CorrelationId = "c" });

        Assert.True(await next.WaitAsync(Eventually.Deadline));
        var message = reading.Current;
        Assert.Equal((new OrderPaid("o2"), id, "c"), (message.Body, message.EntryId, message.Headers.CorrelationId));
    }

    [Fact]
    public async Task Reading_object_gives_every_known_type_in_its_newest_version()
    {
        await using var host = await ConsumerHost.StartAsync(m => m
            .AddMessage<OrderPaid>().AddMessage<OrderCreated>().AddMessage<OrderCreatedV1>()
            .AddUpcaster<OrderCreatedV1, OrderCreated>(old => new(old.OrderId, 0)));
        await host.Publisher.PublishAsync("orders", new OrderPaid("o1"));
        await host.Publisher.PublishAsync("orders", new OrderCreatedV1("o2"));

        var all = await host.Reader.ReadAsync<object>("orders", ReadFrom.Start, follow: false)
            .Select(message => message.Body).ToListAsync();

        Assert.Equal([new OrderPaid("o1"), new OrderCreated("o2", 0)], all);
    }

    [Fact]
    public async Task Data_that_a_constructor_refuses_are_skipped()
    {
        await using var host = await ConsumerHost.StartAsync(_ => { });
        await host.Store.AppendAsync("orders", EntryFields.Create(("type", "order.weighed"), ("data", "{\"grams\":-1}")));
        await host.Publisher.PublishAsync("orders", new OrderWeighed(5));

        var read = await host.Reader.ReadAsync<OrderWeighed>("orders", ReadFrom.Start, follow: false).Select(message => message.Body.Grams).ToListAsync();

        Assert.Equal([5], read);
    }

    [Message("order.weighed")]
    public sealed record OrderWeighed
    {
        public OrderWeighed(int grams)
        {
            ArgumentOutOfRangeException.ThrowIfNegative(grams);
            Grams = grams;
        }

        public int Grams { get; }
    }
}
