using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.Retention;

public sealed class EmbeddedRetentionTests : RetentionContract, IAsyncDisposable
{
    protected override IStreamStore Store { get; } = new EmbeddedStreamStore(new());

    public ValueTask DisposeAsync() => Store.DisposeAsync();

    [Fact]
    public async Task Group_is_abandoned_when_the_time_has_passed_by_the_clock_of_the_store()
    {
        var time = new ManualTimeProvider();
        await using var store = new EmbeddedStreamStore(new(), time);
        await store.CreateGroupAsync("orders", "billing", GroupStart.Beginning);
        var retention = new Millrace.Retention(store, new ManualTimeProvider());
        var policy = new StreamRetention { AbandonedGroups = AbandonedGroupPolicy.Delete };

        Assert.Empty((await retention.ApplyAsync("orders", policy)).AbandonedGroups);
        time.Advance(policy.AbandonedAfter - TimeSpan.FromMinutes(1));
        Assert.Empty((await retention.ApplyAsync("orders", policy)).AbandonedGroups);
        time.Advance(TimeSpan.FromMinutes(1));
        Assert.Equal(["billing"], (await retention.ApplyAsync("orders", policy)).AbandonedGroups);
        Assert.Empty(await store.GetGroupsAsync("orders"));
    }

    [Fact]
    public async Task Group_has_all_of_a_time_that_was_changed()
    {
        var time = new ManualTimeProvider();
        await using var store = new EmbeddedStreamStore(new(), time);
        await store.CreateGroupAsync("orders", "billing", GroupStart.Beginning);
        var retention = new Millrace.Retention(store);
        await retention.ApplyAsync("orders", new());
        time.Advance(TimeSpan.FromDays(8));

        var policy = new StreamRetention { AbandonedAfter = TimeSpan.FromDays(30) };
        Assert.Empty((await retention.ApplyAsync("orders", policy)).AbandonedGroups);
        time.Advance(TimeSpan.FromDays(29));
        Assert.Empty((await retention.ApplyAsync("orders", policy)).AbandonedGroups);
        time.Advance(TimeSpan.FromDays(1));
        Assert.Equal(["billing"], (await retention.ApplyAsync("orders", policy)).AbandonedGroups);
    }
}
