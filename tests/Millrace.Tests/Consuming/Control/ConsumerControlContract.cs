using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming.Control;

/// <summary>Pauses at run time, the same on every store.</summary>
public abstract class ConsumerControlContract
{
    private const string Group = "billing";

    private readonly string _stream = $"orders-{Guid.NewGuid():N}";
    private readonly ConcurrentQueue<string> _handled = new();

    protected abstract IStreamStore Store { get; }

    [Fact]
    public async Task Paused_consumer_begins_nothing_lets_what_runs_end_and_goes_on_when_resumed()
    {
        var (started, finish) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var host = await StartAsync(order =>
        {
            started.TrySetResult();
            return finish.Task;
        });
        await PublishAsync(host, "o1");
        await started.Task.WaitAsync(Eventually.Deadline);

        Assert.True(Control(host).Pause(_stream, Group));
        Assert.False(Control(host).Pause(_stream, Group));
        await PublishAsync(host, "o2", "o3");
        finish.SetResult();
        await Eventually.TrueAsync("what ran is settled", async () => (await Store.PendingSummaryAsync(_stream, Group)).Count == 0);

        // A read that was under way may still have brought one; it was handed back.
        Assert.Equal(["o1"], _handled);
        Assert.True(Control(host).Resume(_stream, Group));
        Assert.False(Control(host).Resume(_stream, Group));
        await Eventually.TrueAsync("the rest is handled", () => ValueTask.FromResult(_handled.Count == 3));
        Assert.Equal(["o1", "o2", "o3"], _handled.Order());
    }

    [Fact]
    public async Task Paused_consumer_hands_back_what_it_has_not_begun_for_another_process()
    {
        var (started, finish) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var host = await StartAsync(order =>
        {
            started.TrySetResult();
            return finish.Task;
        });
        await PublishAsync(host, "o1", "o2", "o3");
        await started.Task.WaitAsync(Eventually.Deadline);
        await Eventually.TrueAsync("all is read", async () => (await Store.GetGroupsAsync(_stream))[0].Lag == 0);

        Control(host).Pause(_stream, Group);
        await using var other = await StartAsync(_ => Task.CompletedTask, instance: "other");
        await Eventually.TrueAsync("the other process handles what has not begun", () => ValueTask.FromResult(_handled.Count == 2));

        Assert.Equal(["o2", "o3"], _handled.Order());
        finish.SetResult();
        await host.WhenSettledAsync(_stream, Group);
    }

    [Theory]
    [InlineData("local")]
    [InlineData("dead")]
    public async Task Paused_consumer_keeps_nothing_of_what_an_earlier_run_left(string left)
    {
        // Three pages of the recovery, left by this consumer or by another one.
        const int count = 150;
        await Store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
        await Store.AppendManyAsync(_stream, [.. Enumerable.Range(0, count).Select(i => EntryFields.Create(
            ("type", "order.created"), ("schemaversion", "2"), ("data", $"{{\"orderId\":\"o{i}\"}}")))]);
        await Store.ReadGroupAsync(new() { Group = Group, Consumer = left, Streams = [_stream], Count = count });
        var (started, finish) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var host = await StartAsync(order =>
        {
            started.TrySetResult();
            return finish.Task;
        }, leaseSeconds: 2);
        await started.Task.WaitAsync(Eventually.Deadline);

        Control(host).Pause(_stream, Group);
        await using var other = await StartAsync(_ => Task.CompletedTask, "other", leaseSeconds: 2);
        await Eventually.TrueAsync("the other process handles what has not begun", () => ValueTask.FromResult(_handled.Distinct().Count() >= count - 1));

        finish.SetResult();
        await host.WhenSettledAsync(_stream, Group);
        Assert.Equal(count, _handled.Distinct().Count());
    }

    [Fact]
    public async Task Health_and_report_show_a_pause_and_its_end()
    {
        await using var host = await StartAsync(_ => Task.CompletedTask);
        await WhenAsync(host, WorkerState.Reading, HealthStatus.Healthy);

        Control(host).Pause(_stream, Group);
        var check = await WhenAsync(host, WorkerState.Paused, HealthStatus.Degraded);
        Assert.Contains("paused since ", check.Description);
        Control(host).Resume(_stream, Group);
        await WhenAsync(host, WorkerState.Reading, HealthStatus.Healthy);
    }

    [Fact]
    public async Task Paused_consumer_stops_like_any_other()
    {
        await using var host = await StartAsync(_ => Task.CompletedTask);
        Control(host).Pause(_stream, Group);
        await PublishAsync(host, "o1");

        await host.StopAsync();

        Assert.Equal(WorkerState.Stopping, Control(host).Consumers[0].State);
        Assert.Empty(_handled);
    }

    [Fact]
    public async Task Unknown_consumer_is_refused()
    {
        await using var host = await StartAsync(_ => Task.CompletedTask);

        Assert.Throws<ArgumentException>(() => Control(host).Pause(_stream, "other"));
        Assert.Throws<ArgumentException>(() => Control(host).Resume("other", Group));
    }

    private static ConsumerControl Control(ConsumerHost host) => host.Host.Services.GetRequiredService<ConsumerControl>();

    private static async Task<HealthReportEntry> WhenAsync(ConsumerHost host, WorkerState state, HealthStatus health)
    {
        HealthReportEntry? found = null;
        await Eventually.TrueAsync($"the consumer is {state} and the check {health}", async () =>
        {
            found = (await host.Host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync()).Entries["millrace-consumers"];
            return found.Value.Status == health && Control(host).Consumers[0].State == state;
        });
        return found!.Value;
    }

    private async Task PublishAsync(ConsumerHost host, params string[] ids)
    {
        foreach (var id in ids)
            await host.Publisher.PublishAsync(_stream, new OrderCreated(id, 1));
    }

    private Task<ConsumerHost> StartAsync(Func<OrderCreated, Task> handle, string instance = "local", int leaseSeconds = 30) => ConsumerHost.StartAsync(
        m =>
        {
            m.Services.AddHealthChecks().AddMillrace();
            m.AddConsumer<OrderCreated>(
                _stream,
                Group,
                async (order, _, _) =>
                {
                    await handle(order);
                    _handled.Enqueue(order.OrderId);
                },
                o => (o.Concurrency, o.Prefetch, o.Lease, o.HandlerTimeout) = (1, 8, TimeSpan.FromSeconds(leaseSeconds), Eventually.Deadline));
        },
        Store,
        instance: instance);
}
