using Millrace.Streams;
using Millrace.Streams.Engine;

namespace Millrace.Tests.Engine.Entries;

public sealed class EntryLogTests
{
    private readonly EntryLog _log = new();

    [Fact]
    public void Block_takes_entries_up_to_its_limit_deleted_ones_included()
    {
        Fill(3, maxBlockEntries: 3);
        _log.Delete(Id(2));

        _log.Append(Id(4), EngineRun.Fields("x"), 3);

        Assert.Equal(2, _log.BlockCount);
        Assert.Equal(3, _log.Count);
    }

    [Fact]
    public void Block_goes_with_its_last_entry()
    {
        Fill(7, maxBlockEntries: 3);
        foreach (var number in (int[])[4, 6, 5])
            Assert.True(_log.Delete(Id(number)));

        Assert.Equal(2, _log.BlockCount);
        Assert.True(_log.Delete(Id(7)));
        Assert.Equal(1, _log.BlockCount);
        Assert.Equal(Id(3), _log.LastId);
    }

    [Fact]
    public void Append_goes_on_in_a_sealed_block_that_became_the_last_and_is_not_full()
    {
        Fill(4, maxBlockEntries: 3);
        _log.Delete(Id(4));

        _log.Append(Id(5), EngineRun.Fields("again"), 5);

        Assert.Equal(1, _log.BlockCount);
        Assert.Equal(new StreamEntry(Id(5), EngineRun.Fields("again")), _log.Last);
        _log.Append(Id(6), EngineRun.Fields("x"), 5);
        _log.Append(Id(7), EngineRun.Fields("x"), 5);
        Assert.Equal(2, _log.BlockCount);
        _log.Verify();
    }

    [Fact]
    public void Block_without_a_limit_closes_at_64_KiB()
    {
        var kilobyte = EngineRun.Fields(new string('x', 1_024));
        for (var number = 1; number <= 65; number++)
            _log.Append(Id(number), kilobyte, 0);

        Assert.Equal(2, _log.BlockCount);
    }

    [Fact]
    public void Entry_larger_than_a_block_has_one_of_its_own_and_leaves_no_large_buffer()
    {
        var large = EngineRun.Fields(new string('x', 300_000));
        _log.Append(Id(1), large, 100);
        _log.Append(Id(2), EngineRun.Fields("small"), 100);

        Assert.Equal(2, _log.BlockCount);
        Assert.Equal(new StreamEntry(Id(1), large), _log.First);
        Assert.InRange(_log.SizeBytes, 300_000, 301_000);
        _log.Verify();
    }

    [Fact]
    public void Ids_far_apart_and_at_the_end_of_the_numbers_are_kept()
    {
        EntryId[] ids =
        [
            new(0, 1), new(0, ulong.MaxValue), new(1, 0), new(1UL << 40, ulong.MaxValue), new(ulong.MaxValue, 0),
            new(ulong.MaxValue, ulong.MaxValue - 1), EntryId.Max,
        ];
        foreach (var id in ids)
            _log.Append(id, EngineRun.Fields("x"), 0);

        Assert.Equal(ids, _log.Read(EntryId.Zero, EntryId.Max, 10).Select(entry => entry.Id));
        Assert.Equal(ids.Reverse(), _log.Read(EntryId.Zero, EntryId.Max, 10, reversed: true).Select(entry => entry.Id));
        Assert.All(ids, id => Assert.True(_log.Contains(id)));
        Assert.False(_log.Contains(new(1UL << 40, 0)));
        Assert.True(_log.Delete(EntryId.Max));
        Assert.Equal(new(ulong.MaxValue, ulong.MaxValue - 1), _log.LastId);
        _log.Verify();
    }

    [Fact]
    public void Entries_keep_their_shape_when_there_are_more_shapes_than_a_block_remembers()
    {
        var entries = Enumerable.Range(0, 90).Select(i => EntryFields.Create(($"name{i % 30}", $"{i}"), ("same", ""), ("same", "2"))).ToArray();
        for (var i = 0; i < entries.Length; i++)
            _log.Append(Id(i + 1), entries[i], 100);

        Assert.Equal(entries.Select((fields, i) => new StreamEntry(Id(i + 1), fields)), _log.Read(EntryId.Zero, EntryId.Max, 100));
        _log.Verify();
    }

    /// <summary>A name that is the beginning of another, and lists that are the beginning of others.</summary>
    [Fact]
    public void Shapes_that_begin_alike_are_told_apart()
    {
        EntryFields[] entries =
        [
            EntryFields.Create(("a", "1"), ("b", "2")), EntryFields.Create(("a", "3")), EntryFields.Create(("ab", "4")),
            EntryFields.Create(("a", "5"), ("b", "6"), ("c", "7")), EntryFields.Create(("", "")), EntryFields.Create(("a", "8"), ("c", "9")),
            EntryFields.Create(("a", "10")), EntryFields.Create(("", "")), EntryFields.Create(("a", "11"), ("b", "12")),
        ];
        for (var i = 0; i < entries.Length; i++)
            _log.Append(Id(i + 1), entries[i], 100);

        Assert.Equal(entries.Select((fields, i) => new StreamEntry(Id(i + 1), fields)), _log.Read(EntryId.Zero, EntryId.Max, 100));
    }

