using Microsoft.Extensions.DependencyInjection;
using Millrace.EventSourcing;
using Millrace.Projections;
using Millrace.Streams;
using Millrace.Tests.EventSourcing;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Projections;

/// <summary>Pauses, rebuilds, poison and losses.</summary>
public abstract partial class ProjectionTests
{
    [Fact]
    public async Task Pause_in_one_process_holds_for_all_until_it_is_resumed_and_outlives_them()
    {
        var first = await HostAsync();
        await AppendAsync(1, 1);
        await ControlOf(first).WaitForAsync(Name, null, Long);
        var second = await HostAsync();
        await WhenAsync(second, ProjectionState.StandingBy);

        Assert.True(await ControlOf(second).PauseAsync(Name));
        Assert.False(await ControlOf(first).PauseAsync(Name));
        await WhenAsync(first, ProjectionState.Paused);
        await first.StopAsync();
        await WhenAsync(second, ProjectionState.Paused);
        await AppendAsync(1, 2);
        var report = await ControlOf(second).GetAsync(Name);
        Assert.Equal((ProjectionState.Paused, 1L, _generations[0]), (report.State, report.Lag, report.Generation));
        Assert.True(report.TimeLag > TimeSpan.Zero);
        await Eventually.TrueAsync("the process knows its lag", () => new(ControlOf(second).Local[0] is { Lag: 1, TimeLag.Ticks: > 0 }));
        Assert.Equal(ProjectionState.Paused, ControlOf(second).Local[0].State);
        Assert.Equal(1, (await ReaderOf(second).GetAsync($"{_category}-1"))!.Version);

        Assert.True(await ControlOf(second).ResumeAsync(Name));
        await ControlOf(second).WaitForAsync(Name, null, Long);
        Assert.False(await ControlOf(second).ResumeAsync(Name));
        report = await ControlOf(second).GetAsync(Name);
        Assert.Equal((ProjectionState.Live, 0L, 2L, report.Head), (report.State, report.Lag, report.Checkpoint.Entries, report.Checkpoint.Position));
    }

    [Fact]
    public async Task Rebuild_goes_on_beside_the_live_views_and_takes_their_place_when_it_has_caught_up()
    {
        for (var i = 0; i < 3; i++)
            await AppendAsync(i, [.. Enumerable.Range(1, 20)]);
        var host = await HostAsync(configure: options => options.BatchSize = 10);
        await ControlOf(host).WaitForAsync(Name, null, Long);

        // As fast as the projection follows, no faster.
        using var end = new CancellationTokenSource();
        var writing = Task.Run(async () =>
        {
            for (var i = 0; !end.IsCancellationRequested; i++)
            {
                var appended = await AppendAsync(i % 3, 1);
                if (i % 20 == 0)
                    await ControlOf(host).WaitForAsync(Name, appended.Position, Long);
            }
        });
        for (var generation = 2; generation <= 4; generation++)
        {
            Assert.True(await ControlOf(host).RebuildAsync(Name));
            var last = await ReaderOf(host).GetAsync($"{_category}-1");
            await Eventually.TrueAsync("the rebuilt generation serves queries and the old one is gone", async () =>
            {
                var view = await ReaderOf(host).GetAsync($"{_category}-1");
                Assert.True(view!.Version >= last!.Version, $"{view} is older than {last}");
                last = view;
                return await ServesAsync(host, generation) && !await HasAsync(generation - 1);
            });
        }

        await end.CancelAsync();
        await writing;
        await ControlOf(host).WaitForAsync(Name, null, Long);
        await CheckViewsAsync(host);
    }

    [Fact]
    public async Task Rebuild_of_an_empty_source_is_over_at_once()
    {
        var host = await HostAsync();
        await WhenAsync(host, ProjectionState.Live);

        Assert.True(await ControlOf(host).RebuildAsync(Name));

        await WhenGenerationAsync(host, 2);
        Assert.Null((await ControlOf(host).GetAsync(Name)).BuildingGeneration);
    }

