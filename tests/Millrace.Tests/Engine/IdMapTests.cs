using Millrace.Streams;
using Millrace.Streams.Engine;

namespace Millrace.Tests.Engine;

public sealed class IdMapTests
{
    /// <summary>Queues, stacks and random access, so that chunks fill, split, shift and empty in every way.</summary>
    [Theory]
    [InlineData(1, 0.5, 0.5)]
    [InlineData(2, 0.95, 0.9)]
    [InlineData(3, 1.0, 1.0)]
    [InlineData(4, 0.0, 0.1)]
    public void Random_changes_match_a_sorted_dictionary(int seed, double addAtEnd, double removeAtFront)
    {
        var random = new Random(seed);
        var map = new IdMap<int>();
        var model = new SortedDictionary<EntryId, int>();
        for (var i = 0; i < 3_000; i++)
        {
            // Grows first and shrinks then, so that it ends near empty.
            if (random.NextDouble() < (i < 1_500 ? 0.7 : 0.3))
            {
                var id = random.NextDouble() < addAtEnd
                    ? model.Count == 0 ? new(1, 0) : model.Last().Key.Next()
                    : new EntryId((ulong)random.Next(100_000), (ulong)random.Next(3));
                if (model.TryAdd(id, i))
                    map.Add(id, i);
            }
            else if (model.Count > 0)
            {
                var id = random.NextDouble() < removeAtFront ? model.First().Key : model.Keys.ElementAt(random.Next(model.Count));
                Assert.True(map.Remove(id, out var value));
                Assert.True(model.Remove(id, out var expected));
                Assert.Equal(expected, value);
                Assert.False(map.Remove(id));
            }

            if (i % 200 == 0)
                AssertSame(model, map, random);
        }
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public void RemoveFirst_and_RemoveBelow_drop_the_oldest(bool wholeChunks)
    {
        for (var drop = 0; drop <= 300; drop += 7)
        {
            var (byCount, byId) = (Filled(300), Filled(300));

            var dropped = byCount.RemoveFirst(drop, wholeChunks);
            Assert.Equal(dropped, byId.RemoveBelow(new((ulong)drop + 1, 0), wholeChunks));

            if (wholeChunks)
                Assert.InRange(dropped, drop - IdMap<int>.ChunkCapacity, drop);
            else
                Assert.Equal(drop, dropped);
            Assert.Equal(300 - dropped, byCount.Count);
            foreach (var map in (IdMap<int>[])[byCount, byId])
            {
                map.Verify();
                if (map.Count > 0)
                    Assert.Equal(new((ulong)dropped + 1, 0), map.FirstId);
            }
        }

        static IdMap<int> Filled(int count)
        {
            var map = new IdMap<int>();
            for (var i = 1; i <= count; i++)
                map.Add(new((ulong)i, 0), i);
            return map;
        }
    }

    private static void AssertSame(SortedDictionary<EntryId, int> model, IdMap<int> map, Random random)
    {
        map.Verify();
        Assert.Equal(model.Count, map.Count);
        var (a, b) = (new EntryId((ulong)random.Next(100_000), 0), new EntryId((ulong)random.Next(100_000), 1));
        var (first, last) = a < b ? (a, b) : (b, a);
        foreach (var (from, to) in ((EntryId, EntryId)[])[(EntryId.Zero, EntryId.Max), (first, last)])
        {
            var expected = model.Where(item => item.Key >= from && item.Key <= to).ToArray();
            Assert.Equal(expected, Items(map.From(from, to)));
            Assert.Equal(expected.Reverse(), Items(map.From(from, to, reversed: true)));
            Assert.Equal(expected.Length, map.CountRange(from, to, int.MaxValue));
            Assert.Equal(Math.Min(expected.Length, 10), map.CountRange(from, to, 10));
        }
    }

    private static List<KeyValuePair<EntryId, int>> Items(IdMap<int>.Range range)
    {
        var items = new List<KeyValuePair<EntryId, int>>();
        foreach (var item in range)
            items.Add(item);
        return items;
    }
}
