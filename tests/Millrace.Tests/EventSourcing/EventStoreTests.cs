using Microsoft.Extensions.DependencyInjection;
using Millrace.Embedded;
using Millrace.EventSourcing;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Clients;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EventSourcing;

/// <summary>What the event store promises, the same on every store.</summary>
/// <param name="endpoint">Where the server is, or <see langword="null"/>: the embedded store.</param>
public abstract partial class EventStoreTests(Func<Task<string>>? endpoint) : IAsyncLifetime
{
    private readonly string _stream = $"points-{Guid.NewGuid():N}";
    private IStreamStore? _store;
    private ConsumerHost? _host;

    public sealed class OnEmbedded() : EventStoreTests(null);

    public sealed class OnRedis(SharedRedis redis) : EventStoreTests(async () => (await redis.StartedAsync()).Endpoint);

    public sealed class OnServer(SharedMillrace millrace) : EventStoreTests(async () => $"127.0.0.1:{(await millrace.StartedAsync()).Endpoint.Port}");

    private EventStore Events => EventsOf(_host!);

    public async ValueTask InitializeAsync()
    {
        _store = endpoint is null ? new EmbeddedStreamStore(new()) : new RedisStreamStore(RedisOptions.Parse(await endpoint()));
        _host = await HostAsync(_store);
    }

    public async ValueTask DisposeAsync()
    {
        await _host!.DisposeAsync();
        await _store!.DisposeAsync();
    }

    /// <summary>The example of the articles: 10 points earned, 5 spent, 95 earned.</summary>
    [Fact]
    public async Task User_who_earned_10_spent_5_and_earned_95_points_has_100()
    {
        var stream = $"user:{Guid.NewGuid():N}:events";
        await Events.AppendAsync(stream, ExpectedVersion.NoStream, [new PointsEarned(10, "visit")]);
        await Events.AppendAsync(stream, ExpectedVersion.Any, [new PointsSpent(5)]);
        await Events.AppendAsync(stream, ExpectedVersion.Exactly(2), [new PointsEarned(95, "order")]);

        var loaded = await Events.LoadAsync(stream, Points.Fold);

        Assert.Equal((new Points(100, 3), 3L), (loaded.State, loaded.Version));
        Assert.Equal(["1-0", "2-0", "3-0"], (await _store!.RangeAsync(stream, new())).Select(entry => entry.Id.ToString()));
    }

    [Fact]
    public async Task Append_on_another_version_conflicts_and_tells_what_came_between()
    {
        await AppendAsync(1, 2, 3);

        var result = await Events.AppendAsync(_stream, ExpectedVersion.Exactly(1), [new PointsSpent(1)]);
        var ahead = await Events.AppendAsync(_stream, ExpectedVersion.Exactly(7), [new PointsSpent(1)]);
        var second = await Events.AppendAsync(_stream, ExpectedVersion.NoStream, [new PointsSpent(1)]);

        Assert.Equal((AppendOutcome.Conflict, 3L), (result.Outcome, result.Version));
        Assert.Equal([(2L, (object)new PointsEarned(2, "test")), (3, new PointsEarned(3, "test"))], result.Between.Select(one => (one.Version, one.Event)));
        Assert.Equal((AppendOutcome.Conflict, 3L, 0), (ahead.Outcome, ahead.Version, ahead.Between.Count));
        Assert.Equal((AppendOutcome.Conflict, 3), (second.Outcome, second.Between.Count));
        Assert.Equal(3, await Events.GetVersionAsync(_stream));
    }

    [Fact]
    public async Task Sixteen_writers_at_once_lose_no_event_and_fork_no_history()
    {
        const int writers = 16;
        const int each = 10;
        await Task.WhenAll(Enumerable.Range(0, writers).Select(writer => Task.Run(async () =>
        {
            for (var i = 0; i < each; i++)
            {
                if (writer % 2 == 0)
                    await Events.DecideAsync(_stream, Points.Decider, new PointsCommand.Earn((writer * each) + i + 1));
                else
                    await Events.AppendAsync(_stream, ExpectedVersion.Any, [new PointsEarned((writer * each) + i + 1, "test")]);
            }
        })));

        var events = await Events.ReadAsync(_stream).ToListAsync();
        Assert.Equal(Enumerable.Range(1, writers * each).Select(version => (long)version), events.Select(one => one.Version));
        Assert.Equal(Enumerable.Range(1, writers * each), events.Select(one => ((PointsEarned)one.Event).Amount).Order());
    }

