using Microsoft.Extensions.DependencyInjection;
using Millrace.EventSourcing;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EventSourcing;

/// <summary>Snapshots of aggregates.</summary>
public abstract partial class EventStoreTests
{
    [Fact]
    public async Task Aggregate_is_loaded_from_its_snapshot_and_the_events_after_it()
    {
        await using var host = await AccountsAsync(new() { Every = 10 });
        for (var i = 1; i <= 25; i++)
            await EarnAsync(host, i);

        // What the snapshot covers is not needed any more.
        Assert.Equal(20, await Events.TrimToSnapshotAsync(AccountsOf(host).StreamOf(_stream)));
        var account = await AccountsOf(host).LoadAsync(_stream);
        Assert.Equal((325, 25L, 5, _stream), (account.Balance, account.Version, account.Applied, account.Id));
        await EarnAsync(host, 1);
        Assert.Equal(326, (await AccountsOf(host).LoadAsync(_stream)).Balance);
    }

    [Fact]
    public async Task Snapshot_of_an_aggregate_is_taken_by_age_and_once_for_each_load()
    {
        var time = new ManualTimeProvider();
        await using var host = await AccountsAsync(new() { Every = 3, MaxAge = TimeSpan.FromDays(1) }, time);
        var account = await AccountsOf(host).LoadAsync(_stream);
        for (var i = 1; i <= 7; i++)
        {
            account.Earn(1);
            await AccountsOf(host).SaveAsync(account);
        }

        Assert.Equal(4, (await AccountsOf(host).LoadAsync(_stream)).Applied);
        await EarnAsync(host, 1);
        Assert.Equal(0, (await AccountsOf(host).LoadAsync(_stream)).Applied);
        await EarnAsync(host, 1);
        Assert.Equal(1, (await AccountsOf(host).LoadAsync(_stream)).Applied);
        time.Advance(TimeSpan.FromDays(1));
        await EarnAsync(host, 1);
        Assert.Equal(0, (await AccountsOf(host).LoadAsync(_stream)).Applied);
    }

    /// <summary>Of one that was loaded from its events, and of one that is kept in memory since before its first.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Snapshot_of_an_aggregate_is_taken_by_age_alone(bool isKept)
    {
        var time = new ManualTimeProvider();
        await using var host = await AccountsAsync(new() { Every = int.MaxValue, MaxAge = TimeSpan.FromDays(1) }, time);
        var account = await AccountsOf(host).LoadAsync(_stream);
        for (var days = 0; days < 2; days++)
        {
            account.Earn(1);
            Assert.Equal(AppendOutcome.Appended, (await AccountsOf(host).SaveAsync(account)).Outcome);
            var loaded = await AccountsOf(host).LoadAsync(_stream);
            Assert.Equal((days + 1, days == 0 ? 1 : 0), (loaded.Balance, loaded.Applied));
            account = isKept ? account : loaded;
            time.Advance(TimeSpan.FromDays(1));
        }
    }

    [Fact]
    public async Task Snapshot_of_an_aggregate_of_another_shape_is_not_read_and_rebuilt()
    {
        await using (var old = await AccountsAsync(new() { Every = 2 }))
        {
            for (var i = 0; i < 4; i++)
                await EarnAsync(old, 1);
        }

        await using var host = await AccountsAsync(new() { Every = 2, SchemaVersion = 2 });
        Assert.Equal((4, 4), await LoadAsync());
        await EarnAsync(host, 1);
        Assert.Equal((5, 0), await LoadAsync());

        async Task<(int Balance, int Applied)> LoadAsync()
        {
            var account = await AccountsOf(host).LoadAsync(_stream);
            return (account.Balance, account.Applied);
        }
    }

    private static AggregateRepository<Account> AccountsOf(ConsumerHost host) =>
        host.Host.Services.GetRequiredService<AggregateRepository<Account>>();

    private async Task EarnAsync(ConsumerHost host, int amount)
    {
        var account = await AccountsOf(host).LoadAsync(_stream);
        account.Earn(amount);
        Assert.Equal(AppendOutcome.Appended, (await AccountsOf(host).SaveAsync(account)).Outcome);
    }

    private Task<ConsumerHost> AccountsAsync(SnapshotPolicy snapshots, TimeProvider? time = null) => ConsumerHost.StartAsync(
        m => m.AddMessage<PointsEarned>().AddMessage<PointsSpent>().AddAggregate<Account, AccountSnapshot>("accounts", snapshots),
        _store,
        time,
        instance: Guid.NewGuid().ToString("N"));
}
