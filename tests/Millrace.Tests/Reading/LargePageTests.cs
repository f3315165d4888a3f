using Microsoft.Extensions.DependencyInjection;
using Millrace.EventSourcing;
using Millrace.Projections;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Clients;
using Millrace.Tests.Consuming;
using Millrace.Tests.EventSourcing;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Projections;

namespace Millrace.Tests.Reading;

/// <summary>
/// Twice as much as an answer may hold, in entries that each fit: all of it can be read, and who publishes through the same store notices nothing. Only over
/// a connection is there such a limit.
/// </summary>
public abstract class LargePageTests(Func<Task<string>> endpoint) : IAsyncLifetime
{
    private const string Group = "billing";
    private const int Count = 20;
    private const int LargeBytes = 100 * 1024;

    private static readonly string Large = new('x', LargeBytes);
    private static readonly RedriveOptions ByAnn = new() { By = "ann" };

    private readonly string _stream = $"orders-{Guid.NewGuid():N}";
    private readonly CancellationTokenSource _stop = new();
    private IStreamStore _store = null!;
    private Task<long> _publishing = Task.FromResult(0L);

    public sealed class OnServer(SharedMillrace millrace) : LargePageTests(async () => $"127.0.0.1:{(await millrace.StartedAsync()).Endpoint.Port}");

    public sealed class OnRedis(SharedRedis redis) : LargePageTests(async () => (await redis.StartedAsync()).Endpoint);

    private GroupDeadLetters Letters => new Millrace.DeadLetters(_store).Of(_stream, Group);

    public async ValueTask InitializeAsync()
    {
        var options = RedisOptions.Parse(await endpoint());
        options.MaxReplyBytes = 1024 * 1024;
        _store = new RedisStreamStore(options);
        await _store.OpenAsync();
        _publishing = PublishAsync();
    }

    /// <summary>Fails the test with what the publisher met.</summary>
    public async ValueTask DisposeAsync()
    {
        GC.SuppressFinalize(this);
        await _stop.CancelAsync();
        var published = await _publishing;
        await _store.DisposeAsync();
        _stop.Dispose();
        Assert.InRange(published, 1, long.MaxValue);
    }

    [Fact]
    public async Task Large_letters_are_listed_and_counted()
    {
        await AppendAsync(StreamNames.DeadLetters(_stream, Group));

        Assert.Equal(Count, await Letters.ListAsync().CountAsync());
        Assert.Equal(7, await Letters.ListAsync(new() { Limit = 7 }).CountAsync());
        Assert.Equal(Count, (await Letters.CountByCauseAsync()).Sum(static cause => cause.Count));
        await _store.CreateGroupAsync(_stream, Group, GroupStart.Now);
        var retention = new StreamRetention { DeadLetters = new() { MaxCount = 0 } };
        Assert.Equal(Count, (await new Millrace.Retention(_store).ApplyAsync(_stream, retention, dryRun: true)).DeadLetters);
    }