    [Fact]
    public void Deleting_most_of_a_sealed_block_gives_its_bytes_back_and_keeps_what_it_counts()
    {
        Fill(21, maxBlockEntries: 20, text: new string('x', 1_000));
        var before = _log.SizeBytes;
        foreach (var number in Enumerable.Range(2, 18))
            Assert.True(_log.Delete(Id(number)));

        Assert.InRange(_log.SizeBytes, 1, before - 15_000);
        Assert.Equal([1, 20, 21], _log.Read(EntryId.Zero, EntryId.Max, 100).Select(entry => (int)entry.Id.Milliseconds));

        // The last ID ever added to the first block was 20, which is still there; with it gone the block still reaches up to 20.
        Assert.True(_log.Delete(Id(20)));
        Assert.Equal(0, _log.Trim(new() { MinId = Id(20), IsApproximate = true }));
        Assert.Equal(1, _log.Trim(new() { MinId = Id(21), IsApproximate = true }));
        _log.Verify();
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public void Trim_that_asks_keeps_what_it_must_and_goes_on_behind_it(bool isApproximate)
    {
        Fill(10, maxBlockEntries: 4);
        var asked = new List<int>();

        // Kept entries count as entries: two of the first block stay, so that all behind them must go.
        var dropped = _log.Trim(new() { MaxLength = 2, IsApproximate = isApproximate }, id =>
        {
            asked.Add((int)id.Milliseconds);
            return id.Milliseconds is not (1 or 3);
        });

        Assert.Equal(8, dropped);
        Assert.Equal([1, 2, 3, 4, 5, 6, 7, 8, 9, 10], asked);
        Assert.Equal([1, 3], _log.Read(EntryId.Zero, EntryId.Max, 100).Select(entry => (int)entry.Id.Milliseconds));
        Assert.Equal(1, _log.BlockCount);
        Assert.Equal((Id(1), Id(3)), (_log.FirstId, _log.LastId));
        _log.Verify();
    }

    /// <summary>Also when it is approximate, where only the limit counts in whole blocks.</summary>
    [Fact]
    public void Trim_that_asks_stops_at_the_smallest_id_to_keep_also_within_a_block()
    {
        Fill(10, maxBlockEntries: 4);

        Assert.Equal(0, _log.Trim(new() { MinId = Id(7), IsApproximate = true, Limit = 3 }, _ => true));
        Assert.Equal(4, _log.Trim(new() { MinId = Id(7), IsApproximate = true, Limit = 7 }, _ => true));
        Assert.Equal(1, _log.Trim(new() { MinId = Id(7), IsApproximate = true }, id => id != Id(5)));
        Assert.Equal([5, 7, 8, 9, 10], _log.Read(EntryId.Zero, EntryId.Max, 100).Select(entry => (int)entry.Id.Milliseconds));
        _log.Verify();
    }

    /// <summary>As Redis, which does not make up in later blocks for what it had to keep there.</summary>
    [Fact]
    public void Trim_that_asks_ends_with_the_block_that_would_not_go_as_a_whole()
    {
        Fill(10, maxBlockEntries: 4);

        Assert.Equal(1, _log.Trim(new() { MaxLength = 7 }, id => id.Milliseconds is not (2 or 3 or 4)));
        Assert.Equal(2, _log.Trim(new() { MaxLength = 7 }, id => id.Milliseconds is not 3));
        _log.Verify();
    }

    [Fact]
    public void Read_packs_its_entries_into_few_buffers_that_no_change_of_the_stream_touches()
    {
        Fill(100, maxBlockEntries: 10, text: new string('x', 1_000));
        _log.Read(EntryId.Zero, EntryId.Max, 100);

        var before = GC.GetAllocatedBytesForCurrentThread();
        var entries = _log.Read(EntryId.Zero, EntryId.Max, 100);
        var allocated = GC.GetAllocatedBytesForCurrentThread() - before;
        Fill(100, maxBlockEntries: 10, text: new string('y', 1_000), from: 101);
        _log.Trim(new() { MaxLength = 0 });

        Assert.InRange(allocated, 100_000, 110_000);
        Assert.All(entries, entry => Assert.Equal(new('x', 1_000), entry.Fields.GetText("v"u8)));
    }

    [Fact]
    public void Append_allocates_nothing_but_the_block()
    {
        const int blocks = 100;
        var fields = EngineRun.Fields(new string('x', 100));
        Fill(1_000, maxBlockEntries: 100);

        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var number = 0; number < blocks * 100; number++)
            _log.Append(Id(2_000 + number), fields, 100);
        var perBlock = (GC.GetAllocatedBytesForCurrentThread() - before) / blocks;

        // One hundred entries of 105 bytes with their checkpoints, the block itself and its share of the list of blocks.
        Assert.InRange(perBlock, 10_500, 10_900);
    }

    [Fact]
    public void Small_stream_stays_small()
    {
        var fields = EngineRun.Fields("x");
        var logs = new EntryLog[1_000];
        var before = GC.GetAllocatedBytesForCurrentThread();
        for (var i = 0; i < logs.Length; i++)
            (logs[i] = new()).Append(Id(1), fields, 100);

        Assert.InRange((GC.GetAllocatedBytesForCurrentThread() - before) / logs.Length, 1, 600);
    }

    private static EntryId Id(int number) => new((ulong)number, 0);

    private void Fill(int count, int maxBlockEntries, string text = "x", int from = 1)
    {
        for (var number = from; number < from + count; number++)
            _log.Append(Id(number), EngineRun.Fields(text), maxBlockEntries);
    }
}
