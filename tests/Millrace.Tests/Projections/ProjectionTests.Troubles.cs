using Microsoft.Extensions.DependencyInjection;
using Millrace.EventSourcing;
using Millrace.Projections;
using Millrace.Streams;
using Millrace.Tests.EventSourcing;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Monitoring;

namespace Millrace.Tests.Projections;

/// <summary>What a review found: one part that fails and the others, sources that begin anew, reads that are torn.</summary>
public abstract partial class ProjectionTests
{
    [Fact]
    public async Task Rebuild_or_removal_that_fails_keeps_nothing_from_the_live_generation_and_is_tried_again()
    {
        var target = new MemoryTarget { Broken = 2, KeepsAll = true };
        var host = await TargetHostAsync(target);
        await AppendAsync(1, 1, 2);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        await ControlOf(host).RebuildAsync(Name);
        await Eventually.TrueAsync("the rebuild fails", async () => (await ControlOf(host).GetAsync(Name)).BuildingFailure == "no such table");
        await AppendAsync(1, 3);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        Assert.Equal([1, 2, 3], target.Amounts(1));
        Assert.Equal("no such table", ControlOf(host).Local[0].BuildingFailure);

        target.Broken = null;
        await WhenGenerationAsync(host, 2);
        await Eventually.TrueAsync("the removal has failed", () => new(target.Removals > 1));
        await AppendAsync(1, 4);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        Assert.Equal([1, 2, 3, 4], target.Amounts(2));
        Assert.Equal([1, 2, 3], target.Amounts(1));

        target.KeepsAll = false;
        await Eventually.TrueAsync("the old generation is removed", () => new(target.Amounts(1).Count == 0));
        Assert.Null((await ControlOf(host).GetAsync(Name)).BuildingFailure);
    }

    [Fact]
    public async Task Live_generation_that_fails_each_time_is_replaced_by_a_rebuild()
    {
        var target = new MemoryTarget { Broken = 1 };
        var host = await TargetHostAsync(target);
        await AppendAsync(1, 1, 2);
        await WhenAsync(host, ProjectionState.Failing);

        await ControlOf(host).RebuildAsync(Name);

        await WhenGenerationAsync(host, 2);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        Assert.Equal([1, 2], target.Amounts(2));
        await WhenAsync(host, ProjectionState.Live);
    }

    /// <summary>It ends before the checkpoint, or at it by chance, or has passed it while nobody looked.</summary>
    [Theory]
    [InlineData(80)]
    [InlineData(100)]
    [InlineData(120)]
    public async Task Source_that_began_anew_stops_the_projection_and_is_read_from_its_first_entry_once_the_loss_is_accepted(int last)
    {
        await _writer!.Publisher.PublishAsync(_category, new PointsEarned(1, "test"));
        var fields = (await Store.RangeAsync(_category, new() { Count = 1 }))[0].Fields;
        async Task BeginAsync(params int[] ids)
        {
            await Store.DeleteStreamAsync(_category);
            await Store.CommitAsync(new Commit { Changes = [.. ids.Select(id => new CommitChange.Append(_category, fields, new EntryId((ulong)id, 0)))] });
        }

        await BeginAsync(97, 98, 99, 100);
        var first = await HostAsync(folds: Sums, configure: options => options.WhenTrimmed = WhenTrimmed.GoOn);
        await ControlOf(first).WaitForAsync(Name, null, Long);
        await first.StopAsync();
        await BeginAsync(last - 1, last);

        var second = await HostAsync(folds: Sums, configure: options => options.WhenTrimmed = WhenTrimmed.GoOn);
        await WhenAsync(second, ProjectionState.Stopped);
        Assert.Contains("deleted", ControlOf(second).Local[0].Detail, StringComparison.Ordinal);
        Assert.Equal(4, (await ReaderOf(second).GetAsync("all"))!.Balance);

        await ControlOf(second).ResumeAsync(Name, acceptLoss: true);
        await Eventually.TrueAsync("what there is now is folded in", async () => (await ReaderOf(second).GetAsync("all"))!.Balance == 6);
        await WhenAsync(second, ProjectionState.Live);
        Assert.Equal(new EntryId((ulong)last, 0), (await ControlOf(second).GetAsync(Name)).Checkpoint.Position);
    }