    [Fact]
    public async Task Large_letters_are_redriven_and_their_notes_read()
    {
        await AppendAsync(StreamNames.DeadLetters(_stream, Group));

        Assert.Equal(RedriveOutcome.Redriven, (await Letters.RedriveAllAsync(new() { Limit = 1 }, ByAnn).SingleAsync()).Outcome);
        Assert.All(await Letters.RedriveAllAsync(DeadLetterFilter.All, ByAnn).ToListAsync(), result => Assert.Equal(RedriveOutcome.Redriven, result.Outcome));

        Assert.Equal(Count, await Letters.AuditAsync().CountAsync());
        Assert.Equal(Count, (await _store.GetStreamInfoAsync(StreamNames.Again(_stream, Group)))!.Length);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Large_messages_are_read_from_the_beginning(bool follow)
    {
        await AppendAsync(_stream);
        await using var host = await ConsumerHost.StartAsync(m => m.AddMessage<OrderPaid>(), _store);

        var read = await host.Reader.ReadAsync<OrderPaid>(_stream, ReadFrom.Start, follow).Take(Count).CountAsync().AsTask().WaitAsync(Eventually.Deadline);

        Assert.Equal(Count, read);
    }

    /// <summary>What came before says nothing of what comes next.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Large_messages_behind_small_ones_are_read(bool follow)
    {
        const int small = 300;
        await _store.AppendManyAsync(_stream, [.. Enumerable.Repeat(Message("x"), small)]);
        await AppendAsync(_stream);
        await using var host = await ConsumerHost.StartAsync(m => m.AddMessage<OrderPaid>(), _store);

        var read = await host.Reader.ReadAsync<OrderPaid>(_stream, ReadFrom.Start, follow).Take(small + Count).CountAsync().AsTask()
            .WaitAsync(Eventually.Deadline);

        Assert.Equal(small + Count, read);
    }

    [Fact]
    public async Task Large_events_are_loaded_exported_and_folded_into_views()
    {
        var category = $"c{Guid.NewGuid():N}";
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddMessage<PointsEarned>().AddMessage<PointsSpent>()
                .AddEventStore(options => options.AddCategory(category))
                .AddProjection("tallies", category, Tally.Folds),
            _store);
        var events = host.Host.Services.GetRequiredService<EventStore>();
        for (var i = 0; i < Count; i++)
            await events.AppendAsync($"{category}-1", ExpectedVersion.Any, [new PointsEarned(1, Large)]);

        Assert.Equal(new Points(Count, Count), (await events.LoadAsync($"{category}-1", Points.Fold)).State);
        Assert.Equal(Count, await events.ReadAsync($"{category}-1", backwards: true).CountAsync());
        Assert.Equal(Count, await events.ReadCategoryAsync(category).CountAsync());
        Assert.Equal(Count, await events.ExportAsync($"{category}-1", Stream.Null));

        var control = host.Host.Services.GetRequiredService<ProjectionControl>();
        await control.WaitForAsync("tallies", null, Eventually.Deadline);
        await control.RebuildStreamAsync("tallies", $"{category}-1");
        var view = await host.Host.Services.GetRequiredService<ProjectionReader<Tally>>().GetAsync($"{category}-1");
        Assert.Equal(new Tally(Count, Count), view);
    }

    /// <summary>One of them is that of the checkpoint, with which a batch begins.</summary>
    [Fact]
    public async Task Events_of_which_an_answer_takes_two_are_folded_into_views()
    {
        var category = $"c{Guid.NewGuid():N}";
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddMessage<PointsEarned>().AddMessage<PointsSpent>()
                .AddEventStore(options => options.AddCategory(category))
                .AddProjection("tallies", category, Tally.Folds),
            _store);
        var events = host.Host.Services.GetRequiredService<EventStore>();
        for (var i = 0; i < 6; i++)
            await events.AppendAsync($"{category}-1", ExpectedVersion.Any, [new PointsEarned(1, new('x', 4 * LargeBytes))]);

        await host.Host.Services.GetRequiredService<ProjectionControl>().WaitForAsync("tallies", null, Eventually.Deadline);

        Assert.Equal(new Tally(6, 6), await host.Host.Services.GetRequiredService<ProjectionReader<Tally>>().GetAsync($"{category}-1"));
    }

    private static EntryFields Message(string order) =>
        EntryFields.Create(("type", "order.paid"), ("data", $$"""{"orderId":"{{order}}"}"""));

    private async Task AppendAsync(string stream)
    {
        for (var i = 0; i < Count; i++)
            await _store.AppendAsync(stream, Message(Large));
    }

    /// <summary>Publishes beside the test until it ends.</summary>
    private async Task<long> PublishAsync()
    {
        long published = 0;
        for (; !_stop.IsCancellationRequested; published++)
            await _store.AppendAsync($"{_stream}-beside", Message("x"), StreamTrim.ToLength(10));
        return published;
    }
}
