using System.Net.Sockets;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Incidents;

/// <summary>Messages that took their process, their handler or their whole group with them.</summary>
public abstract class PoisonIncidentTests(SharedRedis? redis) : IncidentTests(redis)
{
    public sealed class OnEmbedded() : PoisonIncidentTests(null);

    public sealed class OnRedis(SharedRedis redis) : PoisonIncidentTests(redis);

    /// <summary>A message that killed its process was claimed again without end: the count was in the payload, or nobody looked at it.</summary>
    [Fact]
    public async Task Nestjs_redisx_and_Wolverine_message_that_kills_its_process_ends_in_the_dead_letters()
    {
        const int Deaths = 3;
        var runs = 0;
        await PublishAsync(["killer", .. Orders(5)]);
        for (var death = 0; death < Deaths; death++)
        {
            var killing = new TaskCompletionSource();
            await using var host = await StartAsync(
                async (order, context, token) =>
                {
                    if (order.OrderId != "killer")
                    {
                        context.Publish(Done, new OrderPaid(order.OrderId));
                        return;
                    }

                    Interlocked.Increment(ref runs);
                    killing.TrySetResult();
                    await Task.Delay(Timeout.Infinite, token);
                },
                o => o.MaxDeliveries = Deaths);
            await killing.Task.WaitAsync(Eventually.Deadline);
            await host.ReadAsync(Done, 5);
            await host.AbortAsync();
        }

        await using var last = await StartAsync((_, _) => Interlocked.Increment(ref runs), o => o.MaxDeliveries = Deaths);
        var letter = (await last.ReadAsync(Dead))[0].Fields;
        await last.WhenSettledAsync(Stream, Group);

        Assert.Equal(DeadLetterReasons.DeliveryLimit, letter.GetText("deadreason"u8));
        Assert.Equal((Deaths, 5, 1), (runs, await AddedAsync(Done), await AddedAsync(Dead)));
    }

    /// <summary>
    /// One entry of another program stopped the client; later, each kept its place among those that may run at once, until there was none left.
    /// </summary>
    [Fact]
    public async Task Cap_1611_entries_that_cannot_be_decoded_do_not_stall_the_group()
    {
        await using var host = await StartDoneAsync(o => (o.Concurrency, o.Prefetch) = (2, 2));

        for (var i = 0; i < 20; i++)
            await Store.AppendAsync(Stream, EntryFields.Create(("payload", $"foreign {i}")));
        await PublishAsync(host, "o1", "o2");
        await host.ReadAsync(Done, 2);
        await host.WhenSettledAsync(Stream, Group);

        var letters = await Letters.ListAsync().ToListAsync();
        Assert.Equal(Enumerable.Range(0, 20).Select(i => $"foreign {i}").Order(), letters.Select(letter => letter.Headers.Fields.GetText("payload"u8)).Order());
        Assert.All(letters, letter => Assert.Equal(DeadLetterReasons.UnknownType, letter.Reason));
    }

    /// <summary>
    /// A handler whose own connection broke failed with words that the reader took for the end of its own: the message stayed pending, and
    /// reading ended for good.
    /// </summary>
    [Fact]
    public async Task Nestjs_redisx_handler_whose_own_connection_breaks_fails_like_any_other()
    {
        Exception[] failures =
        [
            new SocketException((int)SocketError.ConnectionReset),
            new IOException("ECONNRESET: Connection is closed."),
            new StreamException(StreamErrorCode.Unavailable, "ECONNREFUSED"),
            new StreamException(StreamErrorCode.Closed, "The store was closed."),
            new OperationCanceledException(),
            new ObjectDisposedException("Socket"),
        ];
        await using var host = await StartAsync((order, context) =>
        {
            if (context.Attempt == 1)
                throw failures[int.Parse(order.OrderId[1..], null)];
            context.Publish(Done, new OrderPaid($"{order.OrderId}:{context.Attempt}:{context.DeliveryCount}"));
        });

        await PublishAsync(host, Orders(failures.Length));
        await host.ReadAsync(Done, failures.Length);

        Assert.Equal(Orders(failures.Length).Select(order => $"{order}:2:1"), (await HandledAsync()).Order());
    }

    /// <summary>An exception where nobody expected one ended the loop of the worker, and the process went on without it.</summary>
    [Fact]
    public async Task Foundatio_239_handler_that_cannot_even_be_made_does_not_end_the_worker()
    {
        await using var host = await ConsumerHost.StartAsync(
            m =>
            {
                m.Services.AddSingleton(new Faults { Left = 3 });
                m.AddConsumer<Fragile, OrderCreated>(Stream, Group, (handler, order, context, _) => handler.Handle(order, context, Done), o =>
                    (o.Concurrency, o.RetryBaseDelay) = (1, TimeSpan.FromMilliseconds(1)));
            },
            Store);

        await PublishAsync(host, Orders(5));
        await host.ReadAsync(Done, 5);

        await host.WhenSettledAsync(Stream, Group);
        Assert.Equal(Orders(5), (await HandledAsync()).Order());
    }

    /// <summary>A batch of outputs that contained one the store refuses was sent again and again, and nothing after it left.</summary>
    [Fact]
    public async Task SlimMessageBus_459_output_that_is_refused_holds_up_no_other()
    {
        await Store.CommitAsync(new Commit { Changes = [new CommitChange.PutState(new(Stream, "taken"), "x"u8.ToArray())] });
        await using var host = await StartAsync(
            (order, context) =>
            {
                context.Publish(Done, new OrderPaid(order.OrderId));
                if (order.OrderId == "o7")
                    context.Publish($"{{{Stream}}}:state:taken", new OrderPaid("refused"));
            },
            o => o.MaxAttempts = 2);

        await PublishAsync(host, Orders(20));
        await host.ReadAsync(Done, 19);
        var letter = (await host.ReadAsync(Dead))[0];
        await host.WhenSettledAsync(Stream, Group);

        Assert.Equal(Orders(20).Except(["o7"]).Order(), (await HandledAsync()).Order());
        Assert.Contains("\"o7\"", letter.Fields.GetText("data"u8));
        Assert.Equal(1, await AddedAsync(Dead));
    }

    /// <summary>Rejecting did nothing: the entry stayed pending until the process was started again.</summary>
    [Fact]
    public async Task Cap_rejected_message_is_a_dead_letter_at_once()
    {
        var runs = 0;
        await using var host = await StartAsync((_, _) =>
        {
            Interlocked.Increment(ref runs);
            throw new MessageRejectedException("It is not for us.");
        });

        await PublishAsync(host, "o1");
        var letter = (await host.ReadAsync(Dead))[0].Fields;
        await host.WhenSettledAsync(Stream, Group);

        Assert.Equal(("It is not for us.", 1), (letter.GetText("deadreason"u8), runs));
    }

    private sealed class Faults
    {
        public int Left;
    }

    private sealed class Fragile
    {
        public Fragile(Faults faults)
        {
            if (Interlocked.Decrement(ref faults.Left) >= 0)
                throw new InvalidOperationException("no connection string");
        }

        public Task Handle(OrderCreated order, MessageContext context, string done)
        {
            context.Publish(done, new OrderPaid(order.OrderId));
            return Task.CompletedTask;
        }
    }
}
