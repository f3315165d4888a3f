using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Monitoring;

namespace Millrace.Tests.Consuming;

/// <summary>
/// What becomes of entries that cannot be decoded, the same on every store. That they are dead letters by default: <see cref="RoutingTests"/>.
/// </summary>
public abstract class UndecodableContract
{
    private const string Group = "billing";

    private readonly string _stream = $"orders-{Guid.NewGuid():N}";

    protected abstract IStreamStore Store { get; }

    [Fact]
    public async Task Ignored_entries_are_acknowledged_and_counted_by_reason()
    {
        var handled = new TaskCompletionSource();
        await using var host = await StartAsync(UndecodablePolicy.Ignore, _ => handled.SetResult());
        using var recorder = new MeterRecorder(host, name => name == "millrace.ignored");

        await Store.AppendAsync(_stream, EntryFields.Create(("payload", "foreign")));
        await Store.AppendAsync(_stream, EntryFields.Create(("type", "order.created"), ("schemaversion", "2"), ("data", "{")));
        await Store.AppendAsync(_stream, EntryFields.Create(("type", "order.created"), ("schemaversion", "9"), ("data", "{}")));
        await host.Publisher.PublishAsync(_stream, new OrderCreated("o1", 1));
        await handled.Task.WaitAsync(Eventually.Deadline);
        await host.WhenSettledAsync(_stream, Group);
        await recorder.WhenCountedAsync("millrace.ignored", 3);

        Assert.Null(await Store.GetStreamInfoAsync(StreamNames.DeadLetters(_stream, Group)));
        Assert.Equal(4, (await Store.GetStreamInfoAsync(_stream))!.Length);
        Assert.All(
            [DeadLetterReasons.UnknownType, DeadLetterReasons.UndecodableData, DeadLetterReasons.UnknownVersion],
            reason => Assert.Single(recorder.Of("millrace.ignored"), reading => reading.Tags.EndsWith(reason, StringComparison.Ordinal)));
    }

    [Fact]
    public async Task Group_that_stops_settles_nothing_says_why_and_goes_on_after_a_restart_that_can_read_it()
    {
        List<string> handled = [];
        await using (var old = await StartAsync(UndecodablePolicy.Stop, order => handled.Add(order.OrderId)))
        {
            var id = await Store.AppendAsync(_stream, EntryFields.Create(("type", "order.paid"), ("data", "{\"orderId\":\"paid\"}")));
            var check = await HaltedAsync(old);
            Assert.Equal(HealthStatus.Degraded, check.Status);
            Assert.Contains($"entry {id} of {_stream}: unknown type", check.Description);

            await old.Publisher.PublishAsync(_stream, new OrderCreated("o1", 1));
            await old.StopAsync();
            Assert.Empty(handled);
            Assert.Equal(0, (await Store.PendingSummaryAsync(_stream, Group)).Count);
        }

        var done = new TaskCompletionSource<(string, long)>();
        var rest = new TaskCompletionSource();
        await using var updated = await ConsumerHost.StartAsync(
            m => m
                .AddConsumer<OrderCreated>(_stream, Group, (_, _, _) => Task.FromResult(rest.TrySetResult()))
                .AddConsumer<OrderPaid>(_stream, Group, (paid, context, _) =>
                    Task.FromResult(done.TrySetResult((paid.OrderId, context.DeliveryCount)))),
            Store);

        Assert.Equal(("paid", 1L), await done.Task.WaitAsync(Eventually.Deadline));
        await rest.Task.WaitAsync(Eventually.Deadline);
    }

    [Fact]
    public async Task Handlers_that_run_when_the_group_stops_end_as_always()
    {
        var (started, finish) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var host = await ConsumerHost.StartAsync(
            m =>
            {
                m.Services.AddHealthChecks().AddMillrace();
                m.AddConsumer<OrderCreated>(_stream, Group, (_, _, _) =>
                {
                    started.SetResult();
                    return finish.Task;
                }, o => o.Undecodable = UndecodablePolicy.Stop);
            },
            Store);
        await host.Publisher.PublishAsync(_stream, new OrderCreated("o1", 1));
        await started.Task.WaitAsync(Eventually.Deadline);
        await Store.AppendAsync(_stream, EntryFields.Create(("type", "order.lost"), ("data", "{}")));
        await HaltedAsync(host);

        finish.SetResult();

        await Eventually.TrueAsync("only the entry that stopped it is pending", async () =>
            (await Store.PendingSummaryAsync(_stream, Group)).Count == 1);
    }

    private async Task<HealthReportEntry> HaltedAsync(ConsumerHost host)
    {
        HealthReportEntry? found = null;
        await Eventually.TrueAsync("the group has halted", async () =>
        {
            var report = await host.Host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync();
            found = report.Entries["millrace-consumers"];
            return ((string)found.Value.Data[$"{_stream}/{Group}"]).StartsWith("halted since ", StringComparison.Ordinal);
        });
        return found!.Value;
    }

    private Task<ConsumerHost> StartAsync(UndecodablePolicy policy, Action<OrderCreated> handle) => ConsumerHost.StartAsync(
        m =>
        {
            m.Services.AddHealthChecks().AddMillrace();
            m.AddConsumer<OrderCreated>(
                _stream,
                Group,
                (order, _, _) =>
                {
                    handle(order);
                    return Task.CompletedTask;
                },
                o => (o.Undecodable, o.Concurrency) = (policy, 1));
        },
        Store);
}
