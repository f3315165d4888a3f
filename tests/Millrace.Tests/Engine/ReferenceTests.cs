using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Tests.Engine;

/// <summary>What deleting, trimming and handing back do to the groups that refer to an entry, and that a replay does the same.</summary>
public sealed class ReferenceTests : IDisposable
{
    private readonly EngineRun _run = new();

    public ReferenceTests()
    {
        for (ulong i = 1; i <= 4; i++)
            _run.Apply<Append, EntryId>(new("s", EngineRun.Fields("x"), Id: Id(i)));
        _run.CreateGroup("s");
        _run.CreateGroup("s", "h");
        _run.Read("s", "c");
    }

    public void Dispose()
    {
        _run.Engine.Verify();
        Assert.Equal(EngineRun.Dump(_run.Engine), EngineRun.Dump(_run.Replay()));
    }

    [Fact]
    public void Acknowledged_entry_stays_while_another_group_has_not_read_it()
    {
        _run.Read("s", "c", count: 1, group: "h");
        _run.Ack("s", Id(2));

        Assert.Equal(
            [DeleteOutcome.StillReferenced, DeleteOutcome.Missing, DeleteOutcome.StillReferenced],
            AckAndDelete(ReferencePolicy.Acked, 1, 2, 3));
        Assert.Equal(1, _run.Apply<Ack, long>(new("s", "h", [Id(1)])));
        Assert.Equal(1, Trim(new() { MaxLength = 0, References = ReferencePolicy.Acked }));
        Assert.Equal([2UL, 3, 4], Left());
    }

    [Fact]
    public void Entry_that_is_gone_already_counts_as_deleted_when_it_is_acknowledged()
    {
        _run.Apply<Delete, long>(new("s", [Id(1)]));

        Assert.Equal([DeleteOutcome.Deleted, DeleteOutcome.Deleted], AckAndDelete(ReferencePolicy.Keep, 1, 2));
        Assert.Equal([3UL, 4], Left());
        Assert.Equal(2, _run.Group("s").PendingCount);
    }

    [Fact]
    public void Deleting_the_references_to_an_entry_works_without_the_entry()
    {
        _run.Apply<Delete, long>(new("s", [Id(1)]));
        _run.Read("s", "c", group: "h");

        Assert.Equal(
            [DeleteOutcome.Missing, DeleteOutcome.Deleted],
            _run.Apply<DeleteReferenced, DeleteOutcome[]>(new("s", ReferencePolicy.Delete, [Id(1), Id(2)])));
        Assert.Equal((2, 2), (_run.Group("s").PendingCount, _run.Group("s", "h").PendingCount));
        Assert.Equal(2, Trim(new() { MinId = Id(9), IsApproximate = true, References = ReferencePolicy.Delete }));
        Assert.Equal((0, 0), (_run.Group("s").PendingCount, _run.Group("s", "h").PendingCount));
    }

    [Fact]
    public void Append_trims_with_the_same_regard()
    {
        var trim = new TrimRequest { MaxLength = 1, References = ReferencePolicy.Acked };
        Assert.Equal(4, _run.Ack("s", Id(1), Id(2), Id(3), Id(4)));

        _run.Apply<Append, EntryId>(new("s", EngineRun.Fields("x"), trim, Id(5)));
        Assert.Equal([1UL, 2, 3, 4, 5], Left());

        _run.Read("s", "c", group: "h");
        _run.Apply<Ack, long>(new("s", "h", [Id(1), Id(3), Id(5)]));
        _run.Apply<Append, EntryId>(new("s", EngineRun.Fields("x"), trim, Id(6)));
        Assert.Equal([2UL, 4, 5, 6], Left());
    }

    [Fact]
    public void Handed_back_entries_keep_lose_or_set_their_count()
    {
        Assert.Equal(1, Nack(null, undoes: false, force: false, 1));
        Assert.Equal(1, Nack(null, undoes: true, force: false, 2));
        Assert.Equal(2, Nack(null, undoes: true, force: false, 2, 9, 3));
        Assert.Equal(1, Nack(long.MaxValue, undoes: false, force: false, 4));

        Assert.Equal([1, 0, 0, long.MaxValue], Pending().Select(entry => entry.DeliveryCount));
        Assert.All(Pending(), entry => Assert.Equal(("", TimeSpan.FromMilliseconds(-1)), (entry.Consumer, entry.IdleTime)));
        Assert.Equal(0, Nack(null, undoes: false, force: false, 9));
    }

    [Fact]
    public void Whoever_waits_to_claim_looks_again_when_entries_are_handed_back()
    {
        var engine = _run.Replay();
        engine.IsClaimAwaited = true;
        engine.Apply(new Nack("s", "g", null, false, false, [Id(9)]), _run.NowMs, out long released);
        Assert.Equal((0, 0), (released, engine.Signals.Count));

        engine.Apply(new Nack("s", "g", null, false, false, [Id(1)]), _run.NowMs, out released);
        Assert.Equal([new(0, "s")], engine.Signals);
    }

    [Fact]
    public void Forced_entries_were_never_delivered_and_must_exist()
    {
        Assert.Equal(4, _run.Ack("s", Id(1), Id(2), Id(3), Id(4)));

        Assert.Equal(1, Nack(null, undoes: true, force: true, 1, 9));
        Assert.Equal(1, Nack(7, undoes: false, force: true, 2));

        Assert.Equal([0, 7], Pending().Select(entry => entry.DeliveryCount));
    }

    [Fact]
    public void Entry_handed_back_undelivered_has_count_one_when_it_is_claimed()
    {
        Nack(null, undoes: true, force: false, 1);

        Assert.Equal(
            [Id(1)], _run.Apply<ClaimAs, EntryId[]>(new("s", "g", "d", long.MaxValue, 0, null, false, false, EntryId.Zero, [Id(1), Id(2)])));
        Assert.Equal(1, Pending()[0].DeliveryCount);
    }

    private static EntryId Id(ulong milliseconds) => new(milliseconds, 0);

    private DeleteOutcome[] AckAndDelete(ReferencePolicy policy, params ulong[] ids) =>
        _run.Apply<AckAndDelete, DeleteOutcome[]>(new("s", "g", [.. ids.Select(Id)], policy));

    private long Nack(long? deliveryCount, bool undoes, bool force, params ulong[] ids) =>
        _run.Apply<Nack, long>(new("s", "g", deliveryCount, undoes, force, [.. ids.Select(Id)]));

    private long Trim(TrimRequest trim) => _run.Apply<Trim, long>(new("s", trim));

    private ulong[] Left() => [.. _run.Engine.Range("s", new() { Count = 100 }).Select(entry => entry.Id.Milliseconds)];

    private PendingEntry[] Pending() => _run.Engine.Pending("s", "g", new() { Count = 100 }, _run.NowMs);
}
