namespace Millrace.Tests.Differential;

// Entries: adding, reading, removing.
internal sealed partial class ScriptGenerator
{
    private Command Append()
    {
        List<string> arguments = [_pick.Word("XADD"), _pick.Stream()];
        if (_pick.Chance(5))
            arguments.Add(_pick.Word("NOMKSTREAM"));
        if (_pick.Chance(15))
            arguments.AddRange(TrimOptions());
        arguments.Add(_pick.Number(40) switch
        {
            < 31 => _pick.NextId(),
            < 34 => $"{_pick.Ms()}-*",
            34 => "0-*",
            35 => _pick.One("0-0", "0", "0-1", "1"),
            36 => _pick.One("abc-*", "-*", "*-1", "**", "5-**", $"{Picks.Max}1-*"),
            37 => _pick.UsedId(),
            38 => $"00{_pick.NextId()}",
            _ => NoStar(_pick.IdOrBad(50)),
        });
        arguments.AddRange(_pick.Pairs());
        return new([.. arguments]);
    }

    // What the clock would decide is left to AddFutureId.
    private static string NoStar(string id) => id == "*" ? "0-0" : id;

    private IEnumerable<string> TrimOptions()
    {
        var isMax = _pick.Chance(60);
        yield return _pick.Word(isMax ? "MAXLEN" : "MINID");
        var isNear = _pick.Chance(40);
        if (isNear || _pick.Chance(20))
            yield return isNear ? "~" : "=";
        if (isMax)
            yield return _pick.Chance(90) ? $"{_pick.Number(30)}" : _pick.OddCount();
        else
            yield return _pick.IdOrBad();
        if (_pick.Chance(isNear ? 40 : 4))
        {
            yield return _pick.Word("LIMIT");
            yield return _pick.Chance(90) ? $"{_pick.Number(20)}" : _pick.OddCount();
        }

        if (_pick.Chance(3))
        {
            yield return _pick.One("MAXLEN", "MINID", "LIMIT", "NOMKSTREAM");
            yield return _pick.One("5", "~", "=", "0");
        }
    }

    private Command Trim() => _pick.Chance(96)
        ? new([_pick.Word("XTRIM"), _pick.Stream(), .. TrimOptions()])
        : new("XTRIM", _pick.Stream(), _pick.One("LIMIT", "~", "5", "MAXLEN"), _pick.One("5", "MINID", "~"));

    private Command Delete() => new([_pick.Word("XDEL"), _pick.Stream(), .. Ids(2)]);

    private IEnumerable<string> Ids(int badPercent) => Enumerable.Range(0, 1 + _pick.Number(4)).Select(_ => _pick.IdOrBad(badPercent)).ToArray();

    private Command Length() => new(_pick.Word("XLEN"), _pick.Stream());

    private Command Range()
    {
        var isReverse = _pick.Chance(35);
        List<string> arguments = isReverse
            ? [_pick.Word("XREVRANGE"), _pick.Stream(), _pick.Bound("+"), _pick.Bound("-")]
            : [_pick.Word("XRANGE"), _pick.Stream(), _pick.Bound("-"), _pick.Bound("+")];
        if (_pick.Chance(70))
            arguments.AddRange([_pick.Word("COUNT"), _pick.Count()]);
        if (_pick.Chance(3))
            arguments.AddRange(_pick.Chance(50) ? ["COUNT", "2"] : [_pick.One("COUNT", "FOO", "2")]);
        return new([.. arguments]);
    }

    // `+` as an ID is new: VersionChanges.NewWords. BLOCK answers at once only in a transaction.
    private Command Read(bool isInTransaction)
    {
        List<string> arguments = [_pick.Word("XREAD")];
        if (_pick.Chance(60))
            arguments.AddRange([_pick.Word("COUNT"), _pick.Count()]);
        if (isInTransaction && _pick.Chance(40))
            arguments.AddRange(["BLOCK", _pick.One("0", "0", "100", "-1", "abc", "9223372036854775807")]);
        else if (_pick.Chance(3))
            arguments.AddRange(_pick.One<string[]>(["BLOCK", "-1"], ["BLOCK", "abc"], ["NOACK"], ["GROUP", "g0", "c0"], ["FOO"], ["COUNT"]));
        arguments.AddRange(StreamsAndIds(() => _pick.Chance(10) ? _pick.One("$", "0", ">") : NoPlus(_pick.IdOrBad())));
        return new([.. arguments]);
    }

    private static string NoPlus(string id) => id == "+" ? "-" : id;

    // A read that waits names no key twice: VersionChanges.WokenByTransaction.
    private IEnumerable<string> StreamsAndIds(Func<string> id, bool mayWait = false)
    {
        var count = _pick.Chance(78) ? 1 : 1 + _pick.Number(3);
        IEnumerable<string> streams = Enumerable.Range(0, count).Select(_ => _pick.Stream()).ToArray();
        if (mayWait)
            streams = streams.Distinct().ToArray();
        List<string> arguments = [_pick.Word("STREAMS"), .. streams, .. streams.Select(_ => id())];
        if (_pick.Chance(2))
            arguments.RemoveAt(arguments.Count - 1);
        return arguments;
    }

    private Command SetId()
    {
        List<string> arguments = [_pick.Word("XSETID"), _pick.Stream(), _pick.Chance(40) ? _pick.NextId() : _pick.IdOrBad(8)];
        if (_pick.Chance(35))
        {
            arguments.AddRange([_pick.Word("ENTRIESADDED"), _pick.Chance(85) ? $"{_pick.Number(400)}" : _pick.OddCount()]);
            if (_pick.Chance(85))
                arguments.AddRange([_pick.Word("MAXDELETEDID"), _pick.IdOrBad(8)]);
        }
        else if (_pick.Chance(6))
        {
            arguments.AddRange(_pick.One<string[]>(["FOO"], ["ENTRIESADDED"], ["MAXDELETEDID", "1-1"], ["ENTRIESADDED", "5", "ENTRIESADDED", "6"]));
        }

        return new([.. arguments]);
    }
}
