using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Embedded;
using Millrace.EventSourcing;
using Millrace.Streams;
using Millrace.Tests.EventSourcing;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Monitoring;

public sealed class EventStoreMeterTests
{
    private const string Stream = "purse-1";

    private static readonly Decider<Points, PointsCommand> Decider = Points.Decider with
    {
        Fold = Points.Fold with { Snapshots = new() { Every = 2 } },
    };

    [Fact]
    public async Task Appends_loads_conflicts_and_snapshots_are_counted_and_timed()
    {
        await using var host = await HostAsync();
        using var recorder = new MeterRecorder(host);
        var events = host.Host.Services.GetRequiredService<EventStore>();
        await events.AppendAsync(Stream, ExpectedVersion.NoStream, [new PointsEarned(1, "x")]);
        await events.AppendAsync(Stream, ExpectedVersion.NoStream, [new PointsEarned(2, "x")]);
        await events.DecideAsync(Stream, Decider, new PointsCommand.Earn(3));
        await events.DecideAsync(Stream, Decider, new PointsCommand.Earn(4));
        await events.LoadAsync("other-1", Points.Fold);

        var purses = "messaging.system=millrace messaging.destination.name=purse";
        Assert.Equal(
            ["appended", "conflict", "appended", "appended"],
            recorder.Of("millrace.event_store.append.duration").Select(one => one.Tags[$"{purses} millrace.event_store.outcome=".Length..]));
        Assert.All(recorder.Of("millrace.event_store.append.duration"), one => Assert.StartsWith(purses, one.Tags, StringComparison.Ordinal));
        Assert.Equal([purses, purses, "messaging.system=millrace"], recorder.Of("millrace.event_store.load.duration").Select(one => one.Tags));
        Assert.Equal([(1d, purses)], recorder.Of("millrace.event_store.conflicts").Select(one => (one.Value, one.Tags)));
        Assert.Equal([(1d, purses)], recorder.Of("millrace.event_store.snapshots").Select(one => (one.Value, one.Tags)));
        Assert.Equal([(1d, purses)], recorder.Of("millrace.event_store.events_loaded").Select(one => (one.Value, one.Tags)));
    }

    [Fact]
    public async Task Append_that_fails_is_timed_with_its_error_and_traced()
    {
        await using var store = new EmbeddedStreamStore(new());
        await using var host = await HostAsync(FaultyStore.Wrap(store, static member =>
            member == nameof(IStreamStore.CommitAsync) ? FaultyStore.Fault.Before : FaultyStore.Fault.None));
        using var recorder = new MeterRecorder(host);
        var stream = $"purse-{Guid.NewGuid():N}";
        var spans = new List<Activity>();
        using var listener = new ActivityListener
        {
            ShouldListenTo = static source => source.Name == MillraceTelemetry.ActivitySourceName,
            Sample = static (ref ActivityCreationOptions<ActivityContext> _) => ActivitySamplingResult.AllData,
            ActivityStopped = span =>
            {
                lock (spans)
                    spans.Add(span);
            },
        };
        ActivitySource.AddActivityListener(listener);
        var events = host.Host.Services.GetRequiredService<EventStore>();

        await events.LoadAsync(stream, Points.Fold);
        await Assert.ThrowsAsync<StreamException>(() => events.AppendAsync(stream, ExpectedVersion.NoStream, [new PointsEarned(1, "x")]).AsTask());

        Assert.EndsWith("error.type=Unavailable", Assert.Single(recorder.Of("millrace.event_store.append.duration")).Tags, StringComparison.Ordinal);
        List<Activity> ours;
        lock (spans)
            ours = [.. spans.Where(span => (string?)span.GetTagItem("messaging.destination.name") == stream)];
        Assert.Equal([$"load {stream}", $"append {stream}"], ours.Select(span => span.OperationName));
        Assert.Equal((ActivityKind.Client, ActivityStatusCode.Error), (ours[1].Kind, ours[1].Status));
        Assert.Equal("Unavailable", ours[1].GetTagItem("error.type"));
    }

    /// <summary>There may be a stream for each customer; a tag has few values.</summary>
    [Fact]
    public async Task Streams_of_aggregates_that_join_a_commit_are_in_no_tag()
    {
        EventStore? store = null;
        await using var host = await ConsumerHost.StartAsync(m => m
            .AddMessage<PointsEarned>()
            .AddEventStore(options => options.AddCategory("purse"))
            .AddConsumer<PointsSpent>("visits", "points", async (visit, context, token) =>
            {
                await store!.EnlistDecisionAsync(context, $"purse-{visit.Amount}", Decider, new PointsCommand.Earn(1), token);
                context.Publish("told", visit);
                await store.EnlistDecisionAsync(context, $"purse-{visit.Amount + 10}", Decider, new PointsCommand.Earn(1), token);
                context.Schedule("told", visit, TimeSpan.FromHours(1));
            }));
        using var recorder = new MeterRecorder(host);
        store = host.Host.Services.GetRequiredService<EventStore>();

        await host.Publisher.PublishManyAsync<PointsSpent>("visits", [new(1), new(2)]);
        var commit = host.Publisher.NewCommit("told");
        store.Enlist(commit, "purse-3", ExpectedVersion.NoStream, [new PointsEarned(1, "x")]);
        commit.Publish("told", new PointsSpent(3));
        Assert.True((await commit.CommitAsync()).IsApplied);
        await host.ReadAsync("purse", 5);
        await host.WhenSettledAsync("visits", "points");
        await host.StopAsync();

        var sent = recorder.Of("messaging.client.sent.messages");
        Assert.Equal(
            [("told", "schedule", 2), ("told", "send", 3), ("visits", "send", 2)],
            sent.GroupBy(one => one.Tags, (tags, all) => (tags.Split('=', ' ')[3], tags.Split('=')[^1], all.Sum(one => one.Value))).Order());
        recorder.Scrape();
        Assert.All(
            recorder.Instruments.SelectMany(instrument => recorder.Of(instrument.Name)),
            static reading => Assert.DoesNotContain("purse-", reading.Tags, StringComparison.Ordinal));
    }

    private static Task<ConsumerHost> HostAsync(IStreamStore? store = null) => ConsumerHost.StartAsync(
        m => m.AddMessage<PointsEarned>().AddMessage<PointsSpent>().AddEventStore(options => options.AddCategory("purse")), store);
}
