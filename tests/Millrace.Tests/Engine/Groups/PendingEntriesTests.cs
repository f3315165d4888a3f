using Millrace.Streams;
using Millrace.Streams.Engine;

namespace Millrace.Tests.Engine.Groups;

public sealed class PendingEntriesTests
{
    private const long NowMs = 1_700_000_000_000;

    private readonly ConsumerGroup _group = new("g", EntryId.Zero);
    private readonly Consumer _consumer;

    public PendingEntriesTests() => _consumer = _group.GetOrAddConsumer("c", NowMs, out _);

    /// <summary>What this thread allocates is what is kept, but for the arrays of the directory that were grown out of.</summary>
    [Fact]
    public void Million_entries_read_in_order_take_at_most_21_bytes_each()
    {
        const int count = 1_000_000;

        var before = GC.GetAllocatedBytesForCurrentThread();
        Deliver(0, count);
        var perEntry = (GC.GetAllocatedBytesForCurrentThread() - before) / (double)count;

        Assert.Equal(count, _consumer.HeldCount);
        Assert.InRange(perEntry, 16, 21);
    }

    /// <summary>A chunk's base may lie so near the end of all time that an old ID seems to come a little later, around the corner.</summary>
    [Fact]
    public void Old_entry_delivered_after_those_at_the_end_of_all_time_comes_first()
    {
        _group.Deliver(new(ulong.MaxValue, 5), _consumer, NowMs);

        _group.Deliver(new(631, 1), _consumer, NowMs);
        _group.Deliver(new(631, 1), _consumer, NowMs);

        Assert.Equal(2, _group.Pending.Count);
        Assert.Equal(new EntryId(631, 1), _group.Pending.FirstId);
        _group.Verify();
    }

