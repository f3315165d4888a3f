using Millrace.ChaosWorker;

namespace Millrace.Tests.Chaos;

/// <summary>A checker that cannot fail proves nothing: for each promise a small history that keeps it, and ones that break it.</summary>
public sealed partial class HistoryCheckerTests
{
    /// <summary>The groups that handle every job.</summary>
    private static readonly string[] JobGroups = [ChaosWorkload.Work, ChaosWorkload.Audit, ChaosWorkload.InOrder];

    private static readonly TimeSpan Lease = TimeSpan.FromSeconds(1);

    private readonly List<HistoryEvent> _history = [];
    private readonly List<StoredMessage> _jobs = [];
    private readonly List<StoredMessage> _outputs = [];
    private readonly List<StoredMessage> _risky = [];
    private readonly List<string> _work = [];
    private readonly List<string> _tally = [];
    private readonly Dictionary<string, List<string>> _inOrder = [];
    private readonly List<string> _risk = [];
    private readonly Dictionary<string, List<string>> _riskInOrder = [];
    private readonly Dictionary<string, List<StoredLetter>> _letters = GroupRule.All.ToDictionary(group => group.Name, _ => new List<StoredLetter>());

    private readonly List<string> _leftovers = [];

    public HistoryCheckerTests()
    {
        // Two good messages, one that fails for ever and one that is delayed. Each test spoils one thing.
        Publish("a", 0);
        Work("a", 100);
        Publish("b", 10);
        Work("b", 200);
        Publish("dead", 20, JobKind.FailsAlways, ChaosWorkload.MaxAttempts);
        Die("dead", 300);
        Publish("late", 30, untilMs: 1_000);
        Work("late", 1_000);
    }

    [Fact]
    public void Good_history_breaks_nothing() => Assert.Empty(Check());

    [Fact]
    public void Acknowledged_message_that_is_not_in_the_stream_is_lost()
    {
        Publish("gone", 40);
        Remove("gone");

        AssertBroken(Promise.NothingLost);
    }

    [Fact]
    public void Publish_of_unknown_outcome_may_be_there_or_not()
    {
        Publish("perhaps", 40, outcome: Happened.PublishUnknown);
        Work("perhaps", 500);
        Publish("not", 50, outcome: Happened.PublishUnknown);
        Remove("not");

        Assert.Empty(Check());
    }

    [Fact]
    public void Refused_message_that_is_in_the_stream_is_made_up()
    {
        Publish("refused", 40, outcome: Happened.PublishRefused);
        Work("refused", 500);

        AssertBroken(Promise.NothingMadeUp);
    }

    [Fact]
    public void Entry_that_nobody_published_is_made_up()
    {
        _jobs.Add(new("ghost"));
        Work("ghost", 500);

        AssertBroken(Promise.NothingMadeUp);
    }

    [Fact]
    public void Message_that_no_handler_ended_was_not_handled()
    {
        _history.RemoveAll(happened => happened is { What: Happened.End, Message: "a", Group: ChaosWorkload.Audit });

        AssertBroken(Promise.EverythingHandled);
    }

    [Fact]
    public void Message_twice_in_the_state_broke_its_promise()
    {
        _work.Add("a");

        AssertBroken(Promise.EffectsOnce);
    }

    [Fact]
    public void State_without_its_output_broke_its_promise()
    {
        _outputs.RemoveAll(output => output.Cause == "a");

        AssertBroken(Promise.EffectsOnce, Promise.NothingMadeUp);
    }

    [Fact]
    public void State_of_a_message_that_was_given_up_broke_its_promise()
    {
        _work.Add("dead");

        AssertBroken(Promise.EffectsOnce);
    }

    [Fact]
    public void Effects_of_a_message_that_the_stream_does_not_have_are_made_up()
    {
        _work.Add("never");

        AssertBroken(Promise.NothingMadeUp);
    }

    [Fact]
    public void Second_delivery_without_a_fault_is_not_explained()
    {
        Begin(ChaosWorkload.Audit, "a", 150, deliveries: 2, worker: "w2");

        AssertBroken(Promise.RedeliveryExplained);
    }

