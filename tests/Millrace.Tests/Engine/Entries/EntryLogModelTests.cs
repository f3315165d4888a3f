using Millrace.Streams;
using Millrace.Streams.Engine;

namespace Millrace.Tests.Engine.Entries;

/// <summary>The packed blocks against a sorted list, which is what a stream is to everybody outside.</summary>
public sealed class EntryLogModelTests
{
    /// <summary>Small blocks, so that every case of a boundary comes up; mostly deletions from the front, or anywhere.</summary>
    [Theory]
    [InlineData(1, 1, 0.5)]
    [InlineData(2, 3, 0.9)]
    [InlineData(3, 8, 0.0)]
    [InlineData(4, 9, 0.5)]
    [InlineData(5, 100, 0.2)]
    [InlineData(6, 0, 0.0)]
    [InlineData(7, 0, 1.0)]
    public void Random_changes_match_a_sorted_list(int seed, int maxBlockEntries, double deleteAtFront)
    {
        var random = new Random(seed);
        var log = new EntryLog();
        var model = new SortedList<EntryId, EntryFields>();
        var last = EntryId.Zero;
        for (var i = 0; i < 4_000; i++)
        {
            // Grows first and shrinks then, so that it ends near empty.
            var what = random.NextDouble();
            if (what < (i < 2_000 ? 0.7 : 0.3))
            {
                last = NextId(random, last);
                var fields = Fields(random);
                log.Append(last, fields, maxBlockEntries);
                model.Add(last, fields);
            }
            else if (what < 0.97)
            {
                var id = model.Count == 0 ? last : random.NextDouble() < deleteAtFront ? model.Keys[0] : model.Keys[random.Next(model.Count)];
                Assert.Equal(model.Remove(id), log.Delete(id));
                Assert.False(log.Delete(id));
            }
            else if (what < 0.98)
            {
                // The clone goes on; what happens to the original must not touch it.
                var original = log;
                log = log.Clone();
                original.Append(last.Next(), Fields(random), maxBlockEntries);
                original.Trim(new TrimRequest { MaxLength = original.Count / 2 });
            }
            else
            {
                TrimExactly(log, model, random);
            }

            if (i % 100 == 0)
                AssertSame(model, log, random);
        }
    }

    private static void TrimExactly(EntryLog log, SortedList<EntryId, EntryFields> model, Random random)
    {
        var drop = Math.Min(model.Count, random.Next(12));
        var byId = random.Next(2) == 0 && drop < model.Count;
        Assert.Equal(drop, log.Trim(byId ? new() { MinId = model.Keys[drop] } : new() { MaxLength = model.Count - drop }));
        for (var i = 0; i < drop; i++)
            model.RemoveAt(0);
    }

    private static void AssertSame(SortedList<EntryId, EntryFields> model, EntryLog log, Random random)
    {
        log.Verify();
        Assert.Equal(model.Count, log.Count);
        Assert.Equal(model.Count == 0 ? EntryId.Zero : model.Keys[0], log.FirstId);
        Assert.Equal(model.Count == 0 ? EntryId.Zero : model.Keys[^1], log.LastId);
        Assert.Equal(model.Count == 0 ? null : new StreamEntry(model.Keys[0], model.Values[0]), log.First);
        Assert.Equal(model.Count == 0 ? null : new StreamEntry(model.Keys[^1], model.Values[^1]), log.Last);
        var (a, b) = (AnyId(), AnyId());
        foreach (var (first, last) in ((EntryId, EntryId)[])[(EntryId.Zero, EntryId.Max), (a, b), (b, a), (a, a)])
        {
            var expected = model.Where(entry => entry.Key >= first && entry.Key <= last)
                .Select(entry => new StreamEntry(entry.Key, entry.Value)).ToArray();
            Assert.Equal(expected, log.Read(first, last, int.MaxValue));
            Assert.Equal(expected.Reverse(), log.Read(first, last, int.MaxValue, reversed: true));
            Assert.Equal(expected.Take(7), log.Read(first, last, 7));
            Assert.Equal(expected.Reverse().Take(7), log.Read(first, last, 7, reversed: true));
            Assert.Equal(expected.Length, log.CountRange(first, last, int.MaxValue));
            Assert.Equal(Math.Min(expected.Length, 10), log.CountRange(first, last, 10));
            Assert.Equal(expected, Viewed(log.From(first, last)));
        }

        Assert.Equal(model.TryGetValue(a, out var fields), log.TryGet(a, out var found));
        Assert.True(fields == found);
        Assert.Equal(model.ContainsKey(b), log.Contains(b));

        // One that is there, or near one.
        EntryId AnyId()
        {
            if (model.Count == 0)
                return new(1, 1);
            var id = model.Keys[random.Next(model.Count)];
            return random.Next(4) == 0 && id != EntryId.Max ? id.Next() : id;
        }
    }

    private static List<StreamEntry> Viewed(EntryRange range)
    {
        var entries = new List<StreamEntry>();
        foreach (var entry in range)
        {
            var writer = new EntryFieldsWriter();
            foreach (var field in entry)
                writer.Add(field.Name, field.Value);
            var fields = writer.ToFields();
            Assert.Equal(entry.FieldCount, fields.Count);
            Assert.Equal(entry.PackedSize, fields.Packed.Length);
            entries.Add(new(entry.Id, fields));
        }

        return entries;
    }

    private static EntryId NextId(Random random, EntryId last) => random.Next(10) switch
    {
        < 6 => last.Next(),
        < 8 => new(last.Milliseconds + (ulong)random.Next(1, 1_000), (ulong)random.Next(3)),
        8 => new(last.Milliseconds + (1UL << random.Next(40)), (ulong)random.NextInt64()),
        _ => new(last.Milliseconds, last.Sequence + (1UL << random.Next(40))),
    };

    /// <summary>A few shapes again and again, now and then a new one; empty names and values, and names that repeat.</summary>
    private static EntryFields Fields(Random random)
    {
        var writer = new EntryFieldsWriter();
        var shape = random.Next(10) < 8 ? random.Next(3) : random.Next(40);
        for (var i = 0; i <= shape % 4; i++)
        {
            var value = new byte[random.Next(50) == 0 ? random.Next(3_000) : random.Next(20)];
            random.NextBytes(value);
            writer.Add(new byte[(shape + i) % 7], value);
        }

        return writer.ToFields();
    }
}
