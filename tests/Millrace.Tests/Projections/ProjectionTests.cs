using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Embedded;
using Millrace.EventSourcing;
using Millrace.Projections;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Clients;
using Millrace.Tests.EventSourcing;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Projections;

/// <summary>What projections promise, the same on every store.</summary>
/// <param name="endpoint">Where the server is, or <see langword="null"/>: the embedded store.</param>
public abstract partial class ProjectionTests(Func<Task<string>>? endpoint) : IAsyncLifetime
{
    private const string Name = "tallies";

    private readonly string _category = $"c{Guid.NewGuid():N}";
    private readonly List<ConsumerHost> _hosts = [];
    private IStreamStore? _store;
    private ConsumerHost? _writer;

    // Numbers of generations begin anywhere; tests count them from 1.
    private readonly List<int> _generations = [];

    public sealed class OnEmbedded() : ProjectionTests(null);

    public sealed class OnRedis(SharedRedis redis) : ProjectionTests(async () => (await redis.StartedAsync()).Endpoint);

    public sealed class OnServer(SharedMillrace millrace) : ProjectionTests(async () => $"127.0.0.1:{(await millrace.StartedAsync()).Endpoint.Port}");

    private static TimeSpan Long => Eventually.Deadline;

    private IStreamStore Store => _store!;

