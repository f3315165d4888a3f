using Millrace.Streams;
using Millrace.Streams.Engine;

namespace Millrace.Tests.Engine.Groups;

/// <summary>All operations of <see cref="PendingEntries"/> against a sorted dictionary that knows consumers by name.</summary>
public sealed class PendingEntriesModelTests
{
    /// <summary>Values that fit the packed form, values that do not, and both, as queues, stacks and at random.</summary>
    [Theory]
    [InlineData(1, 0.0, 0.95, 0.95)]
    [InlineData(2, 0.0, 0.5, 0.5)]
    [InlineData(3, 0.0, 0.0, 0.1)]
    [InlineData(4, 0.02, 0.9, 0.5)]
    [InlineData(5, 0.5, 0.5, 0.5)]
    [InlineData(6, 1.0, 0.9, 0.9)]
    [InlineData(7, 0.001, 1.0, 0.0)]
    [InlineData(8, 0.001, 0.3, 1.0)]
    public void Random_changes_match_a_sorted_dictionary(int seed, double wide, double addAtEnd, double removeAtFront)
    {
        var run = new Run(seed, wide, addAtEnd, removeAtFront);
        for (var step = 0; step < 6_000; step++)
        {
            // Grows first and shrinks then, so that it ends near empty.
            run.Change(grows: step % 3_000 < 1_800);
            if (step % 150 == 0)
                run.AssertSame();
            if (step % 1_000 == 999)
                run.ContinueWithClone();
        }
    }

    /// <summary>More consumers than the 64 bits by which chunks remember owners, and a slot used again at once.</summary>
    [Fact]
    public void Slots_of_deleted_consumers_are_used_again_and_bring_nothing_along()
    {
        var group = new ConsumerGroup("g", EntryId.Zero);
        for (var i = 0; i < 1_000; i++)
            group.Deliver(new((ulong)i + 1, 0), group.GetOrAddConsumer($"c{i % 200}", i, out _), i);
        var slots = group.Consumers.Select(consumer => consumer.Slot).ToHashSet();

        for (var i = 0; i < 200; i += 2)
            Assert.Equal(5, group.RemoveConsumer($"c{i}"));
        for (var i = 0; i < 100; i++)
            Assert.Equal(0, group.GetOrAddConsumer($"d{i}", i, out _).HeldCount);

        Assert.Equal(500, group.Pending.Count);
        Assert.Subset(slots, group.Consumers.Select(consumer => consumer.Slot).ToHashSet());
        Assert.All(group.Consumers, consumer =>
        {
            var held = new List<EntryId>();
            foreach (var (id, pending) in group.Pending.HeldBy(consumer, EntryId.Zero, EntryId.Max))
            {
                Assert.Same(consumer, pending.Owner);
                held.Add(id);
            }

            Assert.Equal(consumer.HeldCount, held.Count);
        });
        group.Verify();
    }

    /// <summary>The owners of a chunk's entries number more than fit its two bytes.</summary>
    [Fact]
    public void Owner_beyond_the_packed_slots_is_kept()
    {
        var group = new ConsumerGroup("g", EntryId.Zero);
        Consumer last = null!;
        for (var i = 0; i <= ushort.MaxValue; i++)
            last = group.GetOrAddConsumer($"c{i}", 1, out _);
        var first = group.FindConsumer("c0")!;

        group.Deliver(new(1, 0), first, 1);
        group.Deliver(new(2, 0), last, 1);

        Assert.Equal(ushort.MaxValue + 1, last.Slot);
        Assert.Equal(new(last, 1, 1), Get(group, new(2, 0)));
        Assert.Equal(new(first, 1, 1), Get(group, new(1, 0)));
        group.Verify();
    }

    private static Pending Get(ConsumerGroup group, EntryId id) => group.Pending.TryGet(id, out var pending) ? pending : default;

    private readonly record struct Known(string? Owner, long DeliveredMs, long DeliveryCount, int Release = 0);

    private sealed class Run(int seed, double wide, double addAtEnd, double removeAtFront)
    {
        private static readonly long[] WideNumbers = [long.MaxValue, long.MaxValue - 1, 65_534, 65_535, 65_536, 1L << 40, 0];

        private readonly Random _random = new(seed);
        private readonly SortedDictionary<EntryId, Known> _model = [];
        private readonly SortedSet<string> _consumers = new(StringComparer.Ordinal);
        private ConsumerGroup _group = new("g", EntryId.Zero);
        private long _nowMs = 1_700_000_000_000;
        private int _releases;

        public void Change(bool grows)
        {
            _nowMs += _random.Next(20);
            var dice = _random.NextDouble();
            if (dice < 0.005 && _consumers.Count > 0)
                RemoveConsumer(Any(_consumers));
            else if (dice < 0.25 && _model.Count > 0)
                Set(AnyId());
            else if (dice < (grows ? 0.85 : 0.4))
                Set(NewId());
            else
                Remove(_model.Count == 0 ? NewId() : _random.NextDouble() < removeAtFront ? _model.First().Key : AnyId());
        }

        public void ContinueWithClone()
        {
            var original = _group;
            _group = original.Clone();
            // What happens to one leaves the other alone.
            foreach (var consumer in original.Consumers.ToArray())
                original.RemoveConsumer(consumer.Name);
            AssertSame();
        }

