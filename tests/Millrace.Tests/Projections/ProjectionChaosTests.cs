using Microsoft.Extensions.DependencyInjection;
using Millrace.EventSourcing;
using Millrace.Projections;
using Millrace.Streams;
using Millrace.Tests.Chaos;
using Millrace.Tests.EventSourcing;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Projections;

/// <summary>
/// Processes fold while everything goes wrong that <see cref="PatternChaos"/> knows, and somebody appends, rebuilds all or one view, pauses, and at last
/// trims what is folded. On each store a tenth of the slice, from the seed <c>MILLRACE_PROJECTION_SEED</c> or a new one.
/// </summary>
public sealed class ProjectionChaosTests
{
    private const string Name = "tallies";
    private const string Category = "purse";
    private const int Streams = 6;
    private const int Steps = 150;
    private const int MaxSteps = 4_000;

    private static readonly TimeSpan Lease = TimeSpan.FromMilliseconds(500);

    public static TheoryData<string> Places => PatternChaos.Places;

    /// <summary>The checkpoint that queries see never goes back, and each view is the fold of its stream: the fold refuses what comes twice or early.</summary>
    [Theory]
    [MemberData(nameof(Places))]
    public Task Views_are_the_fold_of_their_streams_whatever_dies_is_rebuilt_or_trimmed(string place) =>
        Slice.RunAsync("MILLRACE_PROJECTION_SEED", 0.1, seed => RunAsync(place, seed));

    private static async Task RunAsync(string place, int seed)
    {
        await using var chaos = await PatternChaos.StartAsync(place, seed, m => Add(m, runsHere: true), m => Add(m, runsHere: false));
        var balances = new int[Streams];
        var counts = new Dictionary<string, int>();
        var highest = EntryId.Zero;
        chaos.Begin();
        for (var step = 0; step < Steps; step++)
        {
            if (chaos.Random.Next(2) == 0)
                await AppendAsync(chaos, $"c{step}", balances);
            if (chaos.Random.Next(4) == 0)
                await chaos.FinishAsync(ManageAsync(chaos, mayRebuild: step < Steps / 2, counts));
            await chaos.StepAsync(TimeSpan.FromMilliseconds(chaos.Random.Next(10, 300)));
            if (await chaos.AskAsync(ReportAsync(chaos)) is { } report)
            {
                Assert.True(report.Checkpoint.Position >= highest, $"seed {seed}: the checkpoint went from {highest} to {report.Checkpoint.Position}");
                highest = report.Checkpoint.Position;
            }
        }

        await chaos.HealAsync();
        await chaos.FinishAsync(ControlOf(chaos).ResumeAsync(Name).AsTask());
        await WhenFoldedAsync(chaos);
        await TrimAsync(chaos, (await ControlOf(chaos).GetAsync(Name)).Checkpoint, counts);
        await AppendAsync(chaos, "last", balances);
        await WhenFoldedAsync(chaos);

        TestContext.Current.TestOutputHelper?.WriteLine($"  {string.Join(", ", counts.Select(one => $"{one.Key} {one.Value}"))}");
        Assert.True(counts["entries trimmed"] > 0, $"seed {seed}: nothing was trimmed");
        var events = EventsOf(chaos);
        for (var i = 0; i < Streams; i++)
        {
            var points = (await events.LoadAsync($"{Category}-{i}", Points.Fold)).State;
            var view = await chaos.Host.Host.Services.GetRequiredService<ProjectionReader<Tally>>().GetAsync($"{Category}-{i}");
            Assert.Equal((i, balances[i], points.Events, points.Balance), (i, view?.Balance ?? 0, view?.Version ?? 0, points.Balance));
        }

        Assert.Empty(await ControlOf(chaos).GetSkippedAsync(Name));
    }

    /// <summary>Some events, under an ID of the command, so that they are there once however often it is tried.</summary>
    private static async Task AppendAsync(PatternChaos chaos, string command, int[] balances)
    {
        var (stream, amounts) = (chaos.Random.Next(Streams), Enumerable.Range(0, chaos.Random.Next(1, 6)).Select(_ => chaos.Random.Next(1, 100)).ToList());
        await chaos.InsistAsync(async () => Assert.NotEqual(AppendOutcome.Conflict, (await EventsOf(chaos).AppendAsync(
            $"{Category}-{stream}",
            ExpectedVersion.Any,
            [.. amounts.Select(amount => new PointsEarned(amount, "test"))],
            new() { CommandId = command })).Outcome));
        balances[stream] += amounts.Sum();
    }

    /// <summary>What somebody does to a projection who has no luck with the store either.</summary>
    private static async Task ManageAsync(PatternChaos chaos, bool mayRebuild, Dictionary<string, int> counts)
    {
        if (await ReportAsync(chaos) is not { Generation: > 0 } report)
            return;
        try
        {
            switch (chaos.Random.Next(8))
            {
                case 0:
                    await ControlOf(chaos).PauseAsync(Name);
                    Count("paused", 1);
                    break;
                case < 4:
                    await ControlOf(chaos).ResumeAsync(Name);
                    break;
                case 4:
                    await ControlOf(chaos).RebuildStreamAsync(Name, $"{Category}-{chaos.Random.Next(Streams)}");
                    Count("views rebuilt", 1);
                    break;
                case > 4 when mayRebuild:
                    Count("rebuilt", await ControlOf(chaos).RebuildAsync(Name) ? 1 : 0);
                    break;
                case > 4 when report.BuildingGeneration is null && report.Checkpoint.Position > EntryId.Zero:
                    await TrimAsync(chaos, report.Checkpoint, counts);
                    break;
            }
        }
        catch (Exception exception) when (exception is StreamException || exception is InvalidOperationException and not Xunit.Sdk.IAssertionException)
        {
            // The store is away or full, or no process has run the projection yet.
            Count("refused", 1);
        }

        void Count(string what, int by) => counts[what] = counts.GetValueOrDefault(what) + by;
    }

    /// <summary>Up to what is folded. A rebuild needs all of it, so there is none any more.</summary>
    private static async Task TrimAsync(PatternChaos chaos, ProjectionCheckpoint checkpoint, Dictionary<string, int> counts) =>
        counts["entries trimmed"] = counts.GetValueOrDefault("entries trimmed") +
            (int)await chaos.Store.TrimAsync(Category, StreamTrim.ToMinId(checkpoint.Position));

    private static Task WhenFoldedAsync(PatternChaos chaos) => chaos.UntilAsync("all is folded", MaxSteps, async () =>
        await ControlOf(chaos).GetAsync(Name) is { BuildingGeneration: null } report && report.Checkpoint.Position == report.Head);

    private static async Task<ProjectionReport?> ReportAsync(PatternChaos chaos)
    {
        try
        {
            return await ControlOf(chaos).GetAsync(Name);
        }
        catch (StreamException)
        {
            return null;
        }
    }

    private static ProjectionControl ControlOf(PatternChaos chaos) => chaos.Desk.Host.Services.GetRequiredService<ProjectionControl>();

    private static EventStore EventsOf(PatternChaos chaos) => chaos.Desk.Host.Services.GetRequiredService<EventStore>();

    private static void Add(MillraceBuilder millrace, bool runsHere) => millrace
        .AddMessage<PointsEarned>()
        .AddMessage<PointsSpent>()
        .AddEventStore(options => options.AddCategory(Category))
        .AddProjection(Name, Category, Tally.Folds, options => (options.Lease, options.BatchSize, options.RunsHere) = (Lease, 5, runsHere));
}
