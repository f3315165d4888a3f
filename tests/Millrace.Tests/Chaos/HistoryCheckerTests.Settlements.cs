using Millrace.ChaosWorker;

namespace Millrace.Tests.Chaos;

/// <summary>What is settled, by whom.</summary>
public sealed partial class HistoryCheckerTests
{
    private int _settled;

    [Fact]
    public void Entry_that_is_settled_twice_broke_its_promise()
    {
        Settle("a", 150);

        AssertBroken(Promise.SettledByItsHolder);
    }

    [Theory]
    [InlineData(Happened.SettleRefused)]
    [InlineData(null)]
    public void Second_settlement_may_be_refused_or_have_no_answer(Happened? answer)
    {
        Settle("a", 150, answer: answer);

        Assert.Empty(Check());
    }

    [Fact]
    public void Settlement_of_one_who_lost_the_entry_broke_its_promise()
    {
        Deliver("a", 105, count: 2, worker: "w2");

        AssertBroken(Promise.SettledByItsHolder);
    }

    /// <summary>As a commit has none that lost its fence: then it is of the last delivery its worker had.</summary>
    [Fact]
    public void Settlement_without_a_fence_counts_for_the_delivery_of_its_worker()
    {
        _history.RemoveAll(happened => happened.Commit.Length > 0 && happened.Entry == "a-entry");
        Settle("a", 110, count: 0);
        Assert.Empty(Check());

        Deliver("a", 105, count: 2, worker: "w2");
        AssertBroken(Promise.SettledByItsHolder);
    }

    /// <summary>It is not fenced: the handler did run.</summary>
    [Fact]
    public void Plain_acknowledgement_may_come_after_a_later_delivery()
    {
        Deliver("x", 100);
        Deliver("x", 200, count: 2, worker: "w2");
        Settle("x", 300, count: 0, isFenced: false);

        Assert.Empty(Check());
    }

    /// <summary>The store may have applied it before it delivered the entry again.</summary>
    [Fact]
    public void Settlement_on_its_way_when_the_entry_is_delivered_again_may_have_been_first()
    {
        Deliver("a", 110, count: 2, worker: "w2");

        Assert.Empty(Check());
    }

    [Theory]
    [InlineData(2, 1)]
    [InlineData(1, 2)]
    public void Output_of_a_delivery_that_was_not_settled_broke_its_promise(int deliveries, int attempt)
    {
        _history.RemoveAll(happened => happened.Commit.Length > 0 && happened.Message == "a");
        Settle("a", 110, deliveries: deliveries, attempt: attempt);

        AssertBroken(Promise.SettledByItsHolder);
    }

    [Fact]
    public void Output_of_a_settlement_that_was_refused_broke_its_promise()
    {
        _history.RemoveAll(happened => happened.Commit.Length > 0 && happened.Message == "a");
        Settle("a", 110, answer: Happened.SettleRefused);

        AssertBroken(Promise.SettledByItsHolder);
    }

    [Fact]
    public void Entry_of_the_same_id_after_a_flush_is_another_one()
    {
        foreach (var message in (string[])["a", "b", "dead", "late"])
            Remove(message);
        Flush();
        Settle("a", 2_000);

        Assert.Empty(Check());
    }

    private void Deliver(string message, double atMs, long count = 1, string worker = "w1") => _history.Add(new(atMs, Happened.Delivered)
    {
        Who = worker, Stream = ChaosWorkload.Jobs, Group = ChaosWorkload.Work, Entry = $"{message}-entry", Count = count,
    });

    private void Settle(
        string message, double atMs, long count = 1, bool isFenced = true, long deliveries = 1, int attempt = 1, Happened? answer = Happened.Settled)
    {
        var settle = new HistoryEvent(atMs, Happened.Settle)
        {
            Who = "w1",
            Stream = ChaosWorkload.Jobs,
            Group = ChaosWorkload.Work,
            Entry = $"{message}-entry",
            Commit = $"commit-{_settled++}",
            Count = count,
            IsFenced = isFenced,
            Message = message,
            Deliveries = deliveries,
            Attempt = attempt,
        };
        _history.Add(settle);
        if (answer is { } what)
            _history.Add(settle with { AtMs = atMs + 1, What = what });
    }
}
