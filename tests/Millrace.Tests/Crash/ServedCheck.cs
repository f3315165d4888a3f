using System.Net;
using Millrace.Streams;
using Millrace.Tests.Differential;

namespace Millrace.Tests.Crash;

/// <summary>Compares what a server has after a fault with what its writers know, and counts over all rounds.</summary>
internal sealed class ServedCheck
{
    private readonly List<string> _violations = [];

    /// <summary>Acknowledged operations whose effect was looked for.</summary>
    public int Acknowledged { get; private set; }

    /// <summary>Acknowledged entries, transactions, deliveries, acks, claims and groups that are not there.</summary>
    public int Lost { get; private set; }

    /// <summary>Entries that are there twice.</summary>
    public int Doubled { get; private set; }

    /// <summary>Operations without an answer that took place.</summary>
    public int Recovered { get; private set; }

    /// <summary>Operations without an answer.</summary>
    public int Unknown { get; private set; }

    public override string ToString() =>
        $"{Acknowledged} operations acknowledged, {Lost} lost, {Doubled} doubled, {Unknown} unknown outcomes, {Recovered} of them recovered";

    /// <summary>Fails with everything that was wrong in any round.</summary>
    public void AssertNothingWrong() => Assert.True(
        _violations.Count == 0, $"{this}; {_violations.Count} violations:\n{string.Join('\n', _violations.Take(50))}");

    /// <summary>
    /// Nothing acknowledged may be lost, and nothing be there but that and what was under way. Then the writers adopt what is there, so that what
    /// was recovered once must stay.
    /// </summary>
    public void CheckExact(IPEndPoint endpoint, IReadOnlyList<ServedWriter> writers, string round)
    {
        var contents = Read(endpoint, writers.Count, round);
        for (var i = 0; i < writers.Count; i++)
        {
            var (writer, expected, found) = (writers[i], writers[i].State, contents.Writers[i]);
            Acknowledged += writer.History.Count;
            writer.History.Clear();
            var happened = CompareEntries(expected, found, writer.Unknown as ServedOperation.Append, Fail)
                | CompareTransactions(expected, found, writer.Unknown as ServedOperation.Transaction, Fail)
                | CompareGroups(expected, found, writer.Unknown, contents.Log, Fail);
            if (writer.Unknown is not null)
                Unknown++;
            if (happened)
                Recovered++;
            writer.State = found;
            writer.Unknown = null;

            void Fail(int lost, string text)
            {
                Lost += lost;
                _violations.Add($"round {round}, writer {i}: {text} (under way: {writers[i].Unknown})");
            }
        }
    }

    /// <summary>
    /// Acknowledged operations may be lost, but only the last: nothing that was sent after a lost one was acknowledged may be there. Each writer's
    /// entries and transactions are whole and without a gap.
    /// </summary>
    /// <returns>How long before <paramref name="faultAt"/> the first lost operation was acknowledged; null when none is lost.</returns>
    public TimeSpan? CheckSuffix(IPEndPoint endpoint, IReadOnlyList<ServedWriter> writers, long faultAt, string round)
    {
        var contents = Read(endpoint, writers.Count, round);
        var survived = new List<Acknowledged>();
        var lost = new List<Acknowledged>();
        for (var i = 0; i < writers.Count; i++)
        {
            foreach (var acknowledged in writers[i].History)
            {
                if (HasSurvived(acknowledged.Operation, contents.Writers[i]) is { } has)
                    (has ? survived : lost).Add(acknowledged);
            }
        }

        Acknowledged += survived.Count + lost.Count;
        Lost += lost.Count;
        if (lost.Count == 0)
            return null;
        var firstLost = lost.MinBy(static entry => entry.AckedAt);
        var behind = survived.Where(entry => entry.SentAt > firstLost.AckedAt).ToList();
        if (behind.Count > 0)
            _violations.Add($"round {round}: {firstLost.Operation} is lost, and {behind.Count} that came after it are there, such as {behind[0].Operation}");
        return TimeProvider.System.GetElapsedTime(firstLost.AckedAt, faultAt);
    }