    [Fact]
    public async Task Rebuild_of_a_source_whose_last_entries_are_gone_takes_its_place()
    {
        var host = await HostAsync(folds: Sums, configure: options => options.WhenTrimmed = WhenTrimmed.GoOn);
        await AppendAsync(1, 1, 2);
        var last = (await AppendAsync(1, 4)).Position!.Value;
        await ControlOf(host).WaitForAsync(Name, null, Long);
        await Store.DeleteAsync(_category, [last]);

        await ControlOf(host).RebuildAsync(Name);

        await WhenGenerationAsync(host, 2);
        Assert.Equal(last, (await ControlOf(host).GetAsync(Name)).Checkpoint.Position);
        await AppendAsync(1, 8);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        Assert.Equal(11, (await ReaderOf(host).GetAsync("all"))!.Balance);
    }

    /// <summary>Neither all there is now nor what a repeated append gives is an entry that no projection comes to.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Projection_that_begins_where_the_last_entries_are_gone_is_not_waited_for_in_vain(bool isAllGone)
    {
        var options = new AppendOptions { CommandId = "c1" };
        ValueTask<AppendResult> AppendLastAsync() => Events.AppendAsync($"{_category}-1", ExpectedVersion.Any, [new PointsEarned(4, "test")], options);
        var kept = (await AppendAsync(1, 1, 2)).Position;
        var last = (await AppendLastAsync()).Position!.Value;
        if (isAllGone)
            await Store.TrimAsync(_category, StreamTrim.ToLength(0));
        else
            await Store.DeleteAsync(_category, [last]);
        var host = await HostAsync(folds: Sums, configure: options => options.WhenTrimmed = WhenTrimmed.GoOn);

        var again = await AppendLastAsync();
        await ControlOf(host).WaitForAsync(Name, again.Position, Long);
        await ControlOf(host).WaitForAsync(Name, null, Long);

        Assert.Equal((AppendOutcome.Duplicate, isAllGone ? null : kept), (again.Outcome, again.Position));
        Assert.Equal(isAllGone ? null : 3, (await ReaderOf(host).GetAsync("all"))?.Balance);
    }

    [Fact]
    public async Task Rebuild_of_a_source_that_was_deleted_does_not_empty_the_views_unless_the_loss_is_accepted()
    {
        var host = await HostAsync(folds: Sums);
        await AppendAsync(1, 1, 2);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        await Store.DeleteStreamAsync(_category);

        await ControlOf(host).RebuildAsync(Name);
        await Eventually.TrueAsync("the rebuild has stopped", async () => (await ControlOf(host).GetAsync(Name)).BuildingFailure is not null);
        Assert.Equal(3, (await ReaderOf(host).GetAsync("all"))!.Balance);

        await ControlOf(host).ResumeAsync(Name, acceptLoss: true);
        await WhenGenerationAsync(host, 2);
        Assert.Null(await ReaderOf(host).GetAsync("all"));
    }

    [Fact]
    public async Task View_that_was_deleted_and_made_again_long_after_is_listed_once()
    {
        var host = await HostAsync(
            folds => folds.On<PointsEarned>((earned, _) => [earned.For], (_, earned, _) => earned.Amount == 0 ? null : new(earned.Amount, 0)),
            options => options.BatchSize = 1);
        var others = Enumerable.Range(0, 110).Select(i => new PointsEarned(1, $"o{i}"));
        object[] events = [new PointsEarned(1, "k"), new PointsEarned(0, "k"), .. others, new PointsEarned(2, "k")];
        await Events.AppendAsync($"{_category}-1", ExpectedVersion.NoStream, events);
        await ControlOf(host).WaitForAsync(Name, null, Long);

        var all = await ReaderOf(host).ReadAllAsync().ToListAsync();

        Assert.Equal(111, all.Count);
        Assert.Equal(2, Assert.Single(all, view => view.Key == "k").Value.Balance);
    }

    [Fact]
    public async Task Rebuild_of_one_stream_keeps_an_event_that_is_folded_in_between_its_reads()
    {
        var host = await HostAsync();
        await AppendAsync(1, 1, 2);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        var isArmed = 1;
        var other = await HostAsync(
            configure: options => options.RunsHere = false,
            store: TornStore.Wrap(Store, async () =>
            {
                if (Interlocked.Exchange(ref isArmed, 0) == 1)
                    await ControlOf(host).WaitForAsync(Name, (await AppendAsync(1, 4)).Position, Long);
            }),
            instance: "other");

        await ControlOf(other).RebuildStreamAsync(Name, $"{_category}-1");

        Assert.Equal(0, isArmed);
        Assert.Equal(new Tally(7, 3), await ReaderOf(host).GetAsync($"{_category}-1"));
    }

