using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Logging;
using Millrace.Embedded;
using Millrace.Projections;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Clients;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Incidents;

namespace Millrace.Tests.Lanes;

/// <summary>Nobody passes over the messages of a lane without being told, the same on every store.</summary>
/// <param name="endpoint">Where the server is, or <see langword="null"/>: the embedded store.</param>
public abstract class LaneDirectoryTests(Func<Task<string>>? endpoint) : IAsyncLifetime
{
    private readonly string _stream = $"orders-{Guid.NewGuid():N}";
    private IStreamStore? _store;

    public sealed class OnEmbedded() : LaneDirectoryTests(null);

    public sealed class OnRedis(SharedRedis redis) : LaneDirectoryTests(async () => (await redis.StartedAsync()).Endpoint);

    public sealed class OnServer(SharedMillrace millrace) : LaneDirectoryTests(async () => $"127.0.0.1:{(await millrace.StartedAsync()).Endpoint.Port}");

    public async ValueTask InitializeAsync() =>
        _store = endpoint is null ? new EmbeddedStreamStore(new()) : new RedisStreamStore(RedisOptions.Parse(await endpoint()));

    public async ValueTask DisposeAsync() => await _store!.DisposeAsync();

    [Fact]
    public async Task Consumer_that_declares_fewer_lanes_does_not_start()
    {
        await using var first = await ConsumerHost.StartAsync(m => Consume(Declare(m, "express", "bulk")), _store);

        foreach (var fewer in new[] { Array.Empty<string>(), ["express", "slow"] })
        {
            var refusal = await Assert.ThrowsAsync<MillraceConfigurationException>(() =>
                ConsumerHost.StartAsync(m => Consume(Declare(m, fewer)), _store, instance: "fewer"));
            Assert.Contains($"'{_stream}'", Assert.Single(refusal.Errors), StringComparison.Ordinal);
            Assert.Contains("bulk", refusal.Message, StringComparison.Ordinal);
        }

        // Who was refused left nothing that would keep others from starting.
        Assert.Equal(["bulk", "express"], await LanesOf(first).ListAsync(_stream));
        await using var second = await ConsumerHost.StartAsync(m => Consume(Declare(m, "express", "bulk", "slow")), _store, instance: "more");
        Assert.Equal(["bulk", "express", "slow"], await LanesOf(first).ListAsync(_stream));
    }

    [Fact]
    public async Task Publishers_declare_lanes_too_and_need_not_know_all()
    {
        var starts = Enumerable.Range(0, 8).Select(i => ConsumerHost.StartAsync(m => Declare(m, $"l{i}"), _store, instance: $"p{i}"));
        var hosts = await Task.WhenAll(starts);

        Assert.Equal(Enumerable.Range(0, 8).Select(i => $"l{i}"), await LanesOf(hosts[0]).ListAsync(_stream));
        await Assert.ThrowsAsync<MillraceConfigurationException>(() => ConsumerHost.StartAsync(m => Consume(m), _store, instance: "consumer"));
        foreach (var host in hosts)
            await host.DisposeAsync();
    }

    /// <summary>As in a rolling deploy: the old process goes on, and shows what it does not read.</summary>
    [Fact]
    public async Task Consumer_that_runs_when_a_lane_is_added_is_degraded_and_says_so()
    {
        var time = new ManualTimeProvider();
        using var log = new WarningCount(LogLevel.Error);
        await using var old = await ConsumerHost.StartAsync(
            m =>
            {
                m.Services.AddHealthChecks().AddMillrace();
                Consume(Declare(m, "express"));
            },
            _store,
            time,
            log: log);
        await WhenHealthAsync(HealthStatus.Healthy, "");
        await using (var deployed = await ConsumerHost.StartAsync(m => Consume(Declare(m, "express", "bulk")), _store, instance: "deployed"))
        {
            await WhenHealthAsync(HealthStatus.Degraded, "bulk");
            await WhenHealthAsync(HealthStatus.Degraded, "bulk");
            Assert.Equal(1, log.Count);
        }

        await LanesOf(old).RemoveAsync(_stream, "bulk");
        await WhenHealthAsync(HealthStatus.Healthy, "");

        Task WhenHealthAsync(HealthStatus status, string reason) => Eventually.TrueAsync($"it is {status}", async () =>
        {
            time.Advance(TimeSpan.FromSeconds(10));
            var report = await old.Host.Services.GetRequiredService<HealthCheckService>().CheckHealthAsync();
            var consumers = report.Entries["millrace-consumers"];
            return consumers.Status == status && (consumers.Description ?? "").Contains(reason, StringComparison.Ordinal);
        });
    }