    public void Add(string violation) => _violations.Add(violation);

    private ServedContents Read(IPEndPoint endpoint, int writers, string round)
    {
        using var client = new RawConnection(endpoint);
        var contents = ServedContents.Read(client, writers);
        _violations.AddRange(contents.Violations.Select(violation => $"round {round}: {violation}"));
        Doubled += contents.Doubled;
        return contents;
    }

    /// <summary>Returns whether what was under way took place, also by a part: its entries are commands of their own.</summary>
    private static bool CompareEntries(ServedState expected, ServedState found, ServedOperation.Append? unknown, Action<int, string> fail)
    {
        if (found.Entries.Count < expected.Entries.Count)
            fail(expected.Entries.Count - found.Entries.Count, $"{found.Entries.Count} entries are there of {expected.Entries.Count} acknowledged");
        if (found.Entries.Count > expected.Entries.Count + (unknown?.Count ?? 0))
            fail(0, $"{found.Entries.Count} entries are there, and {expected.Entries.Count} were acknowledged");
        foreach (var (id, actual) in expected.Entries.Zip(found.Entries))
        {
            if (id != actual)
                fail(1, $"an entry acknowledged as {id} is at {actual}");
        }

        return found.Entries.Count > expected.Entries.Count;
    }

    private static bool CompareTransactions(ServedState expected, ServedState found, ServedOperation.Transaction? unknown, Action<int, string> fail)
    {
        var surplus = found.Transactions - expected.Transactions;
        if (surplus < 0 || surplus > (unknown is null ? 0 : 1))
            fail(Math.Max(0, -surplus), $"{found.Transactions} transactions are there of {expected.Transactions} acknowledged");
        return surplus > 0;
    }

    private static bool CompareGroups(ServedState expected, ServedState found, ServedOperation? unknown, List<EntryId> log, Action<int, string> fail)
    {
        if (HasSameGroups(expected, found))
            return false;

        // The state as it is when the operation under way took place. What a read delivered, only the log can tell.
        if (unknown is ServedOperation.Read read)
        {
            foreach (var id in log.Where(id => id > expected.LastDelivered).Take(read.Count).TakeWhile(id => id <= found.LastDelivered).ToList())
                read.Deliver(expected, id);
        }
        else if (unknown is ServedOperation.Ack or ServedOperation.Claim or ServedOperation.CreateGroup or ServedOperation.DestroyGroup)
        {
            unknown.Apply(expected, []);
        }

        if (HasSameGroups(expected, found))
            return true;
        if (!expected.Groups.SetEquals(found.Groups))
            fail(expected.Groups.Except(found.Groups).Count(), $"groups are [{string.Join(' ', found.Groups)}], not [{string.Join(' ', expected.Groups)}]");
        if (expected.LastDelivered != found.LastDelivered)
            fail(1, $"the group has delivered up to {found.LastDelivered}, not {expected.LastDelivered}");
        foreach (var id in expected.Pending.Keys.Union(found.Pending.Keys).Order())
        {
            var (isExpected, isFound) = (expected.Pending.TryGetValue(id, out var should), found.Pending.TryGetValue(id, out var has));
            if (isExpected != isFound || should != has)
                fail(1, $"{id} is {(isFound ? $"pending ({has})" : "not pending")} and should be {(isExpected ? $"pending ({should})" : "settled")}");
        }

        return false;
    }

    private static bool HasSameGroups(ServedState left, ServedState right) =>
        left.Groups.SetEquals(right.Groups) && left.LastDelivered == right.LastDelivered && left.Pending.SequenceEqual(right.Pending);

    /// <summary>Whether an acknowledged operation is there; null when what came later may hide it.</summary>
    private static bool? HasSurvived(ServedOperation operation, ServedState found) => operation switch
    {
        ServedOperation.Append append => found.Entries.Count >= append.First + append.Count,
        ServedOperation.Transaction transaction => found.Transactions > transaction.Number,
        ServedOperation.Ack ack => ack.Ids.All(id => id <= found.LastDelivered && !found.Pending.ContainsKey(id)),
        _ => null,
    };
}