    [Fact]
    public void Second_delivery_after_the_death_of_the_first_is_explained()
    {
        Begin(ChaosWorkload.Audit, "a", 1_500, deliveries: 2, worker: "w2");
        Fault(ChaosFault.Kill, "w1", 120, 400);

        Assert.Empty(Check());
    }

    [Theory]
    [InlineData("w3", 120)]
    [InlineData("w1", 5_000)]
    public void Death_of_another_worker_or_at_another_time_explains_nothing(string worker, int atMs)
    {
        Begin(ChaosWorkload.Audit, "a", 1_500, deliveries: 2, worker: "w2");
        Fault(ChaosFault.Kill, worker, atMs, atMs + 100);

        AssertBroken(Promise.RedeliveryExplained);
    }

    [Fact]
    public void Hand_back_does_not_explain_a_delivery_that_counts()
    {
        Begin(ChaosWorkload.Audit, "a", 1_500, deliveries: 2, worker: "w2");
        Fault(ChaosFault.Terminate, "w1", 120, 400);

        AssertBroken(Promise.RedeliveryExplained);
    }

    [Fact]
    public void Count_must_not_go_up_by_more_than_the_deaths_there_were()
    {
        Begin(ChaosWorkload.Audit, "a", 1_500, deliveries: 3, worker: "w2");
        Fault(ChaosFault.Kill, "w1", 120, 400);

        AssertBroken(Promise.RedeliveryExplained);
    }

    [Fact]
    public void First_delivery_that_is_seen_counts_from_one()
    {
        _history.RemoveAll(happened => happened.Message == "b" && happened.Group == ChaosWorkload.Audit);
        Handle(ChaosWorkload.Audit, "b", 200, deliveries: 2);

        AssertBroken(Promise.RedeliveryExplained);
    }

    [Fact]
    public void Same_delivery_may_begin_again_only_after_a_conflict_or_a_hand_back()
    {
        Begin(ChaosWorkload.Work, "a", 150);
        AssertBroken(Promise.RedeliveryExplained);

        _history.Add(new(140, Happened.Conflict) { Group = ChaosWorkload.Work, Entry = "a-entry", Who = "w1" });
        Assert.Empty(Check());

        Begin(ChaosWorkload.Work, "a", 600, worker: "w2");
        AssertBroken(Promise.RedeliveryExplained);

        Fault(ChaosFault.Terminate, "w1", 160, 400);
        Assert.Empty(Check());
    }

    /// <summary>After a clock went back a retry had, in its own stream, the ID of the entry it was a copy of.</summary>
    [Fact]
    public void Retry_with_the_entry_ID_of_an_earlier_attempt_is_another_delivery()
    {
        Publish("r", 40, JobKind.FailsFirst, lastAttempt: 2);
        foreach (var group in (string[])[ChaosWorkload.Work, ChaosWorkload.Audit, ChaosWorkload.InOrder])
        {
            Begin(group, "r", 50);
            Fail(group, "r", 60, attempt: 1);
        }

        Work("r", 500, attempt: 2);
        Begin(ChaosWorkload.Work, "r", 550, attempt: 2);
        _history.Add(new(540, Happened.Conflict) { Group = ChaosWorkload.Work, Entry = "r-entry", Who = "w1" });
        Assert.Empty(Check());

        Begin(ChaosWorkload.Work, "r", 560, attempt: 2);
        AssertBroken(Promise.RedeliveryExplained);
    }

    [Fact]
    public void Deliveries_must_not_be_forgotten_by_a_retry()
    {
        Publish("r", 40, JobKind.FailsFirst, lastAttempt: 2);
        Begin(ChaosWorkload.Work, "r", 50, deliveries: 2, worker: "w2");
        Fail(ChaosWorkload.Work, "r", 60, attempt: 1);
        foreach (var group in (string[])[ChaosWorkload.Audit, ChaosWorkload.InOrder])
        {
            Begin(group, "r", 50);
            Fail(group, "r", 60, attempt: 1);
        }

        Work("r", 500, attempt: 2);
        Fault(ChaosFault.Kill, "w1", 45, 100);

        AssertBroken(Promise.RedeliveryExplained);
    }

    [Fact]
    public void Attempt_without_the_failure_of_the_one_before_is_wrong()
    {
        Publish("r", 40, JobKind.FailsFirst, lastAttempt: 2);
        Work("r", 500, attempt: 2);

        AssertBroken(Promise.AttemptsCounted);
    }

