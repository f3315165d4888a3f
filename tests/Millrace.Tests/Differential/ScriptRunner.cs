using System.Globalization;
using System.Text;

namespace Millrace.Tests.Differential;

/// <summary>Runs a script on both servers and compares every reply.</summary>
/// <param name="reference">redis-server 7.0.15.</param>
/// <param name="subject">The server under test.</param>
internal sealed class ScriptRunner(Side reference, Side subject)
{
    private readonly ReplyComparer _comparer = new();
    private readonly List<Command> _batch = [];
    private readonly List<Command> _queued = [];
    private readonly Command?[] _waiting = new Command?[Side.Blockers];
    private bool _isInTransaction;

    /// <summary>How often each version change made a difference, over all runs.</summary>
    public IReadOnlyDictionary<VersionChange, int> Uses => _comparer.Uses;

    /// <summary>Commands whose replies were compared, over all runs.</summary>
    public long Compared { get; private set; }

    /// <summary>Of these, how many were errors, by command name; and all, by command name.</summary>
    public SortedDictionary<string, (int All, int Errors)> Coverage { get; } = new(StringComparer.Ordinal);

    /// <summary>Keeps commands and replies, for showing; null when not wanted.</summary>
    public List<string>? Transcript { get; set; }

    /// <summary>Runs a script from empty servers and fresh connections, and at the end compares all that the servers hold.</summary>
    /// <returns>The first difference, or null.</returns>
    public Difference? Run(IReadOnlyList<Unit> script, int protocol)
    {
        reference.Reset(protocol);
        subject.Reset(protocol);
        Array.Clear(_waiting);
        _batch.Clear();
        _isInTransaction = false;
        var unit = 0;
        try
        {
            for (; unit < script.Count; unit++)
                RunUnit(script[unit]);
            Flush();
            for (var blocker = 0; blocker < Side.Blockers; blocker++)
                Free(blocker, "TIMEOUT");
            foreach (var question in Inventory.Questions)
                RunUnit(question);
            Flush();
            return null;
        }
        catch (DifferenceException exception)
        {
            return new(Math.Min(unit, script.Count - 1), exception.Command, exception.Reference, exception.Subject);
        }
    }

    private void RunUnit(Unit unit)
    {
        switch (unit.Kind)
        {
            case UnitKind.Block:
                Flush();
                Free(unit.Blocker, "TIMEOUT");
                Block(unit);
                break;
            case UnitKind.Unblock:
                Flush();
                Free(unit.Blocker, unit.Commands[0].Arguments[2]);
                break;
            default:
                if (unit.StartsPipeline)
                    Flush();
                foreach (var command in unit.Commands)
                    Add(command);
                break;
        }
    }

    private void Add(Command command)
    {
        if (ClampedPosition(command) is { } position)
        {
            Flush();
            var key = command.Arguments[2];
            var read = long.Parse(command.Arguments[position], CultureInfo.InvariantCulture);
            var arguments = command.Arguments.ToArray();
            arguments[position] = Math.Min(read, reference.EntriesAdded(key)).ToString(CultureInfo.InvariantCulture);
            command = new(arguments);
        }

        _batch.Add(command);
        // A repair must come before anything else sees the stream, and a wake with nothing in it before the next write.
        if (command.Name == "XSETID" || (MayWakeNeedlessly(command) && _waiting.Any(waiting => waiting is not null)))
            Flush();
    }

    // An XADD that trims may take away what it has just added.
    private static bool MayWakeNeedlessly(Command command) =>
        command.Name == "EXEC" || (command.Name == "XADD" && command.Arguments.Skip(2).Any(
            argument => argument.Equals("MINID", StringComparison.OrdinalIgnoreCase) || argument.Equals("MAXLEN", StringComparison.OrdinalIgnoreCase)));

    // Where a positive ENTRIESREAD stands in an XGROUP outside of transactions: VersionChanges.EntriesReadClamped.
    private static int? ClampedPosition(Command command)
    {
        if (command.Name != "XGROUP")
            return null;
        var word = Array.FindIndex(command.Arguments, argument => argument.Equals("ENTRIESREAD", StringComparison.OrdinalIgnoreCase));
        return word > 0 && word + 1 < command.Arguments.Length && long.TryParse(command.Arguments[word + 1], out var read) && read > 0
            ? word + 1
            : null;
    }

    private void Flush()
    {
        if (_batch.Count == 0)
            return;

        reference.Main.Send(_batch);
        subject.Main.Send(_batch);
        string? repair = null;
        foreach (var command in _batch)
        {
            var left = Read(reference, reference.Main, command);
            var right = Read(subject, subject.Main, command);
            Compare(command, left, right);
            Track(command, left);
            repair ??= _comparer.KeyToRepair;
        }

        _batch.Clear();
        if (repair is not null)
            Repair(repair);
        for (var blocker = 0; blocker < Side.Blockers; blocker++)
            Settle(blocker);
    }

