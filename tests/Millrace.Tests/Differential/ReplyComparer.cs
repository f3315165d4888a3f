namespace Millrace.Tests.Differential;

/// <summary>
/// Compares two replies to one command. Equal bytes are equal; otherwise clock readings are levelled, sets without order are sorted, and the
/// <see cref="VersionChanges"/> are applied to our reply. What then still differs is a difference.
/// </summary>
internal sealed class ReplyComparer
{
    // Times of one script lie within its run, which ends long before; thresholds in scripts are far from this.
    private const long ClockToleranceMs = 90_000;
    private const long ClockToleranceSeconds = 90;

    private RespNode? _lastFull;
    private string _lastFullKey = "";

    /// <summary>How often each version change made a difference.</summary>
    public Dictionary<VersionChange, int> Uses { get; } = [];

    /// <summary>Set when the last reply was forgiven although the servers now hold different streams: the key to delete.</summary>
    public string? KeyToRepair { get; private set; }

    /// <summary>Whether the replies are the same. The reference is redis-server 7.0.15.</summary>
    /// <param name="command">The command.</param>
    /// <param name="queued">The commands between MULTI and EXEC, for the reply to EXEC.</param>
    /// <param name="reference">The reply of the reference.</param>
    /// <param name="subject">Our reply.</param>
    public bool AreSame(Command command, IReadOnlyList<Command>? queued, ReadOnlySpan<byte> reference, ReadOnlySpan<byte> subject)
    {
        KeyToRepair = null;
        // Kept also when the bytes are the same: XINFO GROUPS, which follows, is checked against it.
        var isFull = IsFull(command);
        if (!isFull && (command.IsReplyIgnored || reference.SequenceEqual(subject)))
            return true;
        return AreSame(command, queued, RespNode.Parse(reference), RespNode.Parse(subject));
    }

    /// <summary>Whether the reference woke a read that waits although it has nothing to say, which ours waits on for.</summary>
    public bool IsNeedlessWake(ReadOnlySpan<byte> reference)
    {
        var streams = RespNode.Parse(reference) switch
        {
            { Prefix: (byte)'%', Children: { } pairs } => pairs.Where((_, i) => i % 2 == 1),
            { Prefix: (byte)'*', Children: { } items } => items.Select(item => item.Children?.ElementAtOrDefault(1)),
            _ => [],
        };
        var isNeedless = streams.Any() && streams.All(entries => entries?.Children is []);
        if (isNeedless)
            Count(VersionChanges.BlockedReadReruns);
        return isNeedless;
    }

    private bool AreSame(Command command, IReadOnlyList<Command>? queued, RespNode reference, RespNode subject)
    {
        if (command.IsReplyIgnored)
            return true;
        if (command.Name == "EXEC" && queued is not null && reference.Children is { } left && subject.Children is { } right)
            return left.Count == right.Count && left.Count == queued.Count
                && Enumerable.Range(0, left.Count).All(i => AreSame(queued[i], null, left[i], right[i]));

        if (IsFull(command))
        {
            _lastFullKey = command.Arguments[2];
            _lastFull = subject.IsError ? null : subject;
        }

        if (reference.IsError || subject.IsError)
            return reference.IsSame(subject) || IsChangedError(command, reference, subject);

        Sort(command, reference, subject);
        ApplyFieldChanges(command, subject);
        LevelClocks(command, reference, subject);
        LevelLag(command, reference, subject);
        return reference.IsSame(subject);
    }

    private static bool IsFull(Command command) => command.Name == "XINFO" && command.Has(1, "STREAM") && command.Has(3, "FULL");

    private static void Sort(Command command, RespNode reference, RespNode subject)
    {
        foreach (var reply in (RespNode[])[reference, subject])
        {
            if (command.Name is "KEYS" or "SMEMBERS")
                reply.Sort();
            else if (command.Name == "SCAN" && reply.Children is [_, var keys])
                keys.Sort();
        }
    }

    private static void LevelClocks(Command command, RespNode reference, RespNode subject)
    {
        switch (command.Name)
        {
            case "TTL" or "EXPIRETIME":
                RespNode.Level(reference, subject, ClockToleranceSeconds);
                break;
            case "PTTL" or "PEXPIRETIME":
                RespNode.Level(reference, subject, ClockToleranceMs);
                break;
            case "XPENDING":
                LevelTimes(reference, subject, 2);
                break;
            case "XINFO" when command.Has(1, "CONSUMERS"):
                foreach (var (left, right) in Pairs(reference, subject))
                    RespNode.Level(left.Find("idle"), right.Find("idle"), ClockToleranceMs);
                break;
            case "XINFO" when IsFull(command):
                foreach (var (left, right) in Pairs(reference.Find("groups"), subject.Find("groups")))
                    LevelGroup(left, right);
                break;
        }
    }

    private static void LevelGroup(RespNode reference, RespNode subject)
    {
        LevelTimes(reference.Find("pending"), subject.Find("pending"), 2);
        foreach (var (left, right) in Pairs(reference.Find("consumers"), subject.Find("consumers")))
        {
            RespNode.Level(left.Find("seen-time"), right.Find("seen-time"), ClockToleranceMs);
            LevelTimes(left.Find("pending"), right.Find("pending"), 1);
        }
    }

