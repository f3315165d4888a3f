using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Storage;
using Microsoft.Extensions.DependencyInjection;
using Millrace.EntityFrameworkCore;
using Millrace.OutboxWorker;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EntityFrameworkCore;

/// <summary>Applications that set up an outbox in unusual ways, or wrongly.</summary>
public sealed class OutboxSetupTests : IAsyncLifetime
{
    private TestDatabase? _database;

    public async ValueTask InitializeAsync() => _database = await TestDatabase.OnSqliteAsync();

    public async ValueTask DisposeAsync() => await _database!.DisposeAsync();

    /// <summary>The name of the class was the default: a version that renamed it published every row beside the one before.</summary>
    [Fact]
    public async Task Outbox_without_a_name_is_refused_when_the_host_starts()
    {
        var exception = await Assert.ThrowsAsync<MillraceConfigurationException>(() => HostAsync(options => options.Name = null));

        Assert.Contains("Name is not set", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Two_outboxes_with_different_names_over_one_table_are_refused()
    {
        var exception = await Assert.ThrowsAsync<MillraceConfigurationException>(() => HostAsync(configure: Add<TwinDb>));

        Assert.Contains("ShopDb and TwinDb are one table", exception.Message, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Two_outboxes_with_a_table_each_are_not_refused()
    {
        await using var host = await HostAsync(configure: Add<OtherDb>);

        Assert.NotNull(host.Host.Services.GetService<Outbox<OtherDb>>());
    }

    /// <summary>A commit in between used to take the wake-up of rows that were not saved yet.</summary>
    [Fact]
    public async Task Row_that_is_saved_after_another_transaction_of_its_context_wakes_the_relay()
    {
        await using var host = await HostAsync();
        await using var scope = host.Host.Services.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<ShopDb>();
        db.Publish("placed", new Placed(1));
        await using (var transaction = await db.Database.BeginTransactionAsync())
        {
            await db.Orders.ExecuteDeleteAsync();
            await transaction.CommitAsync();
        }

        await db.SaveChangesAsync();

        await host.ReadAsync("placed");
    }

    [Fact]
    public async Task Row_of_a_context_that_uses_the_transaction_of_another_wakes_the_relay_when_that_one_commits()
    {
        await using var host = await HostAsync();
        await using var scope = host.Host.Services.CreateAsyncScope();
        await using var otherScope = host.Host.Services.CreateAsyncScope();
        var db = scope.ServiceProvider.GetRequiredService<ShopDb>();
        var other = otherScope.ServiceProvider.GetRequiredService<ShopDb>();
        await using var transaction = await db.Database.BeginTransactionAsync();
        other.Database.SetDbConnection(db.Database.GetDbConnection());
        await other.Database.UseTransactionAsync(transaction.GetDbTransaction());
        other.Publish("placed", new Placed(1));
        await other.SaveChangesAsync();

        await transaction.CommitAsync();

        await host.ReadAsync("placed");
    }

    private Task<ConsumerHost> HostAsync(Action<OutboxOptions>? options = null, Action<MillraceBuilder>? configure = null) =>
        ConsumerHost.StartAsync(millrace =>
        {
            millrace.Services.AddDbContext<ShopDb>(_database!.Configure);
            millrace.AddMessage<Placed>().AddOutbox<ShopDb>(outbox =>
            {
                // What is shown is not that it polls.
                (outbox.Name, outbox.PollInterval) = ("shop", TimeSpan.FromHours(1));
                options?.Invoke(outbox);
            });
            configure?.Invoke(millrace);
        });

    private void Add<TDbContext>(MillraceBuilder millrace)
        where TDbContext : DbContext
    {
        millrace.Services.AddDbContext<TDbContext>(_database!.Configure);
        millrace.AddOutbox<TDbContext>(outbox => (outbox.Name, outbox.RunsRelay) = ("other", false));
    }

    /// <summary>Another class with the same table.</summary>
    private sealed class TwinDb(DbContextOptions<TwinDb> options) : DbContext(options)
    {
        protected override void OnModelCreating(ModelBuilder modelBuilder) => modelBuilder.AddMillraceOutbox();
    }

    /// <summary>One with a table of its own.</summary>
    private sealed class OtherDb(DbContextOptions<OtherDb> options) : DbContext(options)
    {
        protected override void OnModelCreating(ModelBuilder modelBuilder) => modelBuilder.AddMillraceOutbox("other_outbox");
    }
}