    [Fact]
    public async Task Lane_is_removed_when_nothing_of_it_waits()
    {
        await using (var publisher = await ConsumerHost.StartAsync(m => Declare(m.AddMessage<OrderCreated>(), "bulk"), _store, instance: "publisher"))
        {
            await publisher.Publisher.PublishAsync(_stream, new OrderCreated("o1", 1), new() { Lane = "bulk" });
            await RefusesAsync(publisher, "bulk"); // No group has it yet.
            await _store!.CreateGroupAsync(StreamNames.Lane(_stream, "bulk"), "audit", GroupStart.Now);
            await _store!.CreateGroupAsync(_stream, "packing", GroupStart.Beginning);
            Assert.Contains("for packing:", (await RefusesAsync(publisher, "bulk")).Message, StringComparison.Ordinal); // A group of the stream has not.
            await _store!.DestroyGroupAsync(_stream, "packing");
            await LanesOf(publisher).RemoveAsync(_stream, "bulk");
        }

        await using (var all = await ConsumerHost.StartAsync(m => Consume(Declare(m, "express", "bulk", "slow")), _store))
        {
            await all.WhenSettledAsync(StreamNames.Lane(_stream, "bulk"), "packing");
            await all.Publisher.PublishAsync(_stream, new OrderCreated("o2", 2), new() { Lane = "bulk", Delay = TimeSpan.FromHours(1) });
            await RefusesAsync(all, "bulk"); // It waits for its time.
            await all.Publisher.PublishAsync(_stream, new OrderCreated("o3", 3), new() { Lane = "express" });
            await all.WhenSettledAsync(StreamNames.Lane(_stream, "express"), "packing");
            await all.StopAsync();
            await all.Publisher.PublishAsync(_stream, new OrderCreated("o4", 4), new() { Lane = "slow" });
            await RefusesAsync(all, "slow"); // It waits for the group.

            await LanesOf(all).RemoveAsync(_stream, "express");
        }

        await using var fewer = await ConsumerHost.StartAsync(m => Consume(Declare(m, "bulk", "slow")), _store);
        Assert.Equal(["bulk", "slow"], await LanesOf(fewer).ListAsync(_stream));

        Task<InvalidOperationException> RefusesAsync(ConsumerHost host, string lane) =>
            Assert.ThrowsAsync<InvalidOperationException>(async () => await LanesOf(host).RemoveAsync(_stream, lane));
    }

    [Fact]
    public async Task Stream_that_cannot_be_looked_at_hides_no_lane_of_another()
    {
        var broken = $"a-{_stream}";
        await _store!.AppendAsync(StreamNames.State(new(broken, "millrace/lanes")), EntryFields.Create(("a", "stream"))); // Where the document would be.
        await using var first = await ConsumerHost.StartAsync(m => Consume(Declare(m, "express")), _store);

        var refusal = await Assert.ThrowsAsync<MillraceConfigurationException>(() => StartAsync());
        Assert.Contains("express", Assert.Single(refusal.Errors), StringComparison.Ordinal);

        await first.WhenSettledAsync(_stream, "packing");
        await LanesOf(first).RemoveAsync(_stream, "express");
        Assert.Equal(StreamErrorCode.WrongType, (await Assert.ThrowsAsync<StreamException>(() => StartAsync())).Code);

        Task<ConsumerHost> StartAsync() => ConsumerHost.StartAsync(
            m =>
            {
                m.AddConsumer<OrderCreated>(broken, "packing", static (_, _, _) => Task.CompletedTask);
                Consume(m);
            },
            _store,
            instance: "second");
    }

    [Fact]
    public async Task Reader_that_does_not_know_the_lanes_is_refused_also_when_they_come_later()
    {
        var time = new ManualTimeProvider();
        await using var reader = await ConsumerHost.StartAsync(m => m.AddMessage<OrderCreated>(), _store, time, instance: "reader");
        await reader.Publisher.PublishAsync(_stream, new OrderCreated("o1", 1));
        await using var following = reader.Reader.ReadAsync<OrderCreated>(_stream, ReadFrom.Start).GetAsyncEnumerator();
        Assert.True(await following.MoveNextAsync());

        await using var lanes = await ConsumerHost.StartAsync(m => Declare(m.AddMessage<OrderCreated>(), "express"), _store, instance: "lanes");
        time.Advance(TimeSpan.FromSeconds(30));

        var refusal = await Assert.ThrowsAsync<InvalidOperationException>(async () => await following.MoveNextAsync().AsTask().WaitAsync(Eventually.Deadline));
        Assert.Contains("express", refusal.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<InvalidOperationException>(async () => await ReadAsync(reader, _stream));
        await lanes.Publisher.PublishAsync(_stream, new OrderCreated("o2", 2), new() { Lane = "express" });
        Assert.Equal(["o1"], await ReadAsync(lanes, _stream));
        Assert.Equal(["o2"], await ReadAsync(lanes, LanesOf(lanes).StreamOf(_stream, "express")));

        static async Task<List<string>> ReadAsync(ConsumerHost host, string stream) =>
            await host.Reader.ReadAsync<OrderCreated>(stream, ReadFrom.Start, follow: false).Select(message => message.Body.OrderId).ToListAsync();
    }

    [Fact]
    public async Task Projection_of_a_stream_with_lanes_fails_and_says_so()
    {
        await using var host = await ConsumerHost.StartAsync(
            m => Declare(m.AddMessage<OrderCreated>(), "express").AddProjection<OrderCreated>(
                "orders", _stream, folds => folds.On<OrderCreated>((_, order, _) => order)),
            _store);
        await host.Publisher.PublishAsync(_stream, new OrderCreated("o1", 1));
        var control = host.Host.Services.GetRequiredService<ProjectionControl>();

        await Eventually.TrueAsync("it fails", () => new(control.Local is [{ State: ProjectionState.Failing, Detail: { } detail }] &&
            detail.Contains("express", StringComparison.Ordinal)));

        Assert.Equal(EntryId.Zero, control.Local[0].Checkpoint.Position);
    }

    private static PriorityLanes LanesOf(ConsumerHost host) => host.Host.Services.GetRequiredService<PriorityLanes>();

    private MillraceBuilder Declare(MillraceBuilder millrace, params string[] lanes) => lanes.Length == 0 ? millrace : millrace.AddLanes(_stream, options =>
    {
        foreach (var lane in lanes)
            options.Add(lane, 2);
    });

    private void Consume(MillraceBuilder millrace) =>
        millrace.AddConsumer<OrderCreated>(_stream, "packing", static (_, _, _) => Task.CompletedTask);
}