    [Fact]
    public void Message_that_ends_with_another_attempt_than_it_should_is_wrong()
    {
        Publish("r", 40, JobKind.FailsFirst, lastAttempt: 3);
        foreach (var group in JobGroups)
        {
            Begin(group, "r", 50);
            Fail(group, "r", 60, attempt: 1);
        }

        Work("r", 500, attempt: 2);

        AssertBroken(Promise.AttemptsCounted);
    }

    [Fact]
    public void Dead_letter_of_a_good_message_is_wrong()
    {
        _letters[ChaosWorkload.Audit].Add(new("a", "DeliveryLimit", 1));

        AssertBroken(Promise.DeadLettersRight);
    }

    [Fact]
    public void Message_that_fails_for_ever_without_a_dead_letter_is_wrong()
    {
        _letters[ChaosWorkload.Work].Clear();

        AssertBroken(Promise.DeadLettersRight);
    }

    [Fact]
    public void Second_dead_letter_of_one_message_is_wrong()
    {
        _letters[ChaosWorkload.Work].Add(_letters[ChaosWorkload.Work][0]);

        AssertBroken(Promise.DeadLettersRight);
    }

    [Fact]
    public void Dead_letter_after_too_few_attempts_is_wrong()
    {
        _letters[ChaosWorkload.Work][0] = new("dead", "AttemptsExhausted", 2);

        AssertBroken(Promise.AttemptsCounted);
    }

    [Fact]
    public void Delayed_message_before_its_time_is_wrong()
    {
        Publish("early", 40, untilMs: 700);
        Work("early", 500);

        AssertBroken(Promise.NotEarly);
    }

    [Fact]
    public void Something_left_pending_is_wrong()
    {
        _leftovers.Add("1 entries of jobs are pending in work");

        AssertBroken(Promise.NothingLeft);
    }

    [Fact]
    public void Flush_takes_exactly_what_was_there()
    {
        Publish("flushed", 40);
        Remove("flushed");
        Publish("after", 2_000);
        Work("after", 2_100);
        AssertBroken(Promise.NothingLost);

        // All that came before it is gone, and so are its effects.
        Flush();
        AssertBroken(Promise.NothingMadeUp);
        foreach (var message in (string[])["a", "b", "dead", "late"])
            Remove(message);
        Assert.Empty(Check());

        Remove("after");
        AssertBroken(Promise.NothingLost);
    }

    private void AssertBroken(params Promise[] promises) =>
        Assert.Equal(promises.ToHashSet(), Check().Select(violation => violation.Promise).ToHashSet());

    private IReadOnlyList<Violation> Check() => HistoryChecker.Check(
        [.. _history.OrderBy(happened => happened.AtMs)],
        new()
        {
            Streams = new Dictionary<string, IReadOnlyList<StoredMessage>>
            {
                [ChaosWorkload.Jobs] = _jobs,
                [ChaosWorkload.Outputs] = _outputs,
                [ChaosWorkload.Risky] = _risky,
            },
            Ledgers = Ledgers(),
            DeadLetters = _letters.ToDictionary(letters => letters.Key, letters => (IReadOnlyList<StoredLetter>)letters.Value),
            Leftovers = _leftovers,
        },
        Lease);

    private Dictionary<(string Group, string Key), IReadOnlyList<string>> Ledgers()
    {
        var ledgers = new Dictionary<(string, string), IReadOnlyList<string>>
        {
            [(ChaosWorkload.Work, "key0")] = _work,
            [(ChaosWorkload.Tally, "key0")] = _tally,
            [(ChaosWorkload.Risk, "key0")] = _risk,
        };
        foreach (var (key, messages) in _inOrder)
            ledgers[(ChaosWorkload.InOrder, key)] = messages;
        foreach (var (key, messages) in _riskInOrder)
            ledgers[(ChaosWorkload.RiskInOrder, key)] = messages;
        return ledgers;
    }

    private static void Add(Dictionary<string, List<string>> ledgers, string key, string message)
    {
        if (!ledgers.TryGetValue(key, out var ledger))
            ledgers[key] = ledger = [];
        ledger.Add(message);
    }