    private void Repair(string key)
    {
        foreach (var side in (Side[])[reference, subject])
            side.Main.Ask("DEL", key);
    }

    private void Block(Unit unit)
    {
        foreach (var command in unit.Commands)
        {
            reference.Blocker(unit.Blocker).Send(command);
            subject.Blocker(unit.Blocker).Send(command);
            _waiting[unit.Blocker] = command;
            Settle(unit.Blocker);
        }
    }

    // The quiet point: each server has either answered the read or said that it waits; then it must be the same on both.
    private void Settle(int blocker)
    {
        if (_waiting[blocker] is not { } command)
            return;

        var isBlocked = WaitOrFail(command, reference, blocker);
        if (isBlocked != WaitOrFail(command, subject, blocker))
        {
            if (isBlocked)
                throw new DifferenceException(command, "(blocked)", Show(Read(subject, subject.Blocker(blocker), command)));
            ForgiveWake(command, blocker);
            return;
        }

        if (isBlocked)
        {
            Transcript?.Add($"{command}   (on connection {blocker + 1}; waits)");
            return;
        }

        _waiting[blocker] = null;
        Compare(command, Read(reference, reference.Blocker(blocker), command), Read(subject, subject.Blocker(blocker), command));
    }

    // VersionChanges.BlockedReadReruns. Our read is ended, too, so that neither side waits.
    private void ForgiveWake(Command command, int blocker)
    {
        var reply = Read(reference, reference.Blocker(blocker), command);
        if (!_comparer.IsNeedlessWake(reply))
            throw new DifferenceException(command, Show(reply), "(blocked)");
        subject.Unblock(blocker, "TIMEOUT");
        Read(subject, subject.Blocker(blocker), command);
        _waiting[blocker] = null;
    }

    private static bool WaitOrFail(Command command, Side side, int blocker)
    {
        try
        {
            return side.IsBlocked(blocker);
        }
        catch (NoReplyException exception)
        {
            throw new DifferenceException(command, "", exception.Message);
        }
    }

    private void Free(int blocker, string how)
    {
        if (_waiting[blocker] is null)
            return;

        Compare(new("CLIENT", "UNBLOCK", $"connection-{blocker + 1}", how), reference.Unblock(blocker, how), subject.Unblock(blocker, how));
        Settle(blocker);
        if (_waiting[blocker] is { } command)
            throw new DifferenceException(command, "(still blocked)", "(still blocked)");
    }

    private static ReadOnlySpan<byte> Read(Side side, RawConnection connection, Command command)
    {
        try
        {
            var reply = connection.Read();
            return side.Falsify is { } falsify ? falsify(command, reply.ToArray()) : reply;
        }
        catch (NoReplyException exception)
        {
            return Encoding.Latin1.GetBytes($"-({exception.Message})\r\n");
        }
    }

    private void Compare(Command command, ReadOnlySpan<byte> left, ReadOnlySpan<byte> right)
    {
        Compared++;
        var (all, errors) = Coverage.GetValueOrDefault(command.Name);
        Coverage[command.Name] = (all + 1, errors + (left[0] == '-' ? 1 : 0));
        Transcript?.Add($"{command}\n    {Show(left)}");
        if (!_comparer.AreSame(command, _queued, left, right))
            throw new DifferenceException(command, Show(left), Show(right));
    }

    // Which commands the reply to EXEC answers.
    private void Track(Command command, ReadOnlySpan<byte> reply)
    {
        if (reply.SequenceEqual("+QUEUED\r\n"u8))
        {
            _queued.Add(command);
            return;
        }

        if (command.Name == "MULTI" && reply[0] == '+')
            _isInTransaction = true;
        if (command.Name is "MULTI" or "EXEC" or "DISCARD" && !(command.Name == "MULTI" && _isInTransaction && reply[0] == '-'))
            _queued.Clear();
        if (command.Name is "EXEC" or "DISCARD")
            _isInTransaction = false;
    }

    private static string Show(ReadOnlySpan<byte> reply) => RespNode.Parse(reply).ToString();
}

/// <summary>Where a script first got two different replies.</summary>
/// <param name="Unit">Index of the unit that was being sent, at the latest.</param>
/// <param name="Command">The command.</param>
/// <param name="Reference">What redis-server 7.0.15 said.</param>
/// <param name="Subject">What the server under test said.</param>
internal sealed record Difference(int Unit, Command Command, string Reference, string Subject);

internal sealed class DifferenceException(Command command, string reference, string subject) : Exception
{
    public Command Command => command;
    public string Reference => reference;
    public string Subject => subject;
}
