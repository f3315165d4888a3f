using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Conformance;

public abstract partial class StoreConformance
{
    [Fact]
    public async Task Schedule_keeps_the_entry_until_it_is_due_and_a_blocked_group_reader_gets_it()
    {
        var (stream, _) = await NewGroupAsync(0);
        var reading = DeliverAsync(stream, "c1", block: Patience);
        await UntilBlockedAsync(1);
        var beforeSchedule = DateTimeOffset.UtcNow;

        var result = await Store.CommitAsync(Change(new CommitChange.Schedule(stream, Fields("due"), 2 * Moment)));
        Assert.True(result.IsApplied);
        Assert.Empty(result.Ids);

        var entry = Assert.Single(await reading);
        Assert.Equal(("due", 1), (ValueOf(entry), entry.DeliveryCount));
        // Two clocks of one machine: the wall clock may be set while a test runs, but not by much.
        Assert.True(DateTimeOffset.UtcNow - beforeSchedule > Moment);
    }

    [Fact]
    public async Task Schedule_says_how_much_waits_and_when_the_first_is_due()
    {
        var stream = NewStream();
        Assert.Equal(new() { Count = 0, NextIn = null }, await Store.GetScheduleAsync(stream));

        await Store.CommitAsync(Change(
            new CommitChange.Schedule(stream, Fields("a"), TimeSpan.FromHours(2)),
            new CommitChange.Schedule(stream, Fields("b"), TimeSpan.FromHours(1)),
            new CommitChange.Schedule(stream, Fields("a"), TimeSpan.FromHours(3))));

        var schedule = await Store.GetScheduleAsync(stream);
        Assert.Equal(3, schedule.Count);
        Assert.InRange(schedule.NextIn!.Value, TimeSpan.FromMinutes(50), TimeSpan.FromHours(1));
        Assert.Null(await Store.GetStreamInfoAsync(stream));

        await Store.CommitAsync(Change(new CommitChange.Schedule(stream, Fields("now"), TimeSpan.Zero)));
        await FollowAsync(stream, 1);
        Assert.Equal(3, (await Store.GetScheduleAsync(stream)).Count);
    }

    [Fact]
    public async Task Schedule_key_of_another_type_is_refused()
    {
        var stream = NewStream();
        await Store.AppendAsync(StreamNames.Schedule(stream), Fields("in the way"));

        await FailsAsync(StreamErrorCode.WrongType, () => Store.GetScheduleAsync(stream).AsTask());
    }

    [Fact]
    public async Task Schedule_to_a_stream_that_does_not_exist_makes_it_when_due()
    {
        var (stream, later) = (NewStream(), NewStream());
        await Store.CommitAsync(Change(
            new CommitChange.Schedule(stream, Fields("due"), Moment), new CommitChange.Schedule(later, Fields("later"), TimeSpan.FromHours(1))));
        Assert.Null(await Store.GetStreamInfoAsync(later));

        var batch = Assert.Single(await Store.ReadAsync([new(stream, default)], 10, Patience));

        Assert.Equal(["due"], batch.Entries.Select(ValueOf));
    }

    [Fact]
    public async Task Schedule_appends_in_the_order_of_the_due_times()
    {
        var stream = NewStream();
        await Store.CommitAsync(Change(
            new CommitChange.Schedule(stream, Fields("third"), 6 * Moment),
            new CommitChange.Schedule(stream, Fields("first"), 2 * Moment),
            new CommitChange.Schedule(stream, Fields("second"), 4 * Moment)));

        Assert.Equal(["first", "second", "third"], await FollowAsync(stream, 3));
    }

    [Fact]
    public async Task Schedule_of_equal_entries_for_one_moment_keeps_them_all_in_order()
    {
        var stream = NewStream();
        string[] values = ["a", "same", "same", "b", "same"];

        await Store.CommitAsync(Change([.. values.Select(value => new CommitChange.Schedule(stream, Fields(value), Moment))]));

        Assert.Equal(values, await FollowAsync(stream, values.Length));
    }

    [Fact]
    public async Task Schedule_without_a_delay_is_due_at_once()
    {
        var (stream, _) = await NewGroupAsync(0);

        await Store.CommitAsync(Change(new CommitChange.Schedule(stream, Fields("now"), TimeSpan.Zero)));

        Assert.Equal("now", ValueOf(Assert.Single(await DeliverAsync(stream, "c1", block: Patience))));
    }