    [Fact]
    public async Task Rebuild_is_resumed_by_another_process_after_a_crash_and_can_be_given_up()
    {
        await AppendAsync(1, [.. Enumerable.Range(1, 50)]);
        using var gate = new SemaphoreSlim(50 + 30);
        var folded = 0;
        var first = await HostAsync(
            Tally.FoldsOf("", _ =>
            {
                Interlocked.Increment(ref folded);
                gate.Wait(Long);
            }),
            options =>
            {
                ShortLease(options);
                options.BatchSize = 10;
            });
        await ControlOf(first).WaitForAsync(Name, null, Long);
        await ControlOf(first).RebuildAsync(Name);
        Assert.False(await ControlOf(first).RebuildAsync(Name));
        await Eventually.TrueAsync("the rebuild is in the middle", () => new(Volatile.Read(ref folded) > 80));
        var middle = await ControlOf(first).GetAsync(Name);
        Assert.Equal((_generations[0], 30L), (middle.Generation, middle.BuildingCheckpoint.Entries));
        var aborting = first.AbortAsync();
        gate.Release(1_000);
        await aborting;

        var refolded = 0;
        var second = await HostAsync(Tally.FoldsOf("", _ => Interlocked.Increment(ref refolded)));
        await WhenGenerationAsync(second, 2);
        Assert.Equal(middle.BuildingGeneration, _generations[1]);
        Assert.InRange(refolded, 0, 20);
        await CheckViewsAsync(second);

        await ControlOf(second).PauseAsync(Name);
        Assert.True(await ControlOf(second).RebuildAsync(Name));
        Assert.True(await ControlOf(second).CancelRebuildAsync(Name));
        Assert.False(await ControlOf(second).CancelRebuildAsync(Name));
        Assert.Equal(_generations[1], (await ControlOf(second).GetAsync(Name)).Generation);
    }

