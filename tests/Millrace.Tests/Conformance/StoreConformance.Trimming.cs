using Millrace.Streams;

namespace Millrace.Tests.Conformance;

public abstract partial class StoreConformance
{
    [Theory]
    [InlineData(3, 2)]
    [InlineData(5, 0)]
    [InlineData(9, 0)]
    [InlineData(long.MaxValue, 0)]
    [InlineData(0, 5)]
    public async Task Trim_to_a_length_drops_the_oldest(long length, long dropped)
    {
        var stream = NewStream();
        await AppendAsync(stream, 5);

        Assert.Equal(dropped, await Store.TrimAsync(stream, StreamTrim.ToLength(length)));

        Assert.Equal(Enumerable.Range((int)dropped, 5 - (int)dropped).Select(i => $"{i}"), await ValuesAsync(stream));
    }

    [Fact]
    public async Task Trim_to_an_id_drops_what_is_below()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 5);

        Assert.Equal(2, await Store.TrimAsync(stream, StreamTrim.ToMinId(ids[2])));
        Assert.Equal(1, await Store.TrimAsync(stream, StreamTrim.ToMinId(ids[2].Next())));
        Assert.Equal(0, await Store.TrimAsync(stream, StreamTrim.ToMinId(ids[0])));

        Assert.Equal(["3", "4"], await ValuesAsync(stream));
    }

    [Fact]
    public async Task Trim_above_the_last_id_leaves_an_empty_stream_whose_ids_go_on()
    {
        var (stream, ids) = await NewGroupAsync(3);

        Assert.Equal(3, await Store.TrimAsync(stream, StreamTrim.ToMinId(EntryId.Max)));

        var info = await Store.GetStreamInfoAsync(stream);
        Assert.Equal((0, ids[2], EntryId.Zero, 1), (info!.Length, info.LastGeneratedId, info.MaxDeletedId, info.GroupCount));
        Assert.True(await AppendAsync(stream) > ids[2]);
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Trim_approximately_drops_at_most_what_exactly_would(bool byId)
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 1_000);
        var trim = byId ? StreamTrim.ToMinId(ids[900], approximate: true) : StreamTrim.ToLength(100, approximate: true);

        var dropped = await Store.TrimAsync(stream, trim);

        Assert.InRange(dropped, 1, 900);
        Assert.Equal(ids.Skip((int)dropped), (await RangeAsync(stream)).Select(entry => entry.Id));
    }

    [Fact]
    public async Task Delete_counts_what_was_there_and_each_entry_once()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 4);

        Assert.Equal(2, await Store.DeleteAsync(stream, [ids[1], ids[2], ids[1], EntryId.Max]));
        Assert.Equal(0, await Store.DeleteAsync(stream, [ids[1]]));
        Assert.Equal(0, await Store.DeleteAsync(stream, []));

        Assert.Equal(["0", "3"], await ValuesAsync(stream));
        Assert.Equal(ids[2], (await Store.GetStreamInfoAsync(stream))!.MaxDeletedId);
    }

    [Fact]
    public async Task Delete_of_the_last_entry_leaves_an_empty_stream_whose_ids_go_on()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 2);

        Assert.Equal(2, await Store.DeleteAsync(stream, ids));
        await ReopenAsync();

        var info = await Store.GetStreamInfoAsync(stream);
        Assert.Equal((0, ids[1], null, null), (info!.Length, info.LastGeneratedId, info.FirstEntry, info.LastEntry));
        Assert.True(await AppendAsync(stream) > ids[1]);
    }

    [Fact]
    public async Task Delete_across_many_entries_leaves_the_others_in_order()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 1_000);

        Assert.Equal(500, await Store.DeleteAsync(stream, [.. ids.Where((_, i) => i % 2 == 0)]));

        Assert.Equal(ids.Where((_, i) => i % 2 == 1), (await RangeAsync(stream)).Select(entry => entry.Id));
        Assert.Equal(500, (await Store.GetStreamInfoAsync(stream))!.Length);
    }

    [Fact]
    public async Task DeleteStream_takes_its_entries_and_groups_along()
    {
        var (stream, _) = await NewPendingAsync(2);

        Assert.True(await Store.DeleteStreamAsync(stream));

        Assert.Null(await Store.GetStreamInfoAsync(stream));
        Assert.Empty(await RangeAsync(stream));
        Assert.Empty(await Store.GetGroupsAsync(stream));
        Assert.False(await Store.DeleteStreamAsync(stream));
    }

    [Fact]
    public async Task DeleteStream_leaves_state_documents_and_the_schedule()
    {
        var (stream, _) = await NewGroupAsync(1);
        var key = new StateKey(stream, "kept");
        await PutAsync(key, "still here");
        await Store.CommitAsync(Change(new CommitChange.Schedule(stream, Fields("scheduled"), 2 * Moment)));

        Assert.True(await Store.DeleteStreamAsync(stream));

        Assert.Equal("still here", await TextAsync(key));
        var batch = Assert.Single(await Store.ReadAsync([new(stream, default)], 10, Patience));
        Assert.Equal(["scheduled"], batch.Entries.Select(ValueOf));
    }
}
