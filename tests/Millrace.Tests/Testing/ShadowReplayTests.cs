using Millrace.Embedded;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Testing;
using Millrace.Tests.Clients;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Testing;

/// <summary>What a replay beside the live application tells, whatever store that has.</summary>
/// <param name="endpoint">Where the server is, or <see langword="null"/>: the embedded store.</param>
public abstract class ShadowReplayTests(Func<Task<string>>? endpoint) : IAsyncLifetime
{
    private readonly string _stream = $"trips-{Guid.NewGuid():N}";
    private IStreamStore? _store;

    public sealed class OnEmbedded() : ShadowReplayTests(null);

    public sealed class OnRedis(SharedRedis redis) : ShadowReplayTests(async () => (await redis.StartedAsync()).Endpoint);

    public sealed class OnServer(SharedMillrace millrace) : ShadowReplayTests(async () => $"127.0.0.1:{(await millrace.StartedAsync()).Endpoint.Port}");

    private string Seats => $"{{{_stream}}}:seats";

    public async ValueTask InitializeAsync() =>
        _store = endpoint is null ? new EmbeddedStreamStore(new()) : new RedisStreamStore(RedisOptions.Parse(await endpoint()));

    public async ValueTask DisposeAsync() => await _store!.DisposeAsync();

    [Fact]
    public async Task Same_handler_has_the_same_outcomes_and_nothing_gets_out()
    {
        await RunLiveAsync(20);
        var before = await _store!.GetStreamInfoAsync(Seats);

        var report = await ShadowReplay.RunAsync(_store!, Register(BookAsync), Options());

        Assert.Equal((20, 20, 0, 0), (report.Replayed, report.Same, report.Different, report.Unsettled));
        Assert.Empty(report.Differences);
        Assert.Equal(before, await _store!.GetStreamInfoAsync(Seats));
    }

