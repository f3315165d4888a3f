using Millrace.Streams;

namespace Millrace.Tests.Conformance;

public abstract partial class StoreConformance
{
    [Fact]
    public async Task Append_to_a_new_stream_makes_it()
    {
        var stream = NewStream();

        var id = await AppendAsync(stream, "first");

        var entry = Assert.Single(await RangeAsync(stream));
        Assert.Equal(new(id, Fields("first")), entry);
    }

    [Fact]
    public async Task Append_repeatedly_assigns_increasing_ids()
    {
        var stream = NewStream();
        var ids = new List<EntryId>();

        for (var i = 0; i < 50; i++)
            ids.Add(await AppendAsync(stream));

        Assert.Equal(ids.Order().Distinct(), ids);
        Assert.Equal(ids, (await RangeAsync(stream)).Select(entry => entry.Id));
    }

    [Fact]
    public async Task Append_keeps_every_byte_the_order_and_duplicate_names()
    {
        var stream = NewStream();
        byte[] everyByte = [.. Enumerable.Range(0, 256).Select(i => (byte)i)];
        var fields = new EntryFieldsWriter()
            .Add("twice", "1").Add("", "no name").Add("no value", "").Add("twice", "2").Add(everyByte, everyByte).Add("ünï", "cödé\r\n")
            .ToFields();

        await Store.AppendAsync(stream, fields);

        Assert.Equal(fields, Assert.Single(await RangeAsync(stream)).Fields);
    }

    [Fact]
    public async Task Append_of_as_many_fields_as_allowed_keeps_them()
    {
        var stream = NewStream();
        var fields = ManyFields(StreamLimits.MaxFields);

        await Store.AppendAsync(stream, fields);

        Assert.Equal(fields, Assert.Single(await RangeAsync(stream)).Fields);
    }

    [Fact]
    public async Task Append_of_a_megabyte_keeps_it()
    {
        var stream = NewStream();
        var fields = EntryFields.Create(("v", new string('m', 1024 * 1024)));

        await Store.AppendAsync(stream, fields);

        Assert.Equal(fields, Assert.Single(await RangeAsync(stream)).Fields);
    }

    [Fact]
    public async Task Append_with_a_trim_to_a_length_drops_the_oldest()
    {
        var stream = NewStream();

        for (var i = 0; i < 5; i++)
            await Store.AppendAsync(stream, Fields($"{i}"), StreamTrim.ToLength(2));

        Assert.Equal(["3", "4"], await ValuesAsync(stream));
    }

    [Fact]
    public async Task Append_with_a_trim_to_an_id_drops_what_is_below()
    {
        var stream = NewStream();
        var ids = await AppendAsync(stream, 3);

        await Store.AppendAsync(stream, Fields("new"), StreamTrim.ToMinId(ids[2]));

        Assert.Equal(["2", "new"], await ValuesAsync(stream));
    }

    [Fact]
    public async Task Append_with_a_trim_to_nothing_leaves_an_empty_stream()
    {
        var stream = NewStream();

        var id = await Store.AppendAsync(stream, Fields("gone"), StreamTrim.ToLength(0));

        var info = await Store.GetStreamInfoAsync(stream);
        Assert.Equal((0, 1, id), (info!.Length, info.EntriesAdded, info.LastGeneratedId));
    }

    [Fact]
    public async Task Append_with_an_approximate_trim_keeps_at_least_the_length()
    {
        var stream = NewStream();
        await AppendAsync(stream, 500);

        await Store.AppendAsync(stream, Fields("new"), StreamTrim.ToLength(10, approximate: true));

        var values = await ValuesAsync(stream);
        Assert.InRange(values.Length, 10, 501);
        Assert.Equal("new", values[^1]);
    }

    [Fact]
    public async Task Append_after_the_largest_id_is_refused()
    {
        var stream = NewStream();
        await Store.CommitAsync(Change(new CommitChange.Append(stream, Fields("last"), EntryId.Max)));

        await FailsAsync(StreamErrorCode.IdNotIncreasing, () => AppendAsync(stream));

        Assert.Equal(["last"], await ValuesAsync(stream));
    }

    [Fact]
    public async Task AppendMany_returns_the_ids_in_order()
    {
        var stream = NewStream();

        var ids = await AppendAsync(stream, 2_000);

        var entries = await RangeAsync(stream);
        Assert.Equal(ids.Order(), ids);
        Assert.Equal(ids, entries.Select(entry => entry.Id));
        Assert.Equal(Enumerable.Range(0, 2_000).Select(i => $"{i}"), entries.Select(ValueOf));
    }

    [Fact]
    public async Task AppendMany_of_nothing_makes_no_stream()
    {
        var stream = NewStream();

        Assert.Empty(await AppendAsync(stream, 0));

        Assert.Null(await Store.GetStreamInfoAsync(stream));
    }

    [Fact]
    public async Task AppendMany_with_a_trim_drops_the_oldest()
    {
        var stream = NewStream();
        await AppendAsync(stream, 3);

        var ids = await Store.AppendManyAsync(stream, [Fields("a"), Fields("b")], StreamTrim.ToLength(3));

        Assert.Equal(2, ids.Count);
        Assert.Equal(["2", "a", "b"], await ValuesAsync(stream));
    }

    private static EntryFields ManyFields(int count)
    {
        var writer = new EntryFieldsWriter();
        for (var i = 0; i < count; i++)
            writer.Add($"name{i}", $"value{i}");
        return writer.ToFields();
    }
}