    [Fact]
    public async Task New_version_rebuilds_by_itself_and_older_processes_keep_off()
    {
        await AppendAsync(1, 1, 2);
        var old = await HostAsync(Tally.FoldsOf("v1"), ShortLease);
        await ControlOf(old).WaitForAsync(Name, null, Long);
        var young = await HostAsync(Tally.FoldsOf("v2"), options => options.Version = 2);
        await old.StopAsync();

        await WhenGenerationAsync(young, 2);
        Assert.Equal(new Tally(3, 2, "v2"), await ReaderOf(young).GetAsync($"{_category}-1"));
        var late = await HostAsync(Tally.FoldsOf("v1"), ShortLease);
        await young.StopAsync();
        await WhenAsync(late, ProjectionState.StandingBy);
        await AppendAsync(1, 3);
        await Assert.ThrowsAsync<TimeoutException>(() => ControlOf(late).WaitForAsync(Name, null, TimeSpan.FromMilliseconds(50)).AsTask());
        Assert.Equal("v2", (await ReaderOf(late).GetAsync($"{_category}-1"))!.Made);
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Projection_stops_before_an_event_that_cannot_be_decoded_or_folded_and_says_so(bool isDecodable)
    {
        await AppendAsync(1, 1, 2);
        var poison = isDecodable
            ? (await AppendAsync(13, 13)).Position!.Value
            : await Store.AppendAsync(_category, EntryFields.Create(("type", "who.knows"), ("data", "{}")));
        var last = await AppendAsync(2, 5);
        var isHealed = false;
        var host = await HostAsync(Tally.FoldsOf("", one =>
        {
            if (one.Stream == $"{_category}-13" && !Volatile.Read(ref isHealed))
                throw new InvalidOperationException("unlucky");
        }));

        await WhenAsync(host, ProjectionState.Stopped);
        var report = await ControlOf(host).GetAsync(Name);
        Assert.Equal((ProjectionState.Stopped, 2L, 2L), (report.State, report.Checkpoint.Entries, report.Lag));
        Assert.Contains($"{poison}", report.Detail, StringComparison.Ordinal);
        Assert.Equal(2, (await ReaderOf(host).GetAsync($"{_category}-1"))!.Version);

        // What stands before it is folded when it is tried again.
        Assert.True(await ControlOf(host).ResumeAsync(Name));
        await Eventually.TrueAsync("it has stopped again", async () => (await ControlOf(host).GetAsync(Name)).State == ProjectionState.Stopped);
        if (isDecodable)
        {
            Volatile.Write(ref isHealed, true);
            await ControlOf(host).ResumeAsync(Name);
        }
        else
        {
            await ControlOf(host).SkipAsync(Name, poison);
        }

        await ControlOf(host).WaitForAsync(Name, last.Position, Long);
        Assert.Equal(new Tally(5, 1), await ReaderOf(host).GetAsync($"{_category}-2"));
        Assert.Equal(isDecodable ? [] : [poison], (await ControlOf(host).GetSkippedAsync(Name)).Select(one => one.EntryId));
        Assert.Equal(isDecodable, await ReaderOf(host).GetAsync($"{_category}-13") is not null);
    }

    [Fact]
    public async Task Poison_is_passed_over_and_recorded_once_if_that_is_wanted()
    {
        await AppendAsync(1, 1, 2);
        var poison = (await AppendAsync(13, 13, 14)).Position!.Value;
        await AppendAsync(2, 5);
        var host = await HostAsync(
            Tally.FoldsOf("", one =>
            {
                if (one.Stream == $"{_category}-13")
                    throw new InvalidOperationException("unlucky");
            }),
            options => options.WhenPoisoned = WhenPoisoned.Skip);
        await ControlOf(host).WaitForAsync(Name, null, Long);

        var skipped = await ControlOf(host).GetSkippedAsync(Name);
        Assert.Equal((2, poison), (skipped.Count, skipped[0].EntryId));
        Assert.Contains("unlucky", skipped[0].Reason, StringComparison.Ordinal);
        Assert.Null(await ReaderOf(host).GetAsync($"{_category}-13"));
        await ControlOf(host).RebuildAsync(Name);
        await WhenGenerationAsync(host, 2);
        Assert.Equal(skipped, await ControlOf(host).GetSkippedAsync(Name));
    }

    [Fact]
    public async Task Source_that_was_trimmed_past_the_checkpoint_stops_the_projection_until_the_loss_is_accepted()
    {
        var host = await HostAsync(folds: Sums);
        await AppendAsync(1, 1, 2, 4);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        await Store.TrimAsync(_category, StreamTrim.ToLength(0));
        await AppendAsync(1, 8);
        await ControlOf(host).WaitForAsync(Name, null, Long); // Nothing is lost of what was folded in.
        await ControlOf(host).PauseAsync(Name);
        await WhenAsync(host, ProjectionState.Paused);
        await AppendAsync(1, 16, 32, 64);
        await Store.TrimAsync(_category, StreamTrim.ToLength(1));

        await ControlOf(host).ResumeAsync(Name);
        await WhenAsync(host, ProjectionState.Stopped);
        Assert.Contains("2 entries", (await ControlOf(host).GetAsync(Name)).Detail, StringComparison.Ordinal);
        Assert.Equal(15, (await ReaderOf(host).GetAsync("all"))!.Balance);

        await ControlOf(host).ResumeAsync(Name, acceptLoss: true);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        Assert.Equal(79, (await ReaderOf(host).GetAsync("all"))!.Balance);
    }

    [Fact]
    public async Task New_projection_of_a_source_without_its_beginning_stops_or_goes_on_as_configured()
    {
        await AppendAsync(1, 1, 2, 4);
        await Store.TrimAsync(_category, StreamTrim.ToLength(1));
        var stopped = await HostAsync(folds: Sums);
        await WhenAsync(stopped, ProjectionState.Stopped);
        await stopped.StopAsync();

        var host = await HostAsync(folds: Sums, configure: options => options.WhenTrimmed = WhenTrimmed.GoOn);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        Assert.Equal((4, 3L), ((await ReaderOf(host).GetAsync("all"))!.Balance, (await ControlOf(host).GetAsync(Name)).Checkpoint.Entries));
    }

    [Fact]
    public async Task Source_that_was_deleted_stops_the_projection()
    {
        var host = await HostAsync(folds: Sums);
        await AppendAsync(1, 1, 2, 4);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        await ControlOf(host).PauseAsync(Name);
        await Store.DeleteStreamAsync(_category);
        await ControlOf(host).ResumeAsync(Name);

        await WhenAsync(host, ProjectionState.Stopped);
        Assert.Contains("deleted", ControlOf(host).Local[0].Detail, StringComparison.Ordinal);
    }

    [Fact]
    public async Task View_of_one_stream_is_folded_anew_from_its_own_events_as_far_as_the_projection_is()
    {
        var host = await HostAsync();
        for (var i = 0; i < 3; i++)
            await AppendAsync(i, [.. Enumerable.Range(1, 20)]);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        var key = new StateKey(_category, $"millrace/view/{Name}/{_generations[0]}/{_category}-1");
        await Store.CommitAsync(new Commit { Changes = [new CommitChange.DeleteState(key)] });
        await ControlOf(host).PauseAsync(Name);
        await AppendAsync(1, 1_000);

        await ControlOf(host).RebuildStreamAsync(Name, $"{_category}-1");
        Assert.Equal(new Tally(210, 20), await ReaderOf(host).GetAsync($"{_category}-1"));

        await ControlOf(host).ResumeAsync(Name);
        var writing = Task.Run(async () =>
        {
            for (var i = 0; i < 30; i++)
                await AppendAsync(1, 1);
        });
        while (!writing.IsCompleted)
            await RebuildUnlessBusyAsync(host);
        await writing;
        await ControlOf(host).WaitForAsync(Name, null, Long);
        await ControlOf(host).RebuildStreamAsync(Name, $"{_category}-1");
        Assert.Equal(new Tally(1240, 51), await ReaderOf(host).GetAsync($"{_category}-1"));
        await CheckViewsAsync(host);

        await Events.DeleteAsync($"{_category}-1", ExpectedVersion.Any);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        await ControlOf(host).RebuildStreamAsync(Name, $"{_category}-1");
        Assert.Null(await ReaderOf(host).GetAsync($"{_category}-1"));
        await Assert.ThrowsAsync<ArgumentException>(() => ControlOf(host).RebuildStreamAsync(Name, _category).AsTask());
    }

    /// <summary>Passed over by their options, by their name or by hand: they would throw in the rebuild, or be folded in there alone.</summary>
    [Theory]
    [InlineData(false, false)]
    [InlineData(false, true)]
    [InlineData(true, false)]
    public async Task View_of_one_stream_is_folded_anew_without_the_events_that_were_passed_over(bool ignoresUnknownTypes, bool isDecodable)
    {
        await using var strangers = await StrangersAsync();
        var isUnlucky = true;
        var host = await HostAsync(
            folds => folds.On<PointsEarned>((tally, earned, context) => earned.Amount == 13 && Volatile.Read(ref isUnlucky)
                ? throw new InvalidOperationException("unlucky")
                : new((tally?.Balance ?? 0) + earned.Amount, context.Recorded.Version)),
            options => (options.IgnoresUnknownTypes, options.WhenPoisoned) = (ignoresUnknownTypes, WhenPoisoned.Skip));
        for (var i = 1; i <= 2; i++)
        {
            await AppendOddAsync();
            await AppendAsync(1, i);
        }

        // Of another stream, and so none of this view's business.
        await AppendAsync(2, 5, 13, 7, 8);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        Volatile.Write(ref isUnlucky, false);

        await ControlOf(host).RebuildStreamAsync(Name, $"{_category}-1");

        Assert.Equal(new Tally(3, 4), await ReaderOf(host).GetAsync($"{_category}-1"));
        Assert.Equal(ignoresUnknownTypes ? 1 : 3, (await ControlOf(host).GetSkippedAsync(Name)).Count);

        async Task AppendOddAsync()
        {
            if (isDecodable)
                await AppendAsync(1, 13);
            else
                await strangers.Host.Services.GetRequiredService<EventStore>().AppendAsync($"{_category}-1", ExpectedVersion.Any, [new PointsUnknown()]);
        }
    }

    /// <summary>A process that knows one more type.</summary>
    private Task<ConsumerHost> StrangersAsync() => ConsumerHost.StartAsync(
        millrace =>
        {
            Messages(millrace);
            millrace.AddMessage<PointsUnknown>();
        },
        _store,
        instance: "strangers");

    private async Task RebuildUnlessBusyAsync(ConsumerHost host)
    {
        try
        {
            await ControlOf(host).RebuildStreamAsync(Name, $"{_category}-1");
        }
        catch (StreamException exception) when (exception.Code == StreamErrorCode.Busy)
        {
            // The writer was faster each time, and is no loser by it.
        }
    }

    private static void Sums(ViewFolds<Tally> folds) =>
        folds.On<PointsEarned>((_, _) => ["all"], (tally, earned, _) => new((tally?.Balance ?? 0) + earned.Amount, 0));

    private Task WhenGenerationAsync(ConsumerHost host, int ordinal) =>
        Eventually.TrueAsync($"generation {ordinal} serves queries", async () => await ServesAsync(host, ordinal));

    /// <summary>Whether a generation, counted from 1, serves queries. Takes its number down: each is asked for before there is the next.</summary>
    private async ValueTask<bool> ServesAsync(ConsumerHost host, int ordinal)
    {
        var live = (await ControlOf(host).GetAsync(Name)).Generation;
        if (!_generations.Contains(live))
            _generations.Add(live);
        return _generations.IndexOf(live) == ordinal - 1;
    }

    /// <summary>Whether anything is left of a generation, counted from 1.</summary>
    private async Task<bool> HasAsync(int ordinal)
    {
        var generation = _generations[ordinal - 1];
        string[] names =
        [
            $"millrace/projection/{Name}/{generation}",
            .. Enumerable.Range(0, 3).Select(i => $"millrace/view/{Name}/{generation}/{_category}-{i}"),
        ];
        var documents = await Store.GetStatesAsync([.. names.Select(name => new StateKey(_category, name))]);
        return documents.Any(document => document is not null) ||
            await Store.GetStreamInfoAsync(StreamNames.Derive(_category, $"projection:{Name}:{generation}:keys")) is not null;
    }

    /// <summary>Compares every view with the fold of its stream.</summary>
    private async Task CheckViewsAsync(ConsumerHost host, string note = "")
    {
        var expected = new Dictionary<string, Points>();
        await foreach (var one in Events.ReadCategoryAsync(_category))
            expected[one.Stream] = Points.Fold.Evolve(expected.GetValueOrDefault(one.Stream, new(0, 0)), one.Event);
        var views = await ReaderOf(host).ReadAllAsync().ToDictionaryAsync(view => view.Key, view => view.Value);
        Assert.True(
            expected.Count == views.Count && expected.All(one => views[one.Key].Balance == one.Value.Balance && views[one.Key].Version == one.Value.Events),
            $"{note}: expected {string.Join(", ", expected)} but the views are {string.Join(", ", views)}");
    }
}