        public void AssertSame()
        {
            _group.Verify();
            Assert.Equal(_model.Count, _group.Pending.Count);
            Assert.Equal(_model.Values.Count(known => known.Owner is null), _group.NackedCount);
            Assert.Equal(_consumers, _group.Consumers.Select(consumer => consumer.Name).Order(StringComparer.Ordinal));
            if (_model.Count > 0)
                Assert.Equal((_model.First().Key, _model.Last().Key), (_group.Pending.FirstId, _group.Pending.LastId));
            var (a, b) = (NewId(), AnyIdOrZero());
            AssertRange(EntryId.Zero, EntryId.Max);
            AssertRange(a < b ? a : b, a < b ? b : a);
            foreach (var minIdleMs in (long[])[0, 1, _random.Next(30_000), long.MaxValue])
                AssertIdle(minIdleMs);
        }

        private void AssertRange(EntryId first, EntryId last)
        {
            var expected = _model.Where(item => item.Key >= first && item.Key <= last)
                .Select(item => KeyValuePair.Create(item.Key, item.Value with { Release = 0 })).ToArray();
            Assert.Equal(expected, Items(_group.Pending.From(first, last)));
            foreach (var consumer in _group.Consumers.Where(_ => _random.Next(8) == 0))
            {
                Assert.Equal(_model.Values.Count(known => known.Owner == consumer.Name), consumer.HeldCount);
                Assert.Equal(
                    expected.Where(item => item.Value.Owner == consumer.Name), Items(_group.Pending.HeldBy(consumer, first, last)));
            }
        }

        private void AssertIdle(long minIdleMs)
        {
            bool IsIdle(Known known) => known.Owner is null || Math.Max(0, _nowMs - known.DeliveredMs) >= minIdleMs;

            var idle = _model.Where(item => IsIdle(item.Value)).OrderBy(item => item.Value.Owner is null ? item.Value.Release : int.MaxValue)
                .ThenBy(item => item.Value.DeliveredMs).ThenBy(item => item.Key)
                .Select(item => item.Key).ToArray();
            foreach (var count in (int[])[0, 1, 10, int.MaxValue])
                Assert.Equal(idle.Take(count), _group.Pending.LongestIdle(_nowMs, minIdleMs, count));
            Assert.Equal(
                idle.Where(id => id.Sequence % 2 == 0).Take(5), _group.Pending.LongestIdle(_nowMs, minIdleMs, 5, id => id.Sequence % 2 == 0));

            // It may be early but never late, and being asked for everything that is idle teaches it the right answer.
            var next = _model.Values.Where(known => !IsIdle(known) && known.DeliveredMs <= long.MaxValue - minIdleMs)
                .Select(known => known.DeliveredMs + minIdleMs).DefaultIfEmpty(long.MaxValue).Min();
            Assert.InRange(_group.Pending.NextIdleMs(_nowMs, minIdleMs), Math.Min(_nowMs + 1, next), next);
        }

        private static List<KeyValuePair<EntryId, Known>> Items(PendingEntries.Walk walk)
        {
            var items = new List<KeyValuePair<EntryId, Known>>();
            foreach (var (id, pending) in walk)
                items.Add(new(id, new(pending.Owner?.Name, pending.DeliveredMs, pending.DeliveryCount)));
            return items;
        }

        private void Set(EntryId id)
        {
            var isNew = !_model.TryGetValue(id, out var before);
            if (_random.NextDouble() < 0.9)
            {
                Claim(id, isNew);
                return;
            }

            var count = before.DeliveryCount + _random.Next(2);
            if (count < 0)
                count = long.MaxValue;
            _model[id] = new(null, 0, count, ++_releases);
            Assert.Equal(isNew, _group.Nack(id, count));
        }

        private void Claim(EntryId id, bool isNew)
        {
            var consumer = $"c{_random.Next(80)}";
            _consumers.Add(consumer);
            var owner = _group.GetOrAddConsumer(consumer, _nowMs, out _);
            var known = new Known(consumer, _nowMs, isNew ? 1 : _random.Next(70_000));
            if (_random.NextDouble() < wide)
                known = new(consumer, Any(WideNumbers), Any(WideNumbers));
            _model[id] = known;
            _group.Claim(id, owner, _nowMs, known.DeliveredMs, known.DeliveryCount);
        }

        private void Remove(EntryId id)
        {
            var wasPending = _model.Remove(id, out var known);
            Assert.Equal(wasPending, _group.Pending.Remove(id, out var removed));
            Assert.Equal(known with { Release = 0 }, new(removed.Owner?.Name, removed.DeliveredMs, removed.DeliveryCount));
            Assert.False(_group.Ack(id));
        }

        private void RemoveConsumer(string name)
        {
            _consumers.Remove(name);
            var gone = _model.Where(item => item.Value.Owner == name).Select(item => item.Key).ToArray();
            foreach (var id in gone)
                _model.Remove(id);
            Assert.Equal(gone.Length, _group.RemoveConsumer(name));
            Assert.Null(_group.RemoveConsumer(name));
        }

        private EntryId NewId()
        {
            if (_random.NextDouble() < wide)
                return new((ulong)_random.NextInt64(long.MaxValue) * 2, (ulong)_random.NextInt64(3) << 32);
            if (_random.NextDouble() < addAtEnd && _model.Count > 0 && _model.Last().Key is var last && last.Milliseconds < ulong.MaxValue)
                return _random.Next(3) == 0 ? last.Next() : new(last.Milliseconds + 1, 0);
            return new((ulong)(_nowMs - _random.Next(1_000_000)), (ulong)_random.Next(3));
        }

        private EntryId AnyId() => _model.Keys.ElementAt(_random.Next(_model.Count));

        private EntryId AnyIdOrZero() => _model.Count == 0 ? EntryId.Zero : AnyId();

        private T Any<T>(IReadOnlyCollection<T> items) => items.ElementAt(_random.Next(items.Count));
    }
}