    [Fact]
    public async Task Schedule_keeps_every_byte_of_the_fields()
    {
        var stream = NewStream();
        byte[] everyByte = [.. Enumerable.Range(0, 256).Select(i => (byte)i)];
        var fields = new EntryFieldsWriter().Add("twice", "1").Add(everyByte, everyByte).Add("twice", "2").Add("", "").ToFields();

        await Store.CommitAsync(Change(new CommitChange.Schedule(stream, fields, Moment)));

        var batch = Assert.Single(await Store.ReadAsync([new(stream, default)], 10, Patience));
        Assert.Equal(fields, Assert.Single(batch.Entries).Fields);
    }

    [Fact]
    public async Task Schedule_survives()
    {
        var (stream, _) = await NewGroupAsync(0);
        await Store.CommitAsync(Change(
            new CommitChange.Schedule(stream, Fields("soon"), Moment),
            new CommitChange.Schedule(stream, Fields("next year"), TimeSpan.FromDays(365))));

        await ReopenAsync();

        Assert.Equal("soon", ValueOf(Assert.Single(await DeliverAsync(stream, "c1", block: Patience))));
        Assert.Empty(await DeliverAsync(stream, "c1", block: Moment));
    }

    [Fact]
    public async Task Schedule_of_a_sooner_entry_is_not_held_up_by_a_later_one()
    {
        var stream = NewStream();
        await Store.CommitAsync(Change(new CommitChange.Schedule(stream, Fields("much later"), TimeSpan.FromHours(1))));
        var reading = Store.ReadAsync([new(stream, default)], 10, Patience).AsTask();
        await UntilBlockedAsync(1);

        await Store.CommitAsync(Change(new CommitChange.Schedule(stream, Fields("soon"), Moment)));

        Assert.Equal("soon", ValueOf(Assert.Single(Assert.Single(await reading).Entries)));
    }

    /// <summary>
    /// By the store's own clock. A machine that stalls meanwhile says nothing of it, and gets another chance; one that never stops stalling may be late by
    /// as long as it stalled.
    /// </summary>
    [Fact]
    public async Task Schedule_is_kept_to_100_ms()
    {
        const int Entries = 20;
        const int Rounds = 10;
        var best = double.MaxValue;
        for (var round = 0; round < Rounds; round++)
        {
            using var stop = new CancellationTokenSource();
            var watching = StallWatch.WatchAsync(null, Moment / 2, stop.Token); // Each call would have the embedded store look for what is due.
            var late = await FindLatestAsync(NewStream(), Entries);
            await stop.CancelAsync();
            var stalls = await watching;
            if (late <= 100)
                return;
            Assert.True(stalls.Count > 0, $"An entry was {late} ms late.");
            best = Math.Min(best, late - stalls.Sum(stall => TimeProvider.System.GetElapsedTime(stall.From, stall.Until).TotalMilliseconds));
        }

        Assert.True(best <= 100, $"The machine stalled in each of {Rounds} rounds, and in the best one an entry was late by {best:0} ms more than that.");
    }

    /// <summary>Schedules entries, each for its own moment, and returns by how many milliseconds the latest came too late.</summary>
    private async Task<ulong> FindLatestAsync(string stream, int count)
    {
        var due = new Dictionary<string, ulong>();
        for (var i = 1; i <= count; i++)
        {
            var delay = i * Moment;
            var result = await Store.CommitAsync(Change(
                new CommitChange.Append(stream, Fields("now")), new CommitChange.Schedule(stream, Fields($"e{i}"), delay)));
            due[$"e{i}"] = result.Ids[0].Milliseconds + (ulong)delay.TotalMilliseconds;
        }

        await FollowAsync(stream, 2 * count);
        var moved = (await Store.RangeAsync(stream, new())).Where(entry => ValueOf(entry) != "now").ToList();

        // The delay counts from the moment of the commit, and the entry that tells it may get its ID a millisecond later.
        Assert.All(moved, entry => Assert.True(entry.Id.Milliseconds + 1 >= due[ValueOf(entry)], $"{entry.Id} came before {due[ValueOf(entry)]}"));
        return moved.Max(entry => entry.Id.Milliseconds + 1 - due[ValueOf(entry)]);
    }

    /// <summary>Reads a stream from its start, waiting, until it has had this many entries.</summary>
    private async Task<IReadOnlyList<string>> FollowAsync(string stream, int count)
    {
        var values = new List<string>();
        var position = EntryId.Zero;
        while (values.Count < count)
        {
            var batch = Assert.Single(await Store.ReadAsync([new(stream, position)], 100, Patience));
            values.AddRange(batch.Entries.Select(ValueOf));
            position = batch.Entries[^1].Id;
        }

        return values;
    }
}
