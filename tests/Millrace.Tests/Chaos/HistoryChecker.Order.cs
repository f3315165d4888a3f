using Millrace.ChaosWorker;

namespace Millrace.Tests.Chaos;

internal sealed partial class HistoryChecker
{
    /// <summary>
    /// Of each key: the state has exactly the messages that were not given up, in the order of the stream; and no message began, anywhere, before the
    /// one in front of it had come to its last end.
    /// </summary>
    private void CheckOrder(GroupRule group)
    {
        var keys = _truth.Streams[group.Stream].Select(entry => _published.GetValueOrDefault(entry.Message)?.Begun).OfType<HistoryEvent>()
            .GroupBy(job => job.Key);
        foreach (var key in keys)
        {
            var jobs = key.ToList();
            var expected = jobs.Where(job => !IsGivenUp(group, job)).Select(job => job.Message).ToList();
            var actual = _truth.Ledgers.GetValueOrDefault((group.Name, key.Key)) ?? [];

            // What is missing or doubled is told elsewhere.
            if (!actual.Distinct().Intersect(expected).SequenceEqual(expected.Intersect(actual)))
                Break(Promise.OrderKept, $"{key.Key} in {group.Name} has {string.Join(", ", actual)} and not {string.Join(", ", expected)}");
            foreach (var (before, job) in jobs.Zip(jobs.Skip(1)))
                CheckTurn(group, before, job);
        }
    }

    private void CheckTurn(GroupRule group, HistoryEvent before, HistoryEvent job)
    {
        var begun = Handled(group, job).FirstOrDefault(happened => happened.What == Happened.Begin);
        var ended = Handled(group, before).FirstOrDefault(happened => IsLastEnd(group, before, happened));
        if (begun is not null && (ended is null || ended.AtMs > begun.AtMs))
            Break(
                Promise.OrderKept,
                $"{job.Message} of {job.Key} began in {group.Name} before {before.Message} had ended: {Describe(begun)}, then {Describe(ended)}");
    }

    private List<HistoryEvent> Handled(GroupRule group, HistoryEvent job) => _handled.GetValueOrDefault((group.Name, job.Message)) ?? [];

    private static bool IsGivenUp(GroupRule group, HistoryEvent job) => Enum.Parse<JobKind>(job.Detail) switch
    {
        JobKind.FailsAlways or JobKind.Rejected => true,
        JobKind.Kills => job.Group == group.Name,
        _ => false,
    };

    /// <summary>After this the message may have been settled. Whoever rejects, or kills, says nothing after the beginning.</summary>
    private static bool IsLastEnd(GroupRule group, HistoryEvent job, HistoryEvent happened) => Enum.Parse<JobKind>(job.Detail) switch
    {
        JobKind.FailsAlways => happened.What == Happened.Fail && happened.Attempt == job.Attempt,
        JobKind.Rejected => happened.What == Happened.Begin,
        JobKind.Kills when job.Group == group.Name => happened.What == Happened.Begin,
        _ => happened.What == Happened.End && happened.Attempt == job.Attempt,
    };
}