    [Fact]
    public async Task Views_are_found_while_a_rebuild_takes_their_place()
    {
        var host = await HostAsync();
        await AppendAsync(1, 1);
        await AppendAsync(2, 2);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        var isArmed = 1;
        var other = await HostAsync(
            configure: options => options.RunsHere = false,
            store: TornStore.Wrap(Store, async () =>
            {
                if (Interlocked.Exchange(ref isArmed, 0) == 0)
                    return;
                await ControlOf(host).RebuildAsync(Name);
                await Eventually.TrueAsync("the first generation is gone", async () =>
                    await ServesAsync(host, 2) && !await HasAsync(1));
            }),
            instance: "other");

        var views = await ReaderOf(other).GetManyAsync([$"{_category}-1", $"{_category}-2"]);

        Assert.Equal(0, isArmed);
        Assert.Equal([new Tally(1, 1), new Tally(2, 1)], views);
    }

    [Fact]
    public async Task Lag_of_a_projection_that_fails_goes_on_growing_or_is_unknown()
    {
        var target = new MemoryTarget { Broken = 1 };
        var host = await TargetHostAsync(target);
        using var recorder = new MeterRecorder(host);
        await AppendAsync(1, 1);
        await WhenAsync(host, ProjectionState.Failing);
        await AppendAsync(1, 2, 3, 4);
        await recorder.ScrapeUntilAsync(gauges => gauges["millrace.projection.lag"].Any(reading => reading.Value == 4));
        var age = ControlOf(host).Local[0].TimeLag;
        await AppendAsync(1, 5);
        await Eventually.TrueAsync(
            "the lag has grown", () => new(ControlOf(host).Local[0] is { State: ProjectionState.Failing, Lag: 5 } now && now.TimeLag > age));

        target.IsAway = true;
        await Eventually.TrueAsync("the lag is unknown", () => new(ControlOf(host).Local[0] is { State: ProjectionState.Failing, Lag: null, TimeLag: null }));
        Assert.DoesNotContain(recorder.Scrape(), gauge => gauge.Key.EndsWith("lag", StringComparison.Ordinal));

        (target.IsAway, target.Broken) = (false, null);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        await WhenAsync(host, ProjectionState.Live);
        Assert.Equal((0L, TimeSpan.Zero), (ControlOf(host).Local[0].Lag, ControlOf(host).Local[0].TimeLag));
    }

    /// <summary>As after FLUSHALL, or a restart without persistence, while the target has kept what it had.</summary>
    [Fact]
    public async Task Generation_of_a_plan_that_the_store_forgot_is_not_taken_for_one_of_the_next_plan()
    {
        var target = new MemoryTarget();
        var host = await TargetHostAsync(target);
        await AppendAsync(1, 1, 2, 3);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        await ControlOf(host).RebuildAsync(Name);
        await WhenGenerationAsync(host, 2);
        await Eventually.TrueAsync("the first generation is removed", () => new(target.All.Count == 1));
        await host.StopAsync();

        await Store.CommitAsync(new Commit { Changes = [new CommitChange.DeleteState(new(_category, $"millrace/projection/{Name}"))] });
        await Store.DeleteStreamAsync(StreamNames.Derive(_category, $"projection:{Name}"));
        await Store.DeleteStreamAsync(_category);
        await Store.DeleteStreamAsync($"{_category}-1");
        await AppendAsync(1, 10, 20, 30, 40, 50);
        var next = await TargetHostAsync(target);
        await ControlOf(next).WaitForAsync(Name, null, Long);

        var generation = (await ControlOf(next).GetAsync(Name)).Generation;
        Assert.DoesNotContain(generation, _generations);
        Assert.Equal([10, 20, 30, 40, 50], target.All[generation]);
        Assert.Equal([1, 2, 3], target.All[_generations[1]]);
        await ControlOf(next).RebuildAsync(Name);
        await Eventually.TrueAsync("the rebuild has taken its place", () => new(!target.All.ContainsKey(generation)));
        Assert.Equal([10, 20, 30, 40, 50], target.All[(await ControlOf(next).GetAsync(Name)).Generation]);
    }

    /// <summary>As after a power cut under the policy of a sync each second: the last rebuild is not in the plan, and its data are in the target.</summary>
    [Fact]
    public async Task Generation_of_a_rebuild_that_the_store_forgot_is_not_taken_for_that_of_the_next_rebuild()
    {
        var target = new MemoryTarget();
        var host = await TargetHostAsync(target);
        await AppendAsync(1, 1, 2, 3);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        var key = new StateKey(_category, $"millrace/projection/{Name}");
        var plan = (await Store.GetStateAsync(key))!.Payload;
        await ControlOf(host).RebuildAsync(Name);
        await WhenGenerationAsync(host, 2);
        await Eventually.TrueAsync("the first generation is removed", () => new(target.All.Count == 1));
        await host.StopAsync();

        await Store.CommitAsync(new Commit { Changes = [new CommitChange.PutState(key, plan)] });
        await Store.DeleteStreamAsync(_category);
        await Store.DeleteStreamAsync($"{_category}-1");
        await AppendAsync(1, 10, 20);
        var next = await TargetHostAsync(target);
        await ControlOf(next).WaitForAsync(Name, null, Long);
        Assert.Equal([10, 20], target.Amounts(1));
        await ControlOf(next).RebuildAsync(Name);
        await WhenGenerationAsync(next, 3);

        Assert.Equal([10, 20], target.Amounts(3));
        Assert.Equal([1, 2, 3], target.Amounts(2));
    }

