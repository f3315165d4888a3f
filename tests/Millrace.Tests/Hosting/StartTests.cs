using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Hosting;

public sealed class StartTests
{
    private sealed record Nameless(string Value);

    [Message("order.created", Version = 2)]
    private sealed record Impostor(string Value);

    [Message("order.created", Version = 4)]
    private sealed record OrderCreatedV4(string Value);

    [Fact]
    public async Task Host_disposed_without_a_stop_leaves_no_worker_behind()
    {
        await using var store = new EmbeddedStreamStore(new());
        var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>("orders", "billing", Ignore), store);
        await Eventually.TrueAsync("the group is read", async () =>
            await store.GetGroupsAsync("orders") is [{ ConsumerCount: 1 }]);

        host.Host.Dispose();
        await store.AppendAsync("orders", EntryFields.Create(("type", "order.created"), ("data", "{}")));

        Assert.Equal(0, (await store.PendingSummaryAsync("orders", "billing")).Count);
        Assert.Equal(1, (await store.GetGroupsAsync("orders"))[0].Lag);
    }

    [Theory]
    [InlineData(null, 1)]
    [InlineData("shop-0", 0)]
    public async Task Name_that_changes_with_each_start_is_told_in_the_log(string? name, int lines)
    {
        using var log = new EventLog();
        await using var host = await ConsumerHost.StartAsync(
            m => m.Configure(o => o.InstanceName = name).AddConsumer<OrderCreated>("orders", "billing", Ignore), log: log);

        Assert.Equal(lines, log.Events.Count(static id => id == EventIds.InstanceNameIsRandom));
    }

    [Fact]
    public async Task Everything_wrong_is_reported_at_once_when_the_host_starts()
    {
        var configuration = new Dictionary<string, string?>
        {
            ["Millrace:DrainTimeout"] = "soon",
            ["Millrace:Consumers:billing:Concurrency"] = "0",
            ["Millrace:Consumers:billing:MaxAttempts"] = "many",
            ["Millrace:Consumers:billing:Lease"] = "00:00:00.4",
            ["Millrace:Consumers:billing:Start"] = "Yesterday",
            ["Millrace:Consumers:billing:Paralelism"] = "3",
            ["Millrace:Consumers:billing:Undecodable"] = "Skip",
            ["Millrace:Consumers:billing:DeduplicationWindow"] = "00:00:00.5",
            ["Millrace:Consumers:billing:BreakerFailureRatio"] = "1.5",
            ["Millrace:Consumers:billing:BreakerMaxPause"] = "00:00:01",
            ["Millrace:Consumers:billing:RateLimit"] = "-1",
            ["Millrace:Consumers:billing:RatePeriod"] = "7.00:00:00",
            ["Millrace:Consumers:rows:Concurrency"] = "100",
            ["Millrace:Consumers:rows:BatchSize"] = "101",
            ["Millrace:Consumers:billing:RetryRules:0:MaxAttempts"] = "0",
            ["Millrace:Consumers:billing:RetryRules:1:Exeption"] = "System.TimeoutException",
        };

        var error = await Assert.ThrowsAsync<MillraceConfigurationException>(() => ConsumerHost.StartAsync(
            m => m
                .AddMessage<Impostor>()
                .AddMessage<OrderCreatedV1>()
                .AddUpcaster<OrderCreatedV1, OrderPaid>(old => new(old.OrderId))
                .AddConsumer<OrderCreated>("orders", "billing", Ignore)
                .AddConsumer<OrderCreatedV4>("orders", "gap", Ignore)
                .AddConsumer<Nameless>("orders", "nameless", Ignore)
                .AddConsumer<OrderPaid>("orders", "twice", Ignore)
                .AddConsumer<OrderPaid>("orders", "twice", Ignore)
                .AddBatchConsumer<OrderCreated>("orders", "twice", IgnoreAll)
                .AddBatchConsumer<OrderCreated>("orders", "rows", IgnoreAll)
                .AddConsumer<OrderPaid>("or{ders", "braces", Ignore),
            configuration: configuration));

        string[] expected =
        [
            "Millrace:DrainTimeout: 'soon'", "Millrace:Consumers:billing:Concurrency: 0 is outside 1 to 1000",
            "Millrace:Consumers:billing:MaxAttempts: 'many'", "Millrace:Consumers:billing:Lease: 00:00:00.4",
            "Millrace:Consumers:billing:Start: 'Yesterday'", "Millrace:Consumers:billing:Paralelism: there is no such option",
            "Millrace:Consumers:billing:RetryRules:0:Exception: must have", "Millrace:Consumers:billing:RetryRules:0:MaxAttempts: 0 is outside",
            "Millrace:Consumers:billing:Undecodable: 'Skip' is none of DeadLetter, Ignore, Stop",
            "Millrace:Consumers:billing:DeduplicationWindow: 00:00:00.5", "Millrace:Consumers:billing:BreakerFailureRatio: 1.5",
            "Millrace:Consumers:billing:BreakerMaxPause: 00:00:01 is outside 00:00:05", "Millrace:Consumers:billing:RateLimit: -1",
            "Millrace:Consumers:billing:RatePeriod: 7.00:00:00", "group 'twice': it has handlers of single messages and of batches",
            "group 'rows': Concurrency times BatchSize is more than 10000",
            "Millrace:Consumers:billing:RetryRules:1:Exeption: there is no such option",
            "Message order.created version 2: declared by both", "group 'gap': there is no upcaster from order.created version 1",
            "Nameless is not a registered message", "two handlers of order.paid version 1", "stray braces",
            "goes to the next version of the same name",
        ];
        Assert.All(expected, text => Assert.Contains(error.Errors, found => found.Contains(text, StringComparison.Ordinal)));
        Assert.All(error.Errors, text => Assert.Contains(text, error.Message, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Configuration_has_the_last_word_over_code()
    {
        var configuration = new Dictionary<string, string?>
        {
            ["Millrace:Consumers:billing:MaxAttempts"] = "1",
            ["Millrace:Source"] = "shop",
        };
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>(
                "orders", "billing", (_, _, _) => throw new InvalidOperationException("no"), o => o.MaxAttempts = 9),
            configuration: configuration);

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        var dead = (await host.ReadAsync(StreamNames.DeadLetters("orders", "billing")))[0].Fields;

        Assert.Equal(("1", "shop"), (dead.GetText("attempt"u8), dead.GetText("source"u8)));
    }

    [Fact]
    public async Task Configured_retry_rules_come_before_those_of_the_code()
    {
        var configuration = new Dictionary<string, string?>
        {
            ["Millrace:Consumers:billing:RetryRules:0:Exception"] = "System.TimeoutException",
            ["Millrace:Consumers:billing:RetryRules:0:MaxAttempts"] = "1",
        };
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>(
                "orders", "billing", (_, _, _) => throw new TimeoutException("no"), o => o.RetryOn<TimeoutException>(maxAttempts: 9)),
            configuration: configuration);

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        var dead = (await host.ReadAsync(StreamNames.DeadLetters("orders", "billing")))[0].Fields;

        Assert.Equal(DeadLetterReasons.NotRetried, dead.GetText("deadreason"u8));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Retry_rule_that_sets_delays_only_leaves_the_attempts_to_the_group(bool isConfigured)
    {
        var configuration = new Dictionary<string, string?>
        {
            ["Millrace:Consumers:billing:MaxAttempts"] = "1",
            ["Millrace:Consumers:billing:RetryRules:0:Exception"] = isConfigured ? "System.TimeoutException" : "System.FormatException",
            ["Millrace:Consumers:billing:RetryRules:0:BaseDelay"] = "00:00:01",
        };
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>(
                "orders", "billing", (_, _, _) => throw new TimeoutException("no"), o => o.RetryOn<TimeoutException>(baseDelay: TimeSpan.FromSeconds(1))),
            configuration: configuration);

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        var dead = (await host.ReadAsync(StreamNames.DeadLetters("orders", "billing")))[0].Fields;

        Assert.Equal(DeadLetterReasons.AttemptsExhausted, dead.GetText("deadreason"u8));
    }

    [Fact]
    public async Task Missing_store_is_reported()
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddMillrace(_ => { });
        using var host = builder.Build();

        var error = await Assert.ThrowsAsync<MillraceConfigurationException>(() => host.StartAsync());

        Assert.Contains("UseEmbedded", Assert.Single(error.Errors));
    }

    [Fact]
    public async Task Store_that_cannot_open_fails_the_start()
    {
        var directory = Directory.CreateTempSubdirectory("millrace-start-");
        using var first = Build(m => m.UseEmbedded(directory.FullName));
        await first.StartAsync();
        using (var second = Build(m => m.UseEmbedded(directory.FullName)))
        {
            var error = await Assert.ThrowsAsync<StreamException>(() => second.StartAsync());
            Assert.Equal(StreamErrorCode.Locked, error.Code);
        }

        await first.StopAsync();
        await ((IAsyncDisposable)first).DisposeAsync();
        directory.Delete(recursive: true);
    }

    [Fact]
    public async Task Mapped_consumer_runs_with_services_and_comes_too_late_after_the_start()
    {
        using var host = Build(m => m.UseMemory());
        var seen = new TaskCompletionSource<bool>();
        host.MapConsumer<OrderCreated>("orders", "billing", (_, _, services, _) =>
            Task.FromResult(seen.TrySetResult(services.GetRequiredService<Publisher>() is not null)));
        await host.StartAsync();

        await host.Services.GetRequiredService<Publisher>().PublishAsync("orders", new OrderCreated("o1", 1));

        Assert.True(await seen.Task.WaitAsync(Eventually.Deadline));
        Assert.Throws<InvalidOperationException>(() => host.MapConsumer<OrderPaid>("orders", "late", Ignore));
        await host.StopAsync();
    }

    private static IHost Build(Action<MillraceBuilder> configure)
    {
        var builder = Host.CreateEmptyApplicationBuilder(null);
        builder.Services.AddMillrace(configure);
        builder.Services.AddMillrace(m => m.AddMessage<OrderPaid>());
        return builder.Build();
    }

    private static Task IgnoreAll<T>(IReadOnlyList<T> messages, BatchContext batch, CancellationToken cancellationToken) => Task.CompletedTask;

    private static Task Ignore<T>(T message, MessageContext context, CancellationToken cancellationToken) => Task.CompletedTask;
}
