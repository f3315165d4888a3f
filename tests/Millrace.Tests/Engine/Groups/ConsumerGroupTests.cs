using Millrace.Streams;
using Millrace.Streams.Engine;

namespace Millrace.Tests.Engine.Groups;

public sealed class ConsumerGroupTests
{
    private static readonly EntryId Id = new(5, 1);

    private readonly ConsumerGroup _group = new("g", EntryId.Zero);

    [Fact]
    public void Nack_leaves_an_entry_pending_for_nobody_until_it_is_claimed()
    {
        var consumer = _group.GetOrAddConsumer("c", 100, out _);
        _group.Deliver(Id, consumer, 100);

        Assert.False(_group.Nack(Id, long.MaxValue));

        Assert.True(_group.Pending.TryGet(Id, out var pending));
        Assert.Equal(new(null, 0, long.MaxValue), pending);
        Assert.Equal((1, 1, 0), (_group.Pending.Count, _group.NackedCount, consumer.HeldCount));
        Assert.False(_group.IsHeld("c", new(Id, long.MaxValue)));
        Assert.False(_group.IsHeld("", new(Id, long.MaxValue)));
        Assert.True(pending.IsIdle(100, long.MaxValue));

        // The count has no larger number.
        Assert.Equal(long.MaxValue, _group.Claim(Id, consumer, 200));
        Assert.Equal((1, 0, 1), (_group.Pending.Count, _group.NackedCount, consumer.HeldCount));
        _group.Verify();
    }

    [Fact]
    public void Nack_of_what_is_not_pending_makes_it_so()
    {
        Assert.True(_group.Nack(Id, 0));

        Assert.Equal(1, _group.NackedCount);
        Assert.True(_group.Ack(Id));
        Assert.Equal(0, _group.NackedCount);
        _group.Verify();
    }

    [Fact]
    public void Consumer_is_active_only_when_it_gets_entries()
    {
        var (a, b) = (_group.GetOrAddConsumer("a", 100, out _), _group.GetOrAddConsumer("b", 100, out _));
        Assert.Equal((-1, 100), (a.ActiveMs, a.SeenMs));

        _group.Deliver(Id, a, 200);
        Assert.Equal((200, -1), (a.ActiveMs, b.ActiveMs));

        _group.Claim(Id, b, nowMs: 300, deliveredMs: 50, deliveryCount: 7);
        Assert.Equal((200, 300), (a.ActiveMs, b.ActiveMs));

        _group.GetOrAddConsumer("b", 400, out _);
        Assert.Equal((300, 400), (b.ActiveMs, b.SeenMs));
    }

    [Fact]
    public void Clone_is_equal_and_apart()
    {
        var consumer = _group.GetOrAddConsumer("c", 100, out _);
        _group.GetOrAddConsumer("gone", 100, out _);
        _group.RemoveConsumer("gone");
        _group.Deliver(Id, consumer, 200);
        _group.Nack(new(6, 0), 3);
        _group.LastDeliveredId = new(6, 0);
        _group.EntriesRead = 2;

        var clone = _group.Clone();
        _group.RemoveConsumer("c");
        _group.Ack(new(6, 0));

        Assert.Equal(("g", new EntryId(6, 0), 2L), (clone.Name, clone.LastDeliveredId, clone.EntriesRead));
        var copy = Assert.Single(clone.Consumers);
        Assert.Equal(("c", 100L, 200L, 1L), (copy.Name, copy.SeenMs, copy.ActiveMs, copy.HeldCount));
        Assert.NotSame(consumer, copy);
        Assert.Equal((2, 1), (clone.Pending.Count, clone.NackedCount));
        Assert.True(clone.Pending.TryGet(Id, out var pending));
        Assert.Equal(new(copy, 200, 1), pending);
        clone.GetOrAddConsumer("new", 1, out _);
        clone.Verify();
        _group.Verify();
    }
}