    [Fact]
    public async Task Rebuild_of_one_stream_that_began_anew_folds_the_event_in_the_place_of_one_that_was_passed_over()
    {
        var host = await UnluckyHostAsync(static () => 13);
        await AppendAsync(1, 1, 13);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        await Store.DeleteStreamAsync($"{_category}-1");
        await AppendAsync(1, 5, 7);
        await ControlOf(host).WaitForAsync(Name, null, Long);

        await ControlOf(host).RebuildStreamAsync(Name, $"{_category}-1");

        Assert.Equal(new Tally(12, 2), await ReaderOf(host).GetAsync($"{_category}-1"));
    }

    /// <summary>What was passed over before is looked at again, and no longer told; what is passed over again is told under its new place.</summary>
    [Fact]
    public async Task Source_that_is_read_again_from_its_first_entry_forgets_what_was_passed_over()
    {
        var unlucky = 13;
        var host = await UnluckyHostAsync(() => Volatile.Read(ref unlucky));
        await AppendAsync(1, 1, 13);
        await AppendAsync(2, 14);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        Assert.Equal(2, (await ControlOf(host).GetSkippedAsync(Name)).Count);
        var entries = await Store.RangeAsync(_category, new());
        await ControlOf(host).PauseAsync(Name);
        await WhenAsync(host, ProjectionState.Paused);
        await Store.DeleteStreamAsync(_category);
        await Store.CommitAsync(new Commit
        {
            Changes = [.. entries.Select((entry, i) => new CommitChange.Append(_category, entry.Fields, new EntryId((ulong)i + 1, 0)))],
        });
        Volatile.Write(ref unlucky, 14);

        await ControlOf(host).ResumeAsync(Name);
        await WhenAsync(host, ProjectionState.Stopped);
        await ControlOf(host).ResumeAsync(Name, acceptLoss: true);
        await WhenAsync(host, ProjectionState.Live);
        await ControlOf(host).RebuildStreamAsync(Name, $"{_category}-1");

        Assert.Equal([new(3, 0)], (await ControlOf(host).GetSkippedAsync(Name)).Select(one => one.EntryId));
        Assert.Equal(new Tally(14, 2), await ReaderOf(host).GetAsync($"{_category}-1"));
    }

    [Fact]
    public async Task Rebuild_of_one_stream_does_not_fail_at_an_event_that_the_projection_has_not_come_to()
    {
        var host = await HostAsync();
        await AppendAsync(1, 1, 2);
        await ControlOf(host).WaitForAsync(Name, null, Long);
        await ControlOf(host).PauseAsync(Name);
        await using var strangers = await StrangersAsync();
        await strangers.Host.Services.GetRequiredService<EventStore>().AppendAsync($"{_category}-1", ExpectedVersion.Any, [new PointsUnknown()]);

        await ControlOf(host).RebuildStreamAsync(Name, $"{_category}-1");

        Assert.Equal(new Tally(3, 2), await ReaderOf(host).GetAsync($"{_category}-1"));
    }

    /// <summary>Passes over what is earned from an amount on.</summary>
    private Task<ConsumerHost> UnluckyHostAsync(Func<int> amount) => HostAsync(
        folds => folds.On<PointsEarned>((tally, earned, context) => earned.Amount >= amount()
            ? throw new InvalidOperationException("unlucky")
            : new((tally?.Balance ?? 0) + earned.Amount, context.Recorded.Version)),
        options => options.WhenPoisoned = WhenPoisoned.Skip);

    [Fact]
    public async Task Target_that_hangs_does_not_keep_the_application_from_stopping()
    {
        var (entered, end) = (new TaskCompletionSource(), new TaskCompletionSource());
        await AppendAsync(1, 1);
        var host = await TargetHostAsync(new MemoryTarget
        {
            Hang = () =>
            {
                entered.TrySetResult();
                return end.Task;
            },
        });
        await entered.Task.WaitAsync(Long);

        await host.AbortAsync().WaitAsync(Long);

        end.SetResult();
    }
}