    public async ValueTask InitializeAsync()
    {
        _store = endpoint is null ? new EmbeddedStreamStore(new()) : new RedisStreamStore(RedisOptions.Parse(await endpoint()));
        _writer = await ConsumerHost.StartAsync(Messages, _store, instance: "writer");
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var host in _hosts)
            await host.DisposeAsync();
        await _writer!.DisposeAsync();
        await _store!.DisposeAsync();
    }

    [Fact]
    public async Task Views_are_the_fold_of_their_streams_and_follow_what_is_appended()
    {
        for (var i = 0; i < 3; i++)
            await AppendAsync(i, [.. Enumerable.Range(1, 40)]);
        var host = await HostAsync();
        await ControlOf(host).WaitForAsync(Name, null, Long);

        Assert.Equal(new Tally(820, 40), await ReaderOf(host).GetAsync($"{_category}-1"));
        Assert.Null(await ReaderOf(host).GetAsync($"{_category}-9"));

        var appended = await AppendAsync(1, -20);
        await ControlOf(host).WaitForAsync(Name, appended.Position, Long);

        Assert.Equal(
            [new Tally(820, 40), new Tally(800, 41), null], await ReaderOf(host).GetManyAsync([$"{_category}-0", $"{_category}-1", "none"]));
        await AppendAsync(9, 1);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        var all = await ReaderOf(host).ReadAllAsync().ToListAsync();
        Assert.Equal([$"{_category}-0", $"{_category}-1", $"{_category}-2", $"{_category}-9"], all.Select(view => view.Key).Order(StringComparer.Ordinal));
        Assert.Equal(2441, all.Sum(view => view.Value.Balance));
    }

    [Fact]
    public async Task View_goes_when_its_fold_says_so_and_may_come_again()
    {
        var host = await HostAsync(folds: folds => folds
            .On<PointsEarned>((earned, _) => [earned.For, "all", "all"], (tally, earned, context) =>
                earned.Amount == 0 && context.Key != "all" ? null : new((tally?.Balance ?? 0) + earned.Amount, 0)));

        async Task<IReadOnlyList<Tally?>> AfterAsync(int amount)
        {
            await Events.AppendAsync($"{_category}-1", ExpectedVersion.Any, [new PointsEarned(amount, "shop")]);
            await ControlOf(host).WaitForAsync(Name, null, Long);
            return await ReaderOf(host).GetManyAsync(["shop", "all"]);
        }

        Assert.Equal(new Tally?[] { new(3, 0), new(3, 0) }.AsEnumerable(), await AfterAsync(3));
        Assert.Equal(new Tally?[] { null, new(3, 0) }.AsEnumerable(), await AfterAsync(0));
        Assert.Equal(new Tally?[] { new(4, 0), new(7, 0) }.AsEnumerable(), await AfterAsync(4));
    }

    /// <summary>A commit takes a thousand changes; a batch may touch more views than that.</summary>
    [Fact]
    public async Task Batch_that_changes_more_views_than_a_commit_takes_is_saved_in_parts()
    {
        var host = await HostAsync(folds: folds => folds.On<PointsEarned>(
            (earned, _) => Enumerable.Range(earned.Amount, 300).Select(key => $"k{key}"),
            (tally, _, _) => new((tally?.Balance ?? 0) + 1, 0)));
        await AppendAsync(1, [.. Enumerable.Range(0, 20).Select(i => i * 250)]);
        await ControlOf(host).WaitForAsync(Name, null, Long);

        var views = await ReaderOf(host).ReadAllAsync().ToDictionaryAsync(view => view.Key, view => view.Value.Balance);

        Assert.Equal(5_050, views.Count);
        Assert.Equal(20 * 300, views.Values.Sum());
        Assert.Equal(2, views["k260"]);
    }

    /// <summary>The fold refuses an event that comes too early. Of several at once, the first waits for another.</summary>
    [Theory]
    [InlineData(1)]
    [InlineData(4)]
    public async Task Events_of_one_key_are_folded_in_order_however_many_keys_are_folded_at_once(int parallelism)
    {
        const int Keys = 40;
        using var another = new SemaphoreSlim(0);
        var (folding, most, hasBegun) = (0, 0, 0);
        for (var i = 0; i < 5 * Keys; i++)
            await AppendAsync(i % Keys, i);

        var host = await HostAsync(
            Tally.FoldsOf("", recorded =>
            {
                // The first batches are small: sizes are not known yet.
                if (recorded.Version < 5)
                    return;
                var now = Interlocked.Increment(ref folding);
                for (var known = Volatile.Read(ref most); now > known; known = Volatile.Read(ref most))
                    Interlocked.CompareExchange(ref most, now, known);
                if (Interlocked.Exchange(ref hasBegun, 1) == 1)
                    another.Release();
                else if (parallelism > 1)
                    another.Wait(Long);
                Interlocked.Decrement(ref folding);
            }),
            options => options.Parallelism = parallelism);
        await ControlOf(host).WaitForAsync(Name, null, Long);

        Assert.InRange(most, parallelism > 1 ? 2 : 1, parallelism);
        var views = await ReaderOf(host).GetManyAsync([.. Enumerable.Range(0, Keys).Select(i => $"{_category}-{i}")]);
        Assert.Equal(Enumerable.Range(0, Keys).Select(i => new Tally((5 * i) + (10 * Keys), 5)), views);
    }

    [Fact]
    public async Task Any_stream_of_messages_is_folded_and_types_nobody_knows_pass_if_that_is_wanted()
    {
        var host = await HostAsync(Sums, options => options.IgnoresUnknownTypes = true);
        await _writer!.Publisher.PublishAsync(_category, new PointsEarned(1, "x"));
        await _writer.Publisher.PublishAsync(_category, new PointsEarnedV1(2));
        await Store.AppendAsync(_category, EntryFields.Create(("type", "who.knows"), ("data", "{}")));
        await _writer.Publisher.PublishAsync(_category, new PointsEarned(4, "x"));
        await ControlOf(host).WaitForAsync(Name, null, Long);

        Assert.Equal(7, (await ReaderOf(host).GetAsync("all"))!.Balance);
    }

    [Fact]
    public async Task Another_process_takes_over_at_once_from_one_that_stops_and_after_the_lease_from_one_that_died()
    {
        var first = await HostAsync(configure: ShortLease);
        await AppendAsync(1, 1, 2);
        await ControlOf(first).WaitForAsync(Name, null, Long);
        var second = await HostAsync(configure: options => options.Lease = TimeSpan.FromHours(1));
        await WhenAsync(second, ProjectionState.StandingBy);

        await first.AbortAsync();
        await AppendAsync(1, 3);
        await ControlOf(second).WaitForAsync(Name, null, Long);
        var third = await HostAsync(configure: ShortLease);
        await second.StopAsync();
        await AppendAsync(1, 4);
        await ControlOf(third).WaitForAsync(Name, null, Long);

        Assert.Equal(new Tally(10, 4), await ReaderOf(third).GetAsync($"{_category}-1"));
    }

    [Fact]
    public async Task Wait_in_a_process_that_does_not_run_the_projection_sees_what_another_folded()
    {
        var first = await HostAsync();
        await WhenAsync(first, ProjectionState.Live);
        var second = await HostAsync();
        await WhenAsync(second, ProjectionState.StandingBy);

        for (var i = 1; i <= 5; i++)
        {
            var decided = await Events.DecideAsync($"{_category}-1", Points.Decider, new PointsCommand.Earn(i));
            await ControlOf(second).WaitForAsync(Name, decided.Position!.Value, Long);
            Assert.Equal(i, (await ReaderOf(second).GetAsync($"{_category}-1"))!.Version);
        }
    }

    [Fact]
    public async Task Wait_that_takes_too_long_says_how_far_the_projection_is_and_can_be_cancelled()
    {
        var host = await HostAsync();
        await AppendAsync(1, 1);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        await ControlOf(host).PauseAsync(Name);
        var appended = await AppendAsync(1, 1);

        var late = await Assert.ThrowsAsync<TimeoutException>(() =>
            ControlOf(host).WaitForAsync(Name, appended.Position, TimeSpan.FromMilliseconds(30)).AsTask());
        using var cancelled = new CancellationTokenSource();
        var waiting = ControlOf(host).WaitForAsync(Name, appended.Position, Long, cancelled.Token).AsTask();
        await cancelled.CancelAsync();

        Assert.Contains($"{appended.Position}", late.Message, StringComparison.Ordinal);
        Assert.Contains("Paused", late.Message, StringComparison.Ordinal);
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => waiting);
        await Assert.ThrowsAsync<ArgumentException>(() => ControlOf(host).WaitForAsync("none", null, Long).AsTask());
    }

    [Fact]
    public async Task Answers_that_are_lost_fold_nothing_twice()
    {
        var seed = Random.Shared.Next();
        TestContext.Current.TestOutputHelper?.WriteLine($"seed {seed}");
        var random = new Random(seed);
        await HostAsync(configure: options => options.BatchSize = 7, store: FaultyStore.Wrap(Store, member =>
        {
            lock (random)
            {
                return random.Next(10) switch
                {
                    < 4 when member == nameof(IStreamStore.CommitAsync) => FaultyStore.Fault.After,
                    4 when member is nameof(IStreamStore.GetStatesAsync) or nameof(IStreamStore.RangeAsync) => FaultyStore.Fault.Before,
                    _ => FaultyStore.Fault.None,
                };
            }
        }));
        await AppendAsync(1, [.. Enumerable.Range(1, 60)]);

        var reader = await HostAsync(configure: options => options.RunsHere = false, instance: "reader");
        await ControlOf(reader).WaitForAsync(Name, null, Long);

        Assert.Equal(new Tally(1830, 60), await ReaderOf(reader).GetAsync($"{_category}-1"));
    }

    [Fact]
    public void Wrong_settings_are_told_at_once()
    {
        static void Add(string name, Action<ViewProjectionOptions>? configure, Action<ViewFolds<Tally>> folds) => new ServiceCollection()
            .AddMillrace(m => m.AddProjection(name, "source", folds, configure));

        Assert.Throws<MillraceConfigurationException>(() => Add("a", options => options.BatchSize = 0, Tally.Folds));
        Assert.Throws<MillraceConfigurationException>(() => Add("a", options => options.Lease = TimeSpan.Zero, Tally.Folds));
        Assert.Throws<MillraceConfigurationException>(() => Add("a", options => options.Version = 0, Tally.Folds));
        Assert.Throws<MillraceConfigurationException>(() => Add("a", options => options.Parallelism = 0, Tally.Folds));
        Assert.Throws<ArgumentException>(() => Add("", null, Tally.Folds));
        Assert.Throws<ArgumentException>(() => Add(new('a', 129), null, Tally.Folds));
        Assert.Throws<ArgumentException>(() => Add("a/2", null, Tally.Folds));
        Assert.Throws<ArgumentException>(() => Add("a:1", null, Tally.Folds));
        Assert.Throws<ArgumentException>(() => Add("a", null, _ => { }));
        Assert.Throws<ArgumentException>(() => new ServiceCollection().AddMillrace(m => m
            .AddProjection("a", "source", Tally.Folds).AddProjection("a", "other", Tally.Folds)));
        Assert.Throws<FormatException>(() => ProjectionCheckpoint.Parse("1-0"));
        Assert.Equal(new(new(1, 2), 3), ProjectionCheckpoint.Parse("1-2 3"));
    }

    private static void ShortLease(ProjectionOptions options) => options.Lease = TimeSpan.FromMilliseconds(500);

    private static ProjectionControl ControlOf(ConsumerHost host) => host.Host.Services.GetRequiredService<ProjectionControl>();

    private static ProjectionReader<Tally> ReaderOf(ConsumerHost host) => host.Host.Services.GetRequiredService<ProjectionReader<Tally>>();

    private static Task WhenAsync(ConsumerHost host, ProjectionState state) =>
        Eventually.TrueAsync($"the projection is {state}", () => new(ControlOf(host).Local[0].State == state));

    private EventStore Events => _writer!.Host.Services.GetRequiredService<EventStore>();

    private async Task<ConsumerHost> HostAsync(
        Action<ViewFolds<Tally>>? folds = null, Action<ViewProjectionOptions>? configure = null, IStreamStore? store = null, string instance = "local")
    {
        var runsHere = new ViewProjectionOptions();
        configure?.Invoke(runsHere);
        var host = await ConsumerHost.StartAsync(
            m =>
            {
                Messages(m);
                m.AddProjection(Name, _category, folds ?? Tally.Folds, configure);
            },
            store ?? _store,
            instance: instance);
        _hosts.Add(host);
        if (runsHere.RunsHere)
            await WhenBegunAsync();
        return host;
    }

    /// <summary>Waits for the plan, and takes down which number its first generation has.</summary>
    private async Task WhenBegunAsync()
    {
        if (_generations.Count > 0)
            return;
        StateDocument? plan = null;
        await Eventually.TrueAsync(
            "there is a plan", async () => (plan = await Store.GetStateAsync(new(_category, $"millrace/projection/{Name}"))) is not null);
        using var json = JsonDocument.Parse(plan!.Payload);
        _generations.Add(json.RootElement.GetProperty("live").GetProperty("number").GetInt32());
    }

    private void Messages(MillraceBuilder millrace) => millrace
        .AddMessage<PointsEarned>()
        .AddMessage<PointsEarnedV1>()
        .AddMessage<PointsSpent>()
        .AddUpcaster<PointsEarnedV1, PointsEarned>(v1 => new(v1.Amount, "unknown"))
        .AddEventStore(options => options.AddCategory(_category));

    /// <summary>Appends points earned, or spent where they are negative.</summary>
    private async Task<AppendResult> AppendAsync(int aggregate, params int[] amounts)
    {
        object[] events = [.. amounts.Select(amount => amount < 0 ? (object)new PointsSpent(-amount) : new PointsEarned(amount, "test"))];
        var result = await Events.AppendAsync($"{_category}-{aggregate}", ExpectedVersion.Any, events);
        Assert.Equal(AppendOutcome.Appended, result.Outcome);
        return result;
    }
}