    // Lists whose elements have a time at one place.
    private static void LevelTimes(RespNode? reference, RespNode? subject, int index)
    {
        foreach (var (left, right) in Pairs(reference, subject))
        {
            if (left.Children?.Count > index && right.Children?.Count > index)
                RespNode.Level(left.Children[index], right.Children[index], ClockToleranceMs);
        }
    }

    private static IEnumerable<(RespNode Left, RespNode Right)> Pairs(RespNode? left, RespNode? right) =>
        left?.Children is { } lefts && right?.Children is { } rights ? lefts.Zip(rights) : [];

    private void ApplyFieldChanges(Command command, RespNode subject)
    {
        if (command.Name != "XINFO" || subject.Children is null)
            return;
        if (command.Has(1, "CONSUMERS"))
        {
            foreach (var consumer in subject.Children)
                Remove(VersionChanges.ConsumerInactive, consumer, "inactive");
        }
        else if (command.Has(1, "STREAM"))
        {
            foreach (var field in (string[])["idmp-duration", "idmp-maxsize", "pids-tracked", "iids-tracked", "iids-added", "iids-duplicates"])
                Remove(VersionChanges.IdempotenceFields, subject, field);
            foreach (var group in IsFull(command) ? subject.Find("groups")?.Children ?? [] : [])
            {
                Remove(VersionChanges.NackedCount, group, "nacked-count");
                foreach (var consumer in group.Find("consumers")?.Children ?? [])
                    Remove(VersionChanges.ConsumerInactive, consumer, "active-time");
            }
        }
    }

    private void Remove(VersionChange change, RespNode map, string field)
    {
        if (map.Remove(field))
            Count(change);
    }

    private void LevelLag(Command command, RespNode reference, RespNode subject)
    {
        if (IsFull(command))
        {
            foreach (var (left, right) in Pairs(reference.Find("groups"), subject.Find("groups")))
                LevelLag(left, right, LagRule.Holds(subject, right));
        }
        else if (command.Name == "XINFO" && command.Has(1, "GROUPS") && _lastFull is not null && _lastFullKey == command.Arguments[2])
        {
            foreach (var ((left, right), full) in Pairs(reference, subject).Zip(_lastFull.Find("groups")?.Children ?? []))
                LevelLag(left, right, IsSameField(full, right, "lag") && IsSameField(full, right, "entries-read"));
        }
    }

    private void LevelLag(RespNode reference, RespNode subject, bool isRight)
    {
        if (!isRight || (IsSameField(reference, subject, "lag") && IsSameField(reference, subject, "entries-read")))
            return;

        // Ours stays as it is: it may be the reply that XINFO GROUPS is checked against.
        foreach (var field in (string[])["lag", "entries-read"])
            reference.Set(field, subject.Find(field)!);
        Count(VersionChanges.Lag);
    }

    private static bool IsSameField(RespNode left, RespNode right, string name) =>
        left.Find(name) is { } one && right.Find(name) is { } other && one.IsSame(other);

    private bool IsChangedError(Command command, RespNode reference, RespNode subject)
    {
        var (theirs, ours) = (reference.IsError ? reference.Text : "", subject.IsError ? subject.Text : "");
        VersionChange? change = null;
        if (command.Name == "XREADGROUP" && IsBlockedEnd(theirs) && (ours.StartsWith("NOGROUP ", StringComparison.Ordinal) || ours == WrongType))
            change = VersionChanges.BlockedReadReruns;
        else if (command.Name is "XREAD" or "XREADGROUP" && IsUnbalanced(theirs) && IsUnbalanced(ours))
            change = VersionChanges.UnbalancedText;
        else if (command.Name == "XADD" && theirs == TooLarge && ours.EndsWith(SmallerId, StringComparison.Ordinal))
            change = VersionChanges.FullMillisecondText;
        else if (theirs == $"{ours}, with args beginning with: " && ours.StartsWith("ERR unknown command '", StringComparison.Ordinal))
            change = VersionChanges.UnknownCommandTail;
        else if (command.Name == "XSETID" && (reference.Text == "OK" || theirs == BelowTop) && ours == BelowMaxDeleted)
            change = VersionChanges.SetIdBelowMaxDeleted;

        if (change == VersionChanges.SetIdBelowMaxDeleted && !reference.IsError)
            KeyToRepair = command.Arguments[1];
        if (change is not null)
            Count(change);
        return change is not null;
    }

    private const string WrongType = "WRONGTYPE Operation against a key holding the wrong kind of value";
    private const string TooLarge = "ERR Elements are too large to be stored";
    private const string SmallerId = "is equal or smaller than the target stream top item";
    private const string BelowTop = "ERR The ID specified in XSETID is smaller than the target stream top item";
    private const string BelowMaxDeleted = "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id";

    private static bool IsBlockedEnd(string error) =>
        error is "UNBLOCKED the stream key no longer exists" or "NOGROUP the consumer group this client was blocked on no longer exists";

    private static bool IsUnbalanced(string error) => error.StartsWith("ERR Unbalanced ", StringComparison.Ordinal);

    private void Count(VersionChange change) => Uses[change] = Uses.GetValueOrDefault(change) + 1;
}
