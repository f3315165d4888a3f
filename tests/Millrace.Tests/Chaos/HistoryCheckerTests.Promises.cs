using Millrace.ChaosWorker;

namespace Millrace.Tests.Chaos;

/// <summary>Order, messages that kill, and what is told after a flush.</summary>
public sealed partial class HistoryCheckerTests
{
    [Fact]
    public void Messages_of_a_key_in_order_break_nothing()
    {
        TwoOfOneKey();

        Assert.Empty(Check());
    }

    [Fact]
    public void Messages_of_a_key_that_take_effect_in_another_order_broke_their_promise()
    {
        TwoOfOneKey();
        _inOrder["key"].Reverse();

        AssertBroken(Promise.OrderKept);
    }

    [Fact]
    public void Message_that_begins_before_the_one_in_front_has_ended_broke_its_promise()
    {
        TwoOfOneKey();
        Begin(ChaosWorkload.InOrder, "second", 505);
        _history.Add(new(506, Happened.Conflict) { Group = ChaosWorkload.InOrder, Entry = "second-entry", Who = "w1" });

        AssertBroken(Promise.OrderKept);
    }

    [Fact]
    public void Head_that_fails_stays_first()
    {
        Publish("head", 40, JobKind.FailsFirst, lastAttempt: 2, key: "key");
        Publish("next", 50, key: "key");
        foreach (var group in JobGroups)
        {
            Begin(group, "head", 60);
            Fail(group, "head", 65, attempt: 1);
        }

        Work("head", 500, attempt: 2, key: "key");
        Work("next", 600, key: "key");
        Assert.Empty(Check());

        _history.RemoveAll(happened => happened is { Message: "next", Group: ChaosWorkload.InOrder });
        Handle(ChaosWorkload.InOrder, "next", 100);
        AssertBroken(Promise.OrderKept);
    }

    [Fact]
    public void Message_behind_one_that_fails_for_ever_waits_for_its_last_attempt()
    {
        Publish("bad", 40, JobKind.FailsAlways, ChaosWorkload.MaxAttempts, key: "key");
        Publish("next", 50, key: "key");
        Die("bad", 400);
        Work("next", 500, key: "key");
        Assert.Empty(Check());

        _history.RemoveAll(happened => happened is { Message: "next", Group: ChaosWorkload.InOrder });
        Handle(ChaosWorkload.InOrder, "next", 430);
        AssertBroken(Promise.OrderKept);
    }

    [Fact]
    public void Message_that_kills_is_dead_after_as_many_deaths_as_configured()
    {
        Kill(deaths: ChaosWorkload.FewDeliveries);

        Assert.Empty(Check());
    }

    [Theory]
    [InlineData(1)]
    [InlineData(-1)]
    public void Message_that_kills_more_or_less_often_broke_its_promise(int more)
    {
        Kill(deaths: ChaosWorkload.FewDeliveries + more);

        AssertBroken(Promise.KillersEnd);
    }

    [Fact]
    public void Message_that_kills_and_is_not_a_dead_letter_broke_its_promise()
    {
        Kill(deaths: ChaosWorkload.FewDeliveries);
        _letters[ChaosWorkload.Risk].Clear();

        AssertBroken(Promise.DeadLettersRight);
    }

    [Fact]
    public void Message_that_kills_and_is_a_dead_letter_for_another_reason_broke_its_promise()
    {
        Kill(deaths: ChaosWorkload.FewDeliveries);
        _letters[ChaosWorkload.Risk][0] = new("killer", "attempts exhausted", 1);

        AssertBroken(Promise.KillersEnd);
    }

    [Fact]
    public void Message_beside_one_that_kills_must_not_be_given_up()
    {
        Kill(deaths: ChaosWorkload.FewDeliveries);
        _risky.Add(new("innocent"));
        _history.Add(new(40, Happened.Publish) { Message = "innocent", Stream = ChaosWorkload.Risky, Key = "i", Detail = nameof(JobKind.Works), Attempt = 1 });
        _history.Add(new(41, Happened.Published) { Message = "innocent" });
        Handle(ChaosWorkload.RiskInOrder, "innocent", 100);
        Add(_riskInOrder, "i", "innocent");
        _letters[ChaosWorkload.Risk].Add(new("innocent", "delivery limit", 1));

        AssertBroken(Promise.EverythingHandled, Promise.EffectsOnce, Promise.DeadLettersRight);
    }

    [Fact]
    public void Flush_that_nobody_tells_of_broke_its_promise()
    {
        EmptyByFlush();
        Assert.Empty(Check());

        _history.RemoveAll(happened => happened is { What: Happened.Loss or Happened.LossCounted, Group: ChaosWorkload.Work });
        AssertBroken(Promise.LossesTold);

        Fault(ChaosFault.Stall, "w1", 1_400, 2_000);
        AssertBroken(Promise.LossesTold);
        Fault(ChaosFault.Stall, "w1", 1_400, 2_500);
        Assert.Empty(Check());
    }

    [Fact]
    public void Flush_that_a_group_tells_of_twice_broke_its_promise()
    {
        EmptyByFlush();
        foreach (var told in _history.Where(happened => happened is { What: Happened.Loss or Happened.LossCounted, Group: ChaosWorkload.Work }).ToList())
            _history.Add(told);

        AssertBroken(Promise.LossesTold);
    }

