using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

/// <summary>What makes room on a store that is full goes on, the same on every store.</summary>
public abstract class FullStoreContract : IAsyncLifetime
{
    private const string Group = "billing";

    protected abstract IStreamStore Store { get; }

    public abstract ValueTask InitializeAsync();

    public abstract ValueTask DisposeAsync();

    [Fact]
    public async Task Retention_of_a_full_store_drops_what_is_settled_though_it_can_note_nothing()
    {
        await FillAsync(entries: 10, settled: 3);

        var result = await new Millrace.Retention(Store).ApplyAsync("orders", new() { MaxCount = 0 });

        Assert.Equal((3L, Group), (result.Entries, result.HeldBackBy));
    }

    [Fact]
    public async Task Host_applies_its_retention_on_a_full_store()
    {
        await FillAsync(entries: 10, settled: 3);

        await using var host = await ConsumerHost.StartAsync(m => m.AddRetention("orders", retention => retention.MaxCount = 0), Store);

        await Eventually.TrueAsync("what is settled is dropped", async () => (await Store.GetStreamInfoAsync("orders"))!.Length == 7);
    }

    [Fact]
    public async Task Reader_of_an_ordered_group_goes_on_while_the_full_store_refuses_to_renew_its_lease()
    {
        var lease = TimeSpan.FromSeconds(33);
        var time = new ManualTimeProvider();
        var (started, finish) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>(
                "orders",
                Group,
                async (_, _, token) =>
                {
                    started.TrySetResult();
                    await finish.Task.WaitAsync(token);
                },
                o => (o.OrderedBy, o.Lease, o.HandlerTimeout) = (nameof(OrderCreated.OrderId), lease, Timeout.InfiniteTimeSpan)),
            Store,
            time);
        await host.Publisher.PublishManyAsync<OrderCreated>("orders", [new("a", 1), new("a", 2), new("b", 1)]);
        await started.Task.WaitAsync(Eventually.Deadline);

        await LimitAsync(1);
        for (var i = 0; i < 6; i++)
        {
            // The reader has its answer when it waits for the next renewal, and for the end of a lease that began anew.
            time.Advance(lease / 3);
            await time.WaitForTimerAsync(lease);
        }

        finish.SetResult();
        await host.WhenSettledAsync("orders", Group);
    }

    /// <summary>Sets the limit of memory, 0 for none.</summary>
    protected abstract Task LimitAsync(long maxMemoryBytes);

    /// <summary>Entries of which a group that is away has settled some, on a store that then is full.</summary>
    private async Task FillAsync(int entries, int settled)
    {
        await Store.CreateGroupAsync("orders", Group, GroupStart.Beginning);
        var ids = await Store.AppendManyAsync("orders", [.. Enumerable.Repeat(EntryFields.Create(("type", "x")), entries)]);
        await Store.ReadGroupAsync(new() { Group = Group, Consumer = "away", Streams = ["orders"], Count = entries });
        await Store.AckAsync("orders", Group, [.. ids.Take(settled)]);
        await LimitAsync(1);
    }
}
