using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Tests.Engine;

public sealed class PendingTests
{
    private readonly EngineRun _run = new();

    public PendingTests() => _run.CreateGroup("s");

    [Fact]
    public void Idle_time_is_never_negative_when_the_clock_goes_back()
    {
        var id = _run.Append("s");
        _run.Read("s", "c");
        _run.NowMs -= 500;

        Assert.Equal(TimeSpan.Zero, Assert.Single(Pending()).IdleTime);
        Assert.Equal(TimeSpan.Zero, Assert.Single(_run.Engine.Consumers("s", "g", _run.NowMs)).IdleTime);
        Assert.Empty(Claim("d", minIdleMs: 1, id).Entries);
        Assert.Single(Claim("d", minIdleMs: 0, id).Entries);
    }

    [Fact]
    public void Claim_moves_the_entry_counts_and_resets_the_idle_time()
    {
        var id = _run.Append("s");
        _run.Read("s", "c");
        _run.NowMs += 100;

        var claimed = Assert.Single(Claim("d", minIdleMs: 100, id).Entries);

        Assert.Equal((id, 2L), (claimed.Id, claimed.DeliveryCount));
        Assert.Equal(new(id, "d", TimeSpan.Zero, 2), Assert.Single(Pending()));
        Assert.Equal(0, _run.Engine.Consumers("s", "g", _run.NowMs).Single(consumer => consumer.Name == "c").PendingCount);
    }

    [Fact]
    public void Claim_drops_and_reports_what_was_deleted()
    {
        var (kept, gone) = (_run.Append("s"), _run.Append("s"));
        _run.Read("s", "c");
        _run.Apply<Delete, long>(new("s", [gone]));

        var result = Claim("d", minIdleMs: 0, gone, kept, new EntryId(1, 1));

        Assert.Equal([kept], result.Entries.Select(entry => entry.Id));
        Assert.Equal([gone], result.Deleted);
        Assert.Equal([kept], Pending().Select(entry => entry.Id));
    }

    [Fact]
    public void Extend_is_fenced_by_consumer_and_delivery_count()
    {
        var id = _run.Append("s");
        _run.Read("s", "c");
        _run.NowMs += 100;

        Assert.Empty(Extend("d", new(id, 1)));
        Assert.Empty(Extend("c", new(id, 2)));
        Assert.Equal(TimeSpan.FromMilliseconds(100), Assert.Single(Pending()).IdleTime);
        Assert.Equal([id], Extend("c", new(id, 1)));
        Assert.Equal(new(id, "c", TimeSpan.Zero, 1), Assert.Single(Pending()));
    }

    [Fact]
    public void Delivery_again_after_the_group_was_moved_back_changes_hands_and_counts_anew()
    {
        var id = _run.Append("s");
        _run.Read("s", "c");
        Claim("c", minIdleMs: 0, id);
        _run.Apply<SetGroup, bool>(new("s", "g", GroupStart.Beginning));

        Assert.Equal(1, Assert.Single(_run.Read("s", "d")).DeliveryCount);
        Assert.Equal(new(id, "d", TimeSpan.Zero, 1), Assert.Single(Pending()));
        _run.Engine.Verify();
    }

    [Fact]
    public void AckAndDelete_leaves_what_was_not_pending()
    {
        var (pending, other) = (_run.Append("s", "a"), _run.Append("s", "b"));
        _run.Read("s", "c", count: 1);

        Assert.Equal(
            [DeleteOutcome.Deleted, DeleteOutcome.Missing], _run.Apply<AckAndDelete, DeleteOutcome[]>(new("s", "g", [pending, other])));
        Assert.Equal(["b"], _run.Values("s"));
    }

    [Fact]
    public void DeleteConsumer_takes_its_pending_entries_with_it()
    {
        _run.Append("s");
        _run.Append("s");
        _run.Read("s", "c", count: 1);
        var kept = Assert.Single(_run.Read("s", "d")).Id;

        Assert.Equal(1, _run.Apply<DeleteConsumer, long>(new("s", "g", "c")));
        Assert.Equal(0, _run.Apply<DeleteConsumer, long>(new("s", "g", "c")));
        Assert.Equal([kept], Pending().Select(entry => entry.Id));
        _run.Engine.Verify();
    }

    [Fact]
    public void Read_that_brings_nothing_makes_the_consumer_once_and_is_not_journaled_again()
    {
        _run.Read("s", "c");
        var records = _run.Records.Count;
        _run.NowMs += 50;

        _run.Read("s", "c");

        Assert.Equal(records, _run.Records.Count);
        Assert.Equal(TimeSpan.Zero, Assert.Single(_run.Engine.Consumers("s", "g", _run.NowMs)).IdleTime);
    }

    private PendingEntry[] Pending() => _run.Engine.Pending("s", "g", new(), _run.NowMs);

    private ClaimResult Claim(string consumer, long minIdleMs, params EntryId[] ids) =>
        _run.Apply<Claim, ClaimResult>(new("s", "g", consumer, minIdleMs, ids));

    private IReadOnlyList<EntryId> Extend(string consumer, HeldEntry held) =>
        _run.Apply<Extend, IReadOnlyList<EntryId>>(new("s", "g", consumer, [held]));
}