    [Fact]
    public void Loss_that_is_told_and_not_counted_broke_its_promise()
    {
        EmptyByFlush();
        _history.RemoveAll(happened => happened is { What: Happened.LossCounted, Group: ChaosWorkload.Audit });

        AssertBroken(Promise.LossesTold);
    }

    [Fact]
    public void Loss_that_is_told_without_a_flush_broke_its_promise()
    {
        Flush();
        _history.RemoveAll(happened => happened.What == Happened.Fault);

        AssertBroken(Promise.LossesTold);
    }

    [Theory]
    [InlineData("1100-0", "1200-0", null, 0)]   // It begins above an entry that is missing.
    [InlineData("0-0", "900-0", null, 0)]       // It ends below one that was there for long.
    [InlineData("0-0", "1400-0", 1L, 0)]        // There are two that nobody had settled.
    [InlineData("0-0", "1400-0", 9L, 0)]        // So many there were not.
    public void Loss_of_other_entries_than_those_that_are_missing_broke_its_promise(string after, string through, long? count, long retries)
    {
        Missing("one", -1_000, "1050-0");
        Missing("two", -950, "940-0");
        EmptyByFlush(after, through, count, retries);

        AssertBroken(Promise.LossesTold);
    }

    [Theory]
    [InlineData("0-0", "1400-0", 2L, 0)]
    [InlineData("0-0", "1400-0", null, 0)]
    [InlineData("1060-0", "1400-0", 0L, 2)]     // They were to be tried again.
    public void Loss_of_exactly_the_entries_that_are_missing_breaks_nothing(string after, string through, long? count, long retries)
    {
        Missing("one", -1_000, "1050-0");
        Missing("two", -950, "940-0");
        EmptyByFlush(after, through, count, retries);

        Assert.Empty(Check());
    }

    /// <summary>What failed is moved to the private stream and counted there. In an ordered group it stays.</summary>
    [Theory]
    [InlineData(ChaosWorkload.Work, 1L, true)]
    [InlineData(ChaosWorkload.Work, 0L, false)]
    [InlineData(ChaosWorkload.InOrder, 1L, false)]
    public void Loss_counts_what_is_to_be_tried_again_apart(string group, long count, bool isKept)
    {
        Publish("one", -1_000, JobKind.FailsFirst, lastAttempt: 2, entry: "1050-0");
        Remove("one");
        Missing("two", -950, "940-0");
        Begin(group, "one", 1_000);
        Fail(group, "one", 1_010, attempt: 1);
        EmptyByFlush("0-0", "1400-0", count: 2, retries: 1);
        var told = _history.FindIndex(happened => happened.What == Happened.Loss && happened.Group == group);
        _history[told] = _history[told] with { MissingCount = count };

        Assert.Equal(isKept, !Check().Any(violation => violation.Promise == Promise.LossesTold));
    }

    [Theory]
    [InlineData(0L)]
    [InlineData(1L)]
    public void Loss_may_count_what_was_published_beside_the_flush(long count)
    {
        _history.Add(new(1_495, Happened.Publish)
        {
            Message = "beside", Stream = ChaosWorkload.Jobs, Group = ChaosWorkload.Work, Detail = nameof(JobKind.Works), Attempt = 1,
        });
        _history.Add(new(1_505, Happened.Published) { Message = "beside", Entry = "1395-0" });
        EmptyByFlush("1390-0", "1400-0", count);

        Assert.Empty(Check());
    }

    private void TwoOfOneKey()
    {
        Publish("first", 40, key: "key");
        Publish("second", 50, key: "key");
        Work("first", 500, key: "key");
        Work("second", 600, key: "key");
    }

    private void Kill(int deaths)
    {
        _risky.Add(new("killer"));
        _history.Add(new(30, Happened.Publish)
        {
            Message = "killer", Stream = ChaosWorkload.Risky, Group = ChaosWorkload.Risk, Key = "k", Detail = nameof(JobKind.Kills), Attempt = 1,
        });
        _history.Add(new(31, Happened.Published) { Message = "killer" });
        for (var death = 1; death <= deaths; death++)
        {
            Begin(ChaosWorkload.Risk, "killer", 2_000 * death, deliveries: death);
            Fault(ChaosFault.Killer, "w1", (2_000 * death) + 50, (2_000 * death) + 50);
        }

        _letters[ChaosWorkload.Risk].Add(new("killer", "delivery limit", 1));
        Handle(ChaosWorkload.RiskInOrder, "killer", 100);
        Add(_riskInOrder, "k", "killer");
    }

    /// <summary>Published long before the flush, and handled by nobody.</summary>
    private void Missing(string message, double atMs, string entry)
    {
        Publish(message, atMs, entry: entry);
        Remove(message);
    }

    private void EmptyByFlush(string after = "0-0", string through = "1200-0", long? count = null, long retries = 0)
    {
        foreach (var message in (string[])["a", "b", "dead", "late"])
            Remove(message);
        Flush(after, through, count, retries);
    }
}