    /// <summary>Everything at 1.5 s, and each group tells of it at 2 s.</summary>
    private void Flush(string missingAfter = "0-0", string missingThrough = "1200-0", long? missingCount = null, long missingRetries = 0)
    {
        Fault(ChaosFault.Flush, HistoryEvent.Everybody, 1_500, 1_600);
        foreach (var group in GroupRule.All)
        {
            _history.Add(new(2_000, Happened.Loss)
            {
                Who = "w1",
                Group = group.Name,
                Detail = nameof(StreamLossKind.EntriesVanished),
                MissingAfter = missingAfter,
                MissingThrough = missingThrough,
                MissingCount = group.Stream == ChaosWorkload.Jobs ? missingCount : null,
                MissingRetries = missingRetries,
            });
            _history.Add(new(2_000, Happened.LossCounted) { Group = group.Name });
        }
    }

    private void Publish(
        string message, double atMs, JobKind kind = JobKind.Works, int lastAttempt = 1, double untilMs = 0, Happened outcome = Happened.Published,
        string? key = null, string entry = "")
    {
        _history.Add(new(atMs, Happened.Publish)
        {
            Message = message,
            Stream = ChaosWorkload.Jobs,
            Key = key ?? message,
            Detail = kind.ToString(),
            Attempt = lastAttempt,
            UntilMs = untilMs,
        });
        _history.Add(new(atMs + 1, outcome) { Message = message, Entry = entry });
        _jobs.Add(new(message));
    }

    /// <summary>All groups do what they should with a message, at the last attempt.</summary>
    private void Work(string message, double atMs, int attempt = 1, string? key = null)
    {
        foreach (var group in JobGroups)
            Handle(group, message, atMs, attempt: attempt);
        Handle(ChaosWorkload.Tally, $"out-{message}", atMs + 20);
        _work.Add(message);
        Add(_inOrder, key ?? message, message);
        _outputs.Add(new($"out-{message}", message, attempt, Deliveries: 1));
        Deliver(message, atMs);
        Settle(message, atMs + 10, attempt: attempt);
        _tally.Add($"out-{message}");
    }

    private void Die(string message, double atMs)
    {
        foreach (var group in JobGroups)
        {
            for (var attempt = 1; attempt <= ChaosWorkload.MaxAttempts; attempt++)
            {
                Begin(group, message, atMs + (10 * attempt), attempt: attempt);
                Fail(group, message, atMs + (10 * attempt) + 5, attempt);
            }

            _letters[group].Add(new(message, "AttemptsExhausted", ChaosWorkload.MaxAttempts));
        }
    }

    private void Handle(string group, string message, double atMs, long deliveries = 1, int attempt = 1)
    {
        Begin(group, message, atMs, deliveries, attempt);
        _history.Add(new(atMs + 10, Happened.End)
        {
            Who = "w1", Group = group, Message = message, Entry = $"{message}-entry", Deliveries = deliveries, Attempt = attempt,
        });
    }

    private void Begin(string group, string message, double atMs, long deliveries = 1, int attempt = 1, string worker = "w1") =>
        _history.Add(new(atMs, Happened.Begin)
        {
            Who = worker, Group = group, Message = message, Entry = $"{message}-entry", Deliveries = deliveries, Attempt = attempt,
        });

    private void Fail(string group, string message, double atMs, int attempt) =>
        _history.Add(new(atMs, Happened.Fail) { Who = "w1", Group = group, Message = message, Deliveries = 1, Attempt = attempt });

    private void Fault(ChaosFault kind, string who, double atMs, double untilMs) =>
        _history.Add(new(atMs, Happened.Fault) { Who = who, UntilMs = untilMs, Detail = kind.ToString() });

    /// <summary>From the store, with everything that came of it.</summary>
    private void Remove(string message)
    {
        _jobs.RemoveAll(job => job.Message == message);
        _outputs.RemoveAll(output => output.Cause == message);
        _work.Remove(message);
        foreach (var ledger in _inOrder.Values)
            ledger.Remove(message);
        _tally.Remove($"out-{message}");
        foreach (var letters in _letters.Values)
            letters.RemoveAll(letter => letter.Message == message);
    }
}