    [Fact]
    public async Task Command_that_comes_twice_appends_once_and_gives_the_first_result()
    {
        var options = new AppendOptions { CommandId = "c1", CorrelationId = "talk", Headers = new Dictionary<string, string> { ["tenant"] = "t1" } };
        await AppendAsync(1);
        var first = await Events.AppendAsync(_stream, ExpectedVersion.Exactly(1), [new PointsSpent(1), new PointsEarned(2, "x")], options);
        await AppendAsync(3);

        var second = await Events.AppendAsync(_stream, ExpectedVersion.Exactly(1), [new PointsSpent(1), new PointsEarned(2, "x")], options);
        var decided = await Events.DecideAsync(_stream, Points.Decider, new PointsCommand.Spend(1_000), options);

        Assert.Equal((AppendOutcome.Appended, 3L), (first.Outcome, first.Version));
        Assert.Equal((AppendOutcome.Duplicate, 3L, true), (second.Outcome, second.Version, second.IsRecorded));
        Assert.Equal((4L, 0), (decided.Version, decided.Events.Count));
        Assert.Equal((new EntryId(3, 0), new EntryId(4, 0)), (second.Position, decided.Position));
        var headers = (await Events.ReadAsync(_stream, from: 2, to: 2).SingleAsync()).Headers;
        Assert.Equal(("talk", "c1", "t1"), (headers.CorrelationId, headers.CausationId, headers["tenant"]));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Append_whose_answer_is_lost_is_made_once(bool isAny)
    {
        await AppendAsync(1);
        var lost = 0;
        await using var host = await HostAsync(FaultyStore.Wrap(_store!, member =>
            member == nameof(IStreamStore.CommitAsync) && Interlocked.Increment(ref lost) <= 2 ? FaultyStore.Fault.After : FaultyStore.Fault.None));

        var result = await EventsOf(host).AppendAsync(
            _stream, isAny ? ExpectedVersion.Any : ExpectedVersion.Exactly(1), [new PointsSpent(1), new PointsEarned(2, "x")]);

        Assert.Equal((AppendOutcome.Appended, 3L, new EntryId(3, 0)), (result.Outcome, result.Version, result.Position));
        Assert.Equal(3, await Events.ReadAsync(_stream).CountAsync());
        Assert.True(lost > 2);
    }

    /// <summary>The last try said that nothing was sent, of which the caller made that nothing was appended, and appended again.</summary>
    [Theory]
    [InlineData(nameof(IStreamStore.CommitAsync))]
    [InlineData(nameof(IStreamStore.RangeAsync))]
    public async Task Append_whose_answer_is_lost_before_an_outage_is_told_to_be_unknown(string lostFrom)
    {
        await AppendAsync(1);
        var commits = 0;
        await using var host = await HostAsync(FaultyStore.Wrap(_store!, member =>
        {
            if (member == nameof(IStreamStore.CommitAsync) && Interlocked.Increment(ref commits) == 1)
                return FaultyStore.Fault.After;
            return member == lostFrom ? FaultyStore.Fault.Before : FaultyStore.Fault.None;
        }));

        var failure = await Assert.ThrowsAsync<StreamException>(() =>
            EventsOf(host).AppendAsync(_stream, ExpectedVersion.Any, [new PointsSpent(1)]).AsTask());

        Assert.Equal(StreamErrorCode.OutcomeUnknown, failure.Code);
        Assert.Equal(StreamErrorCode.Unavailable, Assert.IsType<StreamException>(failure.InnerException).Code);
        Assert.Equal(2, await Events.GetVersionAsync(_stream));
    }

    [Fact]
    public async Task One_command_at_once_from_two_callers_is_decided_once_and_both_see_its_events()
    {
        var options = new AppendOptions { CommandId = "c1" };
        var decided = await Task.WhenAll(Enumerable.Range(0, 8).Select(_ => Task.Run(() =>
            Events.DecideAsync(_stream, Points.Decider, new PointsCommand.Earn(5), options).AsTask())));

        Assert.All(decided, one => Assert.Equal((new Points(5, 1), 1L), (one.State, one.Version)));
        Assert.Equal([0, 0, 0, 0, 0, 0, 0, 1], decided.Select(one => one.Events.Count).Order());
    }

    [Fact]
    public async Task Stream_that_a_group_made_is_still_new()
    {
        await _store!.CreateGroupAsync(_stream, "projector", GroupStart.Beginning);

        var result = await Events.AppendAsync(_stream, ExpectedVersion.NoStream, [new PointsSpent(1)]);

        Assert.Equal((AppendOutcome.Appended, 1L), (result.Outcome, result.Version));
    }

    [Fact]
    public async Task Versions_go_on_above_an_entry_of_another_program_which_no_reader_passes_over()
    {
        await AppendAsync(1);
        var foreign = await _store!.AppendAsync(_stream, EntryFields.Create(("what", "is this")));

        var result = await Events.AppendAsync(_stream, ExpectedVersion.Any, [new PointsSpent(1)]);
        var exact = await Events.AppendAsync(_stream, ExpectedVersion.Exactly(result.Version), [new PointsSpent(1)]);

        Assert.Equal((long)foreign.Milliseconds + 1, result.Version);
        Assert.Equal((AppendOutcome.Appended, result.Version + 1), (exact.Outcome, exact.Version));
        var failure = await Assert.ThrowsAsync<UndecodableMessageException>(() => Events.LoadAsync(_stream, Points.Fold).AsTask());
        Assert.Equal((foreign, DeadLetterReasons.UnknownType), (failure.EntryId, failure.Reason));
        await _store.DeleteAsync(_stream, [foreign]);
        Assert.Equal(-1, (await Events.LoadAsync(_stream, Points.Fold)).State.Balance);
    }

    [Fact]
    public async Task Stream_is_read_forwards_backwards_in_part_and_as_it_was_at_a_version()
    {
        await AppendAsync([.. Enumerable.Range(1, 30)]);
        await AppendAsync([.. Enumerable.Range(31, 700)]);

        Assert.Equal(Enumerable.Range(1, 730), await Amounts(Events.ReadAsync(_stream)));
        Assert.Equal(Enumerable.Range(1, 730).Reverse(), await Amounts(Events.ReadAsync(_stream, backwards: true)));
        Assert.Equal([5, 6, 7], await Amounts(Events.ReadAsync(_stream, from: 5, to: 7)));
        Assert.Equal([7, 6, 5], await Amounts(Events.ReadAsync(_stream, from: 5, to: 7, backwards: true)));
        Assert.Equal((new Points(3, 2), 2L), StateOf(await Events.LoadAsync(_stream, Points.Fold, toVersion: 2)));
        Assert.Equal((new Points(0, 0), 0L), StateOf(await Events.LoadAsync(_stream, Points.Fold, toVersion: 0)));
    }

    /// <summary>More events than a page holds, a minute apart: 1 point, 2 points, …</summary>
    [Fact]
    public async Task Stream_is_loaded_as_it_was_at_a_time()
    {
        const int count = 140;
        var time = new ManualTimeProvider();
        await using var host = await ConsumerHost.StartAsync(m => m.AddMessage<PointsEarned>().AddEventStore(), _store, time);
        var first = time.GetUtcNow();
        for (var version = 1; version <= count; version++)
        {
            await EventsOf(host).AppendAsync(_stream, ExpectedVersion.Any, [new PointsEarned(version, "test")]);
            time.Advance(TimeSpan.FromMinutes(1));
        }

        async Task IsAtAsync(int version, DateTimeOffset moment) => Assert.Equal(
            (new Points(version * (version + 1) / 2, version), (long)version), StateOf(await Events.LoadAsync(_stream, Points.Fold, toTime: moment)));

        await IsAtAsync(0, first - TimeSpan.FromDays(1));
        foreach (var version in new[] { 1, 2, 30, 128, 129, count })
        {
            var moment = first + TimeSpan.FromMinutes(version - 1);
            await IsAtAsync(version - 1, moment - TimeSpan.FromMilliseconds(1));
            await IsAtAsync(version, moment);
            await IsAtAsync(version, moment + TimeSpan.FromSeconds(30));
        }

        await IsAtAsync(count, first + TimeSpan.FromDays(1));
    }

    [Fact]
    public async Task Older_version_of_an_event_is_read_as_the_newest()
    {
        await Events.AppendAsync(_stream, ExpectedVersion.NoStream, [new PointsEarnedV1(7)]);

        Assert.Equal(new PointsEarned(7, "unknown"), (await Events.ReadAsync(_stream).SingleAsync()).Event);
    }

    [Fact]
    public async Task Wrong_arguments_are_told_before_anything_is_written()
    {
        await Assert.ThrowsAsync<ArgumentException>(() => Events.AppendAsync(_stream, ExpectedVersion.Any, []).AsTask());
        await Assert.ThrowsAsync<ArgumentException>(() =>
            Events.AppendAsync(_stream, ExpectedVersion.Any, [.. Enumerable.Repeat(new PointsSpent(1), 1_000)]).AsTask());
        await Assert.ThrowsAsync<ArgumentException>(() => Events.AppendAsync(_stream, ExpectedVersion.Any, [new PointsSpent(1), null!]).AsTask());
        await Assert.ThrowsAsync<InvalidOperationException>(() => Events.AppendAsync(_stream, ExpectedVersion.Any, [new object()]).AsTask());
        Assert.Throws<ArgumentOutOfRangeException>(() => ExpectedVersion.Exactly(-1));
        Assert.Throws<ArgumentException>(() => new EventStoreOptions().AddCategory("a-b"));
        Assert.Throws<ArgumentException>(() => new EventStoreOptions().AddCategory("{a}"));
        Assert.Throws<ArgumentException>(() => new AppendOptions { CommandId = "" });
        Assert.Throws<ArgumentException>(() => new AppendOptions { Headers = new Dictionary<string, string> { ["eventversion"] = "7" } });
        Assert.Throws<ArgumentOutOfRangeException>(() => new SnapshotPolicy { Every = 0 });
        await using var host = await HostAsync(_store!, o => o.AddCategory("taken"));
        await Assert.ThrowsAsync<ArgumentException>(() => EventsOf(host).AppendAsync("taken", ExpectedVersion.Any, [new PointsSpent(1)]).AsTask());
        await Assert.ThrowsAsync<ArgumentException>(() => EventsOf(host).DeleteAsync("taken", ExpectedVersion.Any).AsTask());
        await Assert.ThrowsAsync<ArgumentException>(() =>
            EventsOf(host).AppendAsync("taken-1", ExpectedVersion.Any, [.. Enumerable.Repeat(new PointsSpent(1), 500)]).AsTask());

        Assert.Equal(0, await Events.GetVersionAsync(_stream));
    }

    private static async Task<IEnumerable<int>> Amounts(IAsyncEnumerable<RecordedEvent> events) =>
        (await events.ToListAsync()).Select(one => ((PointsEarned)one.Event).Amount);

    private static (T State, long Version) StateOf<T>(LoadedState<T> loaded)
        where T : notnull => (loaded.State, loaded.Version);

    private static EventStore EventsOf(ConsumerHost host) => host.Host.Services.GetRequiredService<EventStore>();

    private static Task<ConsumerHost> HostAsync(IStreamStore store, Action<EventStoreOptions>? configure = null) => ConsumerHost.StartAsync(
        m => m
            .AddMessage<PointsEarned>()
            .AddMessage<PointsEarnedV1>()
            .AddMessage<PointsSpent>()
            .AddMessage<Moved>()
            .AddUpcaster<PointsEarnedV1, PointsEarned>(v1 => new(v1.Amount, "unknown"))
            .AddAggregate<Account>("points")
            .AddEventStore(configure),
        store);

    private async Task AppendAsync(params int[] amounts)
    {
        var result = await Events.AppendAsync(_stream, ExpectedVersion.Any, [.. amounts.Select(amount => new PointsEarned(amount, "test"))]);
        Assert.Equal(AppendOutcome.Appended, result.Outcome);
    }
}
