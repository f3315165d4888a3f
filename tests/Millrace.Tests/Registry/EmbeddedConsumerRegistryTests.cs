using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Registry;

public sealed class EmbeddedConsumerRegistryTests : ConsumerRegistryContract, IAsyncDisposable
{
    protected override IStreamStore Store { get; } = new EmbeddedStreamStore(new());

    public ValueTask DisposeAsync() => Store.DisposeAsync();

    /// <summary>Processes and store by one clock.</summary>
    [Fact]
    public async Task Consumer_lives_for_30_s_after_its_last_word_and_the_next_cleaning_deletes_it()
    {
        var beat = TimeSpan.FromSeconds(10);
        var moment = TimeSpan.FromMilliseconds(1);
        var time = new ManualTimeProvider();
        await using var store = new EmbeddedStreamStore(new(), time);
        await using var killed = await StartAsync("killed");
        await using var other = await StartAsync("other");
        await Eventually.TrueAsync("both live", async () => await FindAsync("killed") is { IsAlive: true } && await FindAsync("other") is { IsAlive: true });
        await killed.AbortAsync();

        await BeatAsync();
        await BeatAsync();
        time.Advance(beat - moment);
        Assert.True((await FindAsync("killed"))!.IsAlive);
        time.Advance(2 * moment);
        Assert.False((await FindAsync("killed"))!.IsAlive);

        await time.WaitForTimerAsync(beat - moment); // It looked for the dead in the first beat, and will in the fourth.
        time.Advance(beat - (2 * moment));
        Assert.False((await FindAsync("killed"))!.IsAlive);
        time.Advance(moment);
        await Eventually.TrueAsync("it is deleted", async () => await FindAsync("killed") is null);
        Assert.True((await FindAsync("other"))!.IsAlive);

        async Task BeatAsync()
        {
            await time.WaitForTimerAsync(beat);
            time.Advance(beat);
            await Eventually.TrueAsync("it says that it lives", async () => (await FindAsync("other"))!.Instance!.SeenAt == time.GetUtcNow());
        }

        async Task<GroupConsumer?> FindAsync(string name) =>
            (await new ConsumerRegistry(store).ListAsync("orders", "billing")).FirstOrDefault(consumer => consumer.Name == name);

        // No other timer of 10 s.
        Task<ConsumerHost> StartAsync(string instance) => ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", (_, _, _) => Task.CompletedTask, options => options.Lease = TimeSpan.FromDays(1))
                .Configure(options => options.SampleInterval = TimeSpan.FromDays(1)),
            store, time, instance: instance);
    }
}
