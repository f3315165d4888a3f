using System.Diagnostics;
using Millrace.Streams;

namespace Millrace.Tests.Conformance;

public abstract partial class StoreConformance
{
    [Fact]
    public async Task Range_by_default_has_everything_in_order()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 5);

        var entries = await Store.RangeAsync(stream, new());

        Assert.Equal(ids, entries.Select(entry => entry.Id));
    }

    [Fact]
    public async Task Range_bounds_are_inclusive()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 5);

        Assert.Equal(["1", "2", "3"], await RangeValuesAsync(stream, new() { Start = ids[1], End = ids[3] }));
        Assert.Equal(["2"], await RangeValuesAsync(stream, new() { Start = ids[2], End = ids[2] }));
    }

    [Fact]
    public async Task Range_bounds_made_exclusive_by_Next_and_Previous()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 5);

        Assert.Equal(["2"], await RangeValuesAsync(stream, new() { Start = ids[1].Next(), End = ids[3].Previous() }));
    }

    [Fact]
    public async Task Range_reversed_goes_from_the_end()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 5);

        Assert.Equal(["4", "3"], await RangeValuesAsync(stream, new() { IsReversed = true, Count = 2 }));
        Assert.Equal(["3", "2", "1"], await RangeValuesAsync(stream, new() { Start = ids[1], End = ids[3], IsReversed = true }));
    }

    [Theory]
    [InlineData(false, "0", "1")]
    [InlineData(true, "4", "3")]
    public async Task Range_count_limits_it(bool isReversed, params string[] expected)
    {
        var stream = NewStream();
        await AppendAsync(stream, 5);

        Assert.Equal(expected, await RangeValuesAsync(stream, new() { Count = 2, IsReversed = isReversed }));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Range_with_the_start_after_the_end_is_empty(bool isReversed)
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 3);

        Assert.Empty(await Store.RangeAsync(stream, new() { Start = ids[2], End = ids[0], IsReversed = isReversed }));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Range_of_a_missing_or_emptied_stream_is_empty(bool isReversed)
    {
        var stream = NewStream();
        Assert.Empty(await Store.RangeAsync(stream, new() { IsReversed = isReversed }));

        await AppendAsync(stream, 3);
        await Store.TrimAsync(stream, StreamTrim.ToLength(0));

        Assert.Empty(await Store.RangeAsync(stream, new() { IsReversed = isReversed }));
    }

    [Fact]
    public async Task Range_leaves_out_deleted_entries()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 4);

        await Store.DeleteAsync(stream, [ids[0], ids[2]]);

        Assert.Equal(["1", "3"], await ValuesAsync(stream));
        Assert.Equal(["3", "1"], await RangeValuesAsync(stream, new() { IsReversed = true }));
    }

    [Fact]
    public async Task Range_of_a_time_starts_there()
    {
        var stream = NewStream();
        await Store.CommitAsync(Change([.. Enumerable.Range(1, 4)
            .Select(i => new CommitChange.Append(stream, Fields($"{i}"), new EntryId((ulong)i * 1000, 7)))]));

        var from = EntryId.FromTime(DateTimeOffset.FromUnixTimeSeconds(3));

        Assert.Equal(["3", "4"], await RangeValuesAsync(stream, new() { Start = from }));
    }

    [Fact]
    public async Task Read_goes_on_after_the_position()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 4);

        var batch = Assert.Single(await Store.ReadAsync([new(stream, ids[1])], 10, TimeSpan.Zero));

        Assert.Equal(stream, batch.Stream);
        Assert.Equal(["2", "3"], batch.Entries.Select(ValueOf));
        Assert.Equal(ids.Skip(2), batch.Entries.Select(entry => entry.Id));
    }

    [Fact]
    public async Task Read_of_several_streams_has_those_with_entries_in_order_and_counts_each()
    {
        string first = NewStream(), empty = NewStream(), last = NewStream();
        await AppendAsync(last, 3);
        await AppendAsync(first, 3);

        var batches = await Store.ReadAsync([new(first, default), new(empty, default), new(last, default)], 2, Patience);

        Assert.Equal([first, last], batches.Select(batch => batch.Stream));
        Assert.All(batches, batch => Assert.Equal(["0", "1"], batch.Entries.Select(ValueOf)));
    }

    [Fact]
    public async Task Read_of_nothing_without_a_wait_is_empty()
    {
        var stream = NewStream();
        Assert.Empty(await Store.ReadAsync([new(stream, default)], 1, TimeSpan.Zero));

        var id = await AppendAsync(stream);

        Assert.Empty(await Store.ReadAsync([new(stream, id)], 1, TimeSpan.Zero));
    }

    [Fact]
    public async Task Read_blocked_in_vain_waits_the_time_out()
    {
        var stream = NewStream();
        var start = Stopwatch.GetTimestamp();

        Assert.Empty(await Store.ReadAsync([new(stream, default)], 1, Moment));

        // A timer may run ahead of the stopwatch by its resolution.
        Assert.True(Stopwatch.GetElapsedTime(start) > Moment - TimeSpan.FromMilliseconds(5));
    }

    [Fact]
    public async Task Read_blocked_on_missing_streams_gets_the_first_entry_of_any()
    {
        string quiet = NewStream(), stream = NewStream();
        var reading = Store.ReadAsync([new(quiet, default), new(stream, default)], 10, Patience).AsTask();
        await UntilBlockedAsync(1);
        Assert.False(reading.IsCompleted);

        var id = await AppendAsync(stream, "awaited");

        var batch = Assert.Single(await reading);
        Assert.Equal(stream, batch.Stream);
        Assert.Equal(new(id, Fields("awaited")), Assert.Single(batch.Entries));
    }

    [Fact]
    public async Task Read_blocked_by_several_readers_gives_the_entry_to_all()
    {
        var stream = NewStream();
        var last = await AppendAsync(stream);
        var reads = Enumerable.Range(0, 3).Select(_ => Store.ReadAsync([new(stream, last)], 10, Patience).AsTask()).ToArray();
        await UntilBlockedAsync(3);

        await AppendAsync(stream, "for all");

        foreach (var batches in await Task.WhenAll(reads))
            Assert.Equal("for all", ValueOf(Assert.Single(Assert.Single(batches).Entries)));
    }

    [Fact]
    public async Task Read_blocked_gets_the_entry_of_a_commit()
    {
        var stream = NewStream();
        var reading = Store.ReadAsync([new(stream, default)], 10, Patience).AsTask();
        await UntilBlockedAsync(1);

        var result = await Store.CommitAsync(Change(new CommitChange.Append(stream, Fields("committed"))));

        Assert.Equal(result.Ids, Assert.Single(await reading).Entries.Select(entry => entry.Id));
    }

    [Fact]
    public async Task Read_blocked_stays_so_when_its_stream_is_deleted_and_made_again()
    {
        var stream = NewStream();
        var last = await AppendAsync(stream);
        var reading = Store.ReadAsync([new(stream, last)], 10, Patience).AsTask();
        await UntilBlockedAsync(1);

        Assert.True(await Store.DeleteStreamAsync(stream));
        await Store.CommitAsync(Change(new CommitChange.Append(stream, Fields("below"), new EntryId(1, 0))));
        Assert.False(reading.IsCompleted);
        await Store.CommitAsync(Change(new CommitChange.Append(stream, Fields("above"), last.Next())));

        Assert.Equal("above", ValueOf(Assert.Single(Assert.Single(await reading).Entries)));
    }

    private async Task<string[]> RangeValuesAsync(string stream, StreamRange range) =>
        [.. (await Store.RangeAsync(stream, range)).Select(ValueOf)];
}
