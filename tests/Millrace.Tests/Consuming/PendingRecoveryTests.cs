using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Embedded;
using Millrace.Hosting;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

/// <summary>With a clock that stands still: leases of 30 s, idle entries looked for each 15 s.</summary>
public sealed class PendingRecoveryTests : IAsyncLifetime
{
    private readonly ManualTimeProvider _time = new();
    private readonly EmbeddedStreamStore _store;

    public PendingRecoveryTests() => _store = new(new(), _time);

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => _store.DisposeAsync();

    /// <summary>It waited for a handler to begin with what had been handed back already, and took nothing over any more until the process ended.</summary>
    [Fact]
    public async Task Entries_are_taken_over_after_a_pause_in_the_moment_of_a_claim()
    {
        await _store.CreateGroupAsync("orders", "billing", GroupStart.Beginning);
        await LeaveAsync("o1");
        _time.Advance(TimeSpan.FromSeconds(20));
        await LeaveAsync("o2");
        using var log = new HeldUpLog(EventIds.Recovered);
        ConcurrentQueue<string> handled = [];
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", (order, _, _) =>
            {
                handled.Enqueue(order.OrderId);
                return Task.CompletedTask;
            }),
            _store, _time, log: log);
        var worker = host.Host.Services.GetRequiredService<MillraceService>().Workers.Single();
        var control = host.Host.Services.GetRequiredService<ConsumerControl>();
        await _time.WaitForTimerAsync(TimeSpan.FromSeconds(15));

        // The first is idle for a lease.
        var advancing = Task.Run(() => _time.Advance(TimeSpan.FromSeconds(15)));
        await log.Reached.WaitAsync(Eventually.Deadline);
        Assert.True(control.Pause("orders", "billing"));
        await Eventually.TrueAsync("it is handed back", () => new(worker.Load.Held == 0));
        log.Release();
        await advancing;
        Assert.True(control.Resume("orders", "billing"));
        await Eventually.TrueAsync("the next is taken over", () =>
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            return new(handled.Count >= 2);
        });

        Assert.Equal(["o1", "o2"], handled.Order());
    }

    /// <summary>An entry that a process had which died.</summary>
    private async Task LeaveAsync(string order)
    {
        await _store.AppendAsync("orders", EntryFields.Create(("type", "order.created"), ("schemaversion", "2"), ("data", $"{{\"orderId\":\"{order}\"}}")));
        Assert.Single(await _store.ReadGroupAsync(new() { Group = "billing", Consumer = "dead", Streams = ["orders"] }));
    }
}