    /// <summary>One seat less from the tenth trip on: outputs change, and a message that failed is handled, and another way round.</summary>
    [Fact]
    public async Task Handler_that_does_something_else_is_told_message_by_message()
    {
        await RunLiveAsync(20);

        var report = await ShadowReplay.RunAsync(
            _store!,
            Register(async (trip, context, token) =>
            {
                if (trip.Seats == 4)
                    throw new InvalidOperationException("no fours");
                if (trip.Seats == 7)
                    return;
                await CountAsync(trip, context, token);
                context.Publish(Seats, new SeatTaken(trip.Seats == 9 ? "another" : trip.Trip));
                if (trip.Seats == 11)
                    context.Publish(Seats, new SeatTaken("second"));
            }),
            Options());

        Assert.Equal(
            [
                (ShadowDifferenceKind.NowFails, "t4"), (ShadowDifferenceKind.MissingOutput, "t4"), (ShadowDifferenceKind.MissingOutput, "t7"),
                (ShadowDifferenceKind.ChangedOutput, "t9"), (ShadowDifferenceKind.NewOutput, "t11"),
                (ShadowDifferenceKind.NowSucceeds, "t13"), (ShadowDifferenceKind.NewOutput, "t13"),
            ],
            report.Differences.Select(difference => (difference.Kind, difference.MessageId)));
        Assert.Equal((20, 15, 5), (report.Replayed, report.Same, report.Different));
        Assert.Contains("no fours", report.Differences[0].Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Part_of_the_past_is_replayed_with_the_documents_it_needs()
    {
        var ids = await RunLiveAsync(20);
        var found = new List<int>();

        var report = await ShadowReplay.RunAsync(
            _store!,
            Register(async (trip, context, token) =>
            {
                found.Add((await context.State.GetAsync<SeatCount>("count", token))?.Taken ?? -1);
                await BookAsync(trip, context, token);
            }),
            Options() with { From = ReadFrom.After(ids[14]), Through = ids[17], Documents = [new(_stream, "count")] });

        Assert.Equal((3, 3), (report.Replayed, report.Same));
        Assert.Equal([19, 20, 21], found);
    }

    [Fact]
    public async Task Handler_that_writes_other_documents_is_told_by_those_that_are_to_end_the_same()
    {
        await RunLiveAsync(6);
        StateKey count = new(_stream, "count");
        StateKey gone = new(_stream, "gone");
        var options = Options() with { FinalDocuments = [count, gone] };

        var same = await ShadowReplay.RunAsync(_store!, Register(BookAsync), options);
        Assert.Equal((6, 0), (same.Same, same.DifferentDocuments.Count));

        Task CorruptAsync(TripBooked trip, MessageContext context, string document)
        {
            context.Publish(Seats, new SeatTaken(trip.Trip));
            context.State.Put(document, new SeatCount(6));
            return Task.CompletedTask;
        }

        // The same outputs: only the documents tell.
        var another = await ShadowReplay.RunAsync(_store!, Register((trip, context, _) => CorruptAsync(trip, context, "gone")), options);
        Assert.Equal([count, gone], another.DifferentDocuments);
        Assert.Equal(6, another.Same);
        var equal = await ShadowReplay.RunAsync(_store!, Register((trip, context, _) => CorruptAsync(trip, context, "count")), options);
        Assert.Empty(equal.DifferentDocuments);
        var unnamed = await ShadowReplay.RunAsync(_store!, Register((trip, context, _) => CorruptAsync(trip, context, "gone")), Options());
        Assert.Empty(unnamed.DifferentDocuments);
    }

    [Fact]
    public async Task What_the_group_has_not_settled_is_not_compared()
    {
        await RunLiveAsync(5);
        await using var publisher = await ConsumerHost.StartAsync(m => m.AddMessage<TripBooked>(), _store, instance: "p");
        await publisher.Publisher.PublishAsync(_stream, new TripBooked("late", 1), new() { MessageId = "late" });

        var report = await ShadowReplay.RunAsync(_store!, Register(BookAsync), Options());

        Assert.Equal((6, 5, 1), (report.Replayed, report.Same, report.Unsettled));
    }

    /// <summary>Pages of what is not of the replayed messages lie before an output and a dead letter that are.</summary>
    [Fact]
    public async Task What_the_group_did_is_found_behind_pages_of_what_others_did()
    {
        await RunLiveAsync(3);
        foreach (var stream in (string[])[Seats, StreamNames.DeadLetters(_stream, "booking")])
        {
            var foreign = Enumerable.Range(0, 900).Select(i => new CommitChange.Append(stream, EntryFields.Create(("id", $"{stream}/{i}"))));
            await _store!.CommitAsync(new Commit { Changes = [.. foreign] });
        }

        await using (var live = await ConsumerHost.StartAsync(Register(BookAsync), _store, instance: "again"))
        {
            await live.Publisher.PublishAsync(_stream, new TripBooked("fails", 13), new() { MessageId = "fails" });
            await live.Publisher.PublishAsync(_stream, new TripBooked("late", 1), new() { MessageId = "late" });
            await live.WhenSettledAsync(_stream, "booking");
            await Eventually.TrueAsync("what fails is a dead letter", async () => (await _store!.RangeAsync(
                StreamNames.DeadLetters(_stream, "booking"), new() { IsReversed = true, Count = 1 })).Single().Fields.GetText("id"u8) == "fails");
            await live.StopAsync();
        }

        var report = await ShadowReplay.RunAsync(_store!, Register(BookAsync), Options());

        Assert.Empty(report.Differences);
        Assert.Equal((5, 5, 0), (report.Replayed, report.Same, report.Unsettled));
    }

    /// <summary>The second entry, be it that message or one that was published with the first, has an ID that the replay's own would take.</summary>
    [Theory]
    [InlineData(false, 0)]
    [InlineData(true, 0)]
    [InlineData(true, 50)]
    public async Task What_the_group_publishes_to_its_own_stream_is_handled_once_and_under_its_id(bool hasNext, int delayMs)
    {
        var handled = new System.Collections.Concurrent.ConcurrentQueue<(string, EntryId)>();
        Task PassOnAsync(TripBooked trip, MessageContext context, int more, CancellationToken token)
        {
            handled.Enqueue((context.MessageId, context.EntryId));
            for (var i = 0; i < trip.Seats; i++)
                context.Publish(_stream, new TripBooked($"on{i}", more), new() { Delay = TimeSpan.FromMilliseconds(delayMs) });
            return CountAsync(trip, context, token);
        }

        var (now, count) = ((ulong)DateTimeOffset.UtcNow.ToUnixTimeMilliseconds(), hasNext ? 3 : 2);
        var first = Enumerable.Range(0, count - 1).Select(i => new CommitChange.Append(
            _stream, EntryFields.Create(("type", "trip.booked"), ("id", $"m{i}"), ("data", $$"""{"trip":"t{{i}}","seats":{{1 - i}}}""")), new(now, (ulong)i)));
        await _store!.CommitAsync(new Commit { Changes = [.. first] });
        await using (var live = await ConsumerHost.StartAsync(Register((trip, context, token) => PassOnAsync(trip, context, 0, token)), _store))
        {
            await Eventually.TrueAsync("all are handled", () => new(handled.Count == count));
            await live.WhenSettledAsync(_stream, "booking");
            await live.StopAsync();
        }

        var really = handled.ToList();
        var options = Options() with { FinalDocuments = [new(_stream, "count")] };
        handled.Clear();
        var same = await ShadowReplay.RunAsync(_store!, Register((trip, context, token) => PassOnAsync(trip, context, 0, token)), options);
        Assert.Equal((count, count, 0), (same.Replayed, same.Same, same.DifferentDocuments.Count));
        Assert.Equal(really, handled);

        // What is told of the first message changes nothing for the others.
        handled.Clear();
        var changed = await ShadowReplay.RunAsync(
            _store!,
            Register((trip, context, token) =>
            {
                if (context.MessageId == "m0")
                    context.Publish(_stream, new TripBooked("new", 0));
                return PassOnAsync(trip, context, 1, token);
            }),
            options);
        Assert.Equal(
            [("m0", ShadowDifferenceKind.ChangedOutput), ("m0", ShadowDifferenceKind.NewOutput)],
            changed.Differences.Select(static one => (one.MessageId, one.Kind)));
        Assert.Equal(really, handled);
    }

    [Fact]
    public async Task Group_that_is_not_registered_is_refused()
    {
        await RunLiveAsync(1);

        await Assert.ThrowsAsync<ArgumentException>(() => ShadowReplay.RunAsync(_store!, Register(BookAsync), Options() with { Group = "other" }));
    }

    /// <summary>Each lane is replayed by itself, and who does not know them is refused.</summary>
    [Fact]
    public async Task Lane_is_replayed_by_itself()
    {
        void Lanes(LaneOptions lanes) => lanes.Add("express", 8);
        EntryId foreign;
        await using (var live = await ConsumerHost.StartAsync(m => Register(BookAsync)(m.AddLanes(_stream, Lanes)), _store))
        {
            for (var i = 0; i < 6; i++)
                await live.Publisher.PublishAsync(
                    _stream, new TripBooked($"t{i}", i), new() { MessageId = $"t{i}", Lane = i % 3 == 0 ? null : "express" });
            foreign = await _store!.AppendAsync(
                StreamNames.Lane(_stream, "express"), EntryFields.Create(("type", "trip.booked"), ("data", """{"trip":"t6","seats":4}""")));
            await live.WhenSettledAsync(_stream, "booking");
            await live.WhenSettledAsync(StreamNames.Lane(_stream, "express"), "booking");
            await live.StopAsync();
        }

        var refusal = await Assert.ThrowsAsync<ArgumentException>(() => ShadowReplay.RunAsync(_store!, Register(BookAsync), Options()));
        Assert.Contains("express", refusal.Message, StringComparison.Ordinal);

        void Known(MillraceBuilder m) => Register((trip, context, token) => trip.Seats == 4 ? Task.CompletedTask : BookAsync(trip, context, token))(
            m.AddLanes(_stream, Lanes));
        var standard = await ShadowReplay.RunAsync(_store!, Known, Options());
        Assert.Equal((2, 2), (standard.Replayed, standard.Same));
        var express = await ShadowReplay.RunAsync(_store!, Known, Options() with { Lane = "express" });
        Assert.Equal((5, 3, 0), (express.Replayed, express.Same, express.Unsettled));
        Assert.All(express.Differences, static one => Assert.Equal(ShadowDifferenceKind.MissingOutput, one.Kind));
        Assert.Equal(["t4", $"{StreamNames.Lane(_stream, "express")}/{foreign}"], express.Differences.Select(static one => one.MessageId));
        await Assert.ThrowsAsync<ArgumentException>(() => ShadowReplay.RunAsync(_store!, Known, Options() with { Lane = "bulk" }));
    }

    /// <summary>A group that begins at a moment handles what came from then on.</summary>
    [Fact]
    public async Task New_group_begins_at_a_moment_of_the_past()
    {
        var ids = await RunLiveAsync(10);
        var handled = new System.Collections.Concurrent.ConcurrentQueue<string>();
        var moment = DateTimeOffset.FromUnixTimeMilliseconds((long)ids[6].Milliseconds);
        var expected = ids.Count(id => id.Milliseconds >= ids[6].Milliseconds);

        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<TripBooked>(_stream, "newcomer", (trip, _, _) =>
            {
                handled.Enqueue(trip.Trip);
                return Task.CompletedTask;
            }, o => o.Start = GroupStart.Time(moment)),
            _store,
            instance: "n");
        await host.WhenSettledAsync(_stream, "newcomer");

        Assert.Equal(expected, handled.Count);
        Assert.Contains("t9", handled);
    }

    private static Task BookAsync(TripBooked trip, MessageContext context, CancellationToken token)
    {
        if (trip.Seats == 13)
            throw new InvalidOperationException("no thirteenth");
        context.Publish($"{{{context.Stream}}}:seats", new SeatTaken(trip.Trip));
        return CountAsync(trip, context, token);
    }

    private static async Task CountAsync(TripBooked trip, MessageContext context, CancellationToken token)
    {
        var count = await context.State.GetAsync<SeatCount>("count", token) ?? new(0);
        context.State.Put("count", new SeatCount(count.Taken + 1));
    }

    private ShadowReplayOptions Options() => new() { Stream = _stream, Group = "booking", OutputStreams = [Seats] };

    private Action<MillraceBuilder> Register(Func<TripBooked, MessageContext, CancellationToken, Task> handler) => m => m
        .AddMessage<SeatTaken>()
        .AddConsumer(_stream, "booking", handler, o => (o.Concurrency, o.MaxAttempts, o.RetryBaseDelay) = (1, 2, TimeSpan.FromMilliseconds(1)))
        .AddConsumer<TripBooked>(_stream, "bystander", (_, context, _) =>
        {
            context.Publish(Seats, new SeatTaken("bystander"));
            return Task.CompletedTask;
        });

    /// <summary>Publishes t0, t1, … and handles them for real.</summary>
    private async Task<IReadOnlyList<EntryId>> RunLiveAsync(int count)
    {
        await using var live = await ConsumerHost.StartAsync(Register(BookAsync), _store);
        var ids = new List<EntryId>();
        for (var i = 0; i < count; i++)
            ids.Add(await live.Publisher.PublishAsync(_stream, new TripBooked($"t{i}", i), new() { MessageId = $"t{i}" }));
        await live.WhenSettledAsync(_stream, "booking");
        await Eventually.TrueAsync("what fails is a dead letter", async () =>
            await live.Store.GetStreamInfoAsync(StreamNames.DeadLetters(_stream, "booking")) is { Length: 1 } || count < 14);
        await live.StopAsync();
        return ids;
    }
}

public sealed record SeatCount(int Taken);