    /// <summary>
    /// The least of several rounds: what the queue allocates, each of them does, and what the runtime allocates once on this thread, only one. In one run
    /// under load it was 8 KiB.
    /// </summary>
    [Theory]
    [InlineData(1)]
    [InlineData(100)]
    [InlineData(1_000)]
    public void Deliver_and_ack_of_a_steady_queue_allocate_nothing_but_chunks(int queued)
    {
        const int cycles = 50_000;
        const int rounds = 5;
        Deliver(0, queued);
        Cycle(0, cycles);

        var least = long.MaxValue;
        for (var round = 1; round <= rounds; round++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            Cycle(round * cycles, cycles);
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        Assert.Equal(queued, _group.Pending.Count);
        Assert.InRange(least / (double)cycles, 0, queued < PendingChunk.MaxCapacity ? 0.1 : 20);

        void Cycle(int from, int count)
        {
            for (var i = from; i < from + count; i++)
            {
                _group.Deliver(Id(queued + i), _consumer, NowMs + i);
                Assert.True(_group.Ack(Id(i)));
            }
        }
    }

    [Fact]
    public void Entries_left_behind_here_and_there_share_chunks()
    {
        const int count = 100_000;
        Deliver(0, count);
        for (var i = 0; i < count; i++)
        {
            if (i % 100 != 0)
                _group.Ack(Id(i));
        }

        Assert.Equal(count / 100, _group.Pending.Count);
        Assert.InRange(_group.Pending.SizeBytes / _group.Pending.Count, 16, 84);
        _group.Verify();
    }

    [Fact]
    public void Entries_delivered_again_in_front_of_others_fill_their_chunks()
    {
        const int count = 100_000;
        Deliver(count, 1);
        Deliver(0, count);

        Assert.InRange(_group.Pending.SizeBytes / _group.Pending.Count, 16, 21);
    }

    [Fact]
    public void LongestIdle_orders_by_time_then_id_and_puts_first_what_was_handed_back_first()
    {
        long[] idleMs = [10, 30, 20, 30, 5, 20, 40, 0];
        for (var i = 0; i < idleMs.Length; i++)
            _group.Deliver(Id(i), _consumer, NowMs - idleMs[i]);
        _group.Nack(Id(7), 1);
        _group.Nack(Id(4), 1);

        Assert.Equal(Ids(7, 4, 6, 1, 3, 2, 5, 0), _group.Pending.LongestIdle(NowMs, 0, 100));
        Assert.Equal(Ids(7, 4, 6, 1, 3, 2, 5), _group.Pending.LongestIdle(NowMs, 20, 100));
        Assert.Equal(Ids(7, 4, 6, 1), _group.Pending.LongestIdle(NowMs, 20, 4));
        Assert.Equal(Ids(7, 4), _group.Pending.LongestIdle(NowMs, long.MaxValue, 100));
        Assert.Equal(Ids(6, 1), _group.Pending.LongestIdle(NowMs, 20, 2, id => id != Id(4) && id != Id(7)));
        Assert.Empty(_group.Pending.LongestIdle(NowMs, 0, 0));

        // Handed back again, also what nobody holds goes behind the others.
        _group.Nack(Id(7), 1);
        Assert.Equal(Ids(4, 7), _group.Clone().Pending.LongestIdle(NowMs, 20, 2));
    }

    [Fact]
    public void LongestIdle_of_many_chunks_takes_the_oldest_wherever_they_are()
    {
        Deliver(0, 1_000);
        foreach (var i in (int[])[900, 3, 500])
            _group.Claim(Id(i), _consumer, NowMs, NowMs - i, 2);

        Assert.Equal(Ids(900, 500, 3, 0, 1), _group.Pending.LongestIdle(NowMs + 1_000, 0, 5));
    }

    [Fact]
    public void NextIdleMs_leaves_out_what_is_idle_already_and_learns_from_a_search()
    {
        Assert.Equal(long.MaxValue, _group.Pending.NextIdleMs(NowMs, 10));
        Deliver(0, 3);

        Assert.Equal(NowMs + 10, _group.Pending.NextIdleMs(NowMs, 10));
        Assert.Equal(NowMs + 12, _group.Pending.NextIdleMs(NowMs + 11, 10));
        Assert.Equal(long.MaxValue, _group.Pending.NextIdleMs(NowMs + 12, 10));
        Assert.Equal(long.MaxValue, _group.Pending.NextIdleMs(NowMs, long.MaxValue));

        // The oldest is gone: the answer may be early until a search at that moment has looked.
        _group.Ack(Id(0));
        Assert.InRange(_group.Pending.NextIdleMs(NowMs, 10), NowMs + 10, NowMs + 11);
        Assert.Empty(_group.Pending.LongestIdle(NowMs + 10, 10, 1));
        Assert.Equal(NowMs + 11, _group.Pending.NextIdleMs(NowMs + 10, 10));

        _group.Nack(Id(1), 1);
        Assert.Equal(NowMs + 12, _group.Pending.NextIdleMs(NowMs + 10, 10));
    }

    /// <summary>Searched for while the chunk is packed, where they have no key, and then added one by one, which makes it full.</summary>
    [Fact]
    public void Ids_that_fit_no_packed_key_are_placed_between_those_that_do()
    {
        const ulong ms = 10_000_000_000;
        const ulong max = uint.MaxValue;
        EntryId[] packed = [new(ms, 0), new(ms, max), new(ms + 1, 0), new(ms + 1, 1), new(ms + max - (1UL << 31) - 1, max)];
        EntryId[] others =
        [
            EntryId.Zero, new(ms - (1UL << 31) - 1, max), new(ms, max + 1), new(ms, max + 2), new(ms, ulong.MaxValue),
            new(ms + 1, max + 1), new(ms + max, 0), new(ms + max - (1UL << 31) - 1, max + 1), EntryId.Max,
        ];
        foreach (var id in packed)
            _group.Deliver(id, _consumer, NowMs);

        foreach (var id in others)
        {
            Assert.False(_group.Ack(id));
            Assert.Equal(packed.Where(other => other >= id), Walk(id, EntryId.Max));
            Assert.Equal(packed.Where(other => other <= id), Walk(EntryId.Zero, id));
        }

        for (var i = 0; i < others.Length; i++)
        {
            _group.Deliver(others[i], _consumer, NowMs);
            Assert.Equal(packed.Concat(others[..(i + 1)]).Order(), Walk(EntryId.Zero, EntryId.Max));
            _group.Verify();
        }
    }

    [Fact]
    public void Entries_may_change_while_they_are_walked()
    {
        Deliver(0, 300);
        var walked = 0;
        foreach (var (id, pending) in _group.Pending.HeldBy(_consumer, EntryId.Zero, EntryId.Max))
        {
            // So large a count makes the chunk wider under the walk.
            _group.Claim(id, _consumer, NowMs, NowMs, pending.DeliveryCount + (walked == 130 ? 100_000 : 1));
            walked++;
        }

        Assert.Equal(300, walked);
        Assert.True(_group.Pending.TryGet(Id(130), out var wide) && wide.DeliveryCount == 100_001);
        Assert.True(_group.Pending.TryGet(Id(131), out var next) && next.DeliveryCount == 2);
        _group.Verify();
    }

    private static EntryId Id(int i) => new((ulong)(NowMs + i), 0);

    private static EntryId[] Ids(params int[] ids) => [.. ids.Select(Id)];

    private List<EntryId> Walk(EntryId first, EntryId last)
    {
        var ids = new List<EntryId>();
        foreach (var (id, _) in _group.Pending.From(first, last))
            ids.Add(id);
        return ids;
    }

    private void Deliver(int first, int count)
    {
        for (var i = first; i < first + count; i++)
            _group.Deliver(Id(i), _consumer, NowMs + i);
    }
}
