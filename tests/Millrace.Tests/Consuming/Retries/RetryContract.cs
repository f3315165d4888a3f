using System.Text.Json;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming.Retries;

/// <summary>Retries, the same on every store.</summary>
public abstract class RetryContract
{
    private const string Group = "billing";

    private readonly string _stream = $"orders-{Guid.NewGuid():N}";

    protected abstract IStreamStore Store { get; }

    [Fact]
    public async Task Attempts_and_their_errors_survive_the_death_of_the_process()
    {
        var second = new TaskCompletionSource();
        var done = new TaskCompletionSource<(int Attempt, long DeliveryCount, string? Errors)>();
        await using (var first = await StartAsync((context, token) => context.Attempt == 1
            ? throw new InvalidOperationException("first")
            : RunForeverAsync(second, token)))
        {
            await first.Publisher.PublishAsync(_stream, new OrderCreated("o1", 1));
            await second.Task.WaitAsync(Eventually.Deadline);
            await first.AbortAsync();
        }

        await using var next = await StartAsync((context, _) =>
        {
            if (context.Attempt < 3)
                throw new InvalidOperationException($"again after {context.DeliveryCount} deliveries");
            done.SetResult((context.Attempt, context.DeliveryCount, context.Fields.GetText("errors"u8)));
            return Task.CompletedTask;
        });
        var (attempt, deliveries, errors) = await done.Task.WaitAsync(Eventually.Deadline);

        Assert.Equal((3, 2L), (attempt, deliveries)); // The death stays on the message's account.
        var history = JsonDocument.Parse(errors!).RootElement.EnumerateArray().ToList();
        Assert.Equal([1, 2], history.Select(error => error.GetProperty("attempt").GetInt32()));
        Assert.Equal("InvalidOperationException: again after 2 deliveries", history[1].GetProperty("error").GetString());
    }

    [Fact]
    public async Task Exceptions_end_as_their_rules_say()
    {
        await using var host = await StartAsync(
            (context, _) => throw (context.Subject == "never" ? new ArgumentException("never") : new TimeoutException("once more")),
            o => o.DeadLetterOn<ArgumentException>().RetryOn<TimeoutException>(maxAttempts: 2));

        await host.Publisher.PublishAsync(_stream, new OrderCreated("o1", 1), new() { Subject = "never" });
        await host.Publisher.PublishAsync(_stream, new OrderCreated("o2", 1), new() { Subject = "twice" });
        var dead = await host.ReadAsync(StreamNames.DeadLetters(_stream, Group), 2);

        Assert.Equal(
            [("never", DeadLetterReasons.NotRetried, "1"), ("twice", DeadLetterReasons.AttemptsExhausted, "2")],
            dead.Select(letter => letter.Fields)
                .Select(fields => (fields.GetText("subject"u8)!, fields.GetText("deadreason"u8)!, fields.GetText("attempt"u8)!))
                .Order());
    }

    private static Task RunForeverAsync(TaskCompletionSource started, CancellationToken cancellationToken)
    {
        started.TrySetResult();
        return Task.Delay(Timeout.Infinite, cancellationToken);
    }

    private Task<ConsumerHost> StartAsync(
        Func<MessageContext, CancellationToken, Task> handle, Action<ConsumerOptions>? configure = null) => ConsumerHost.StartAsync(
        m => m.AddConsumer<OrderCreated>(_stream, Group, (_, context, token) => handle(context, token), o =>
        {
            o.RetryBaseDelay = TimeSpan.FromMilliseconds(1);
            configure?.Invoke(o);
        }),
        Store);
}
