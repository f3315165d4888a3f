namespace Millrace.Tests.Differential;

// Groups: administering, reading, settling, claiming.
internal sealed partial class ScriptGenerator
{
    private Command Group(bool isInTransaction)
    {
        var word = _pick.Word("XGROUP");
        return _pick.Number(40) switch
        {
            < 16 => new([word, _pick.Word("CREATE"), _pick.Stream(), _pick.Group(), GroupStart(), .. CreateOptions(isInTransaction)]),
            < 22 => new([word, _pick.Word("SETID"), _pick.Stream(), _pick.Group(), GroupStart(), .. EntriesRead(isInTransaction, 30)]),
            < 28 => new(word, _pick.Word("CREATECONSUMER"), _pick.Stream(), _pick.Group(), _pick.Consumer()),
            < 33 => new(word, _pick.Word("DELCONSUMER"), _pick.Stream(), _pick.Group(), _pick.Consumer()),
            < 36 => new(word, _pick.Word("DESTROY"), _pick.Stream(), _pick.Group()),
            36 => new(word, _pick.Word("HELP")),
            37 => new(word, _pick.One("FOO", "", "CREAT", "CREATE", "DESTROY", "SETID", "DELCONSUMER", "CREATECONSUMER"), _pick.Stream()),
            38 => new(word, "CREATE", _pick.Stream(), _pick.Group(), GroupStart(), _pick.One("FOO", "ENTRIESREAD", "MKSTREAM", "mkstream", "1")),
            _ => new(word, _pick.One("HELP", "FOO", "DESTROY"), _pick.One("HELP", "k0"), "x", "y", "z", "a", "b"),
        };
    }

    private string GroupStart() => _pick.Number(10) switch
    {
        < 3 => "$",
        < 6 => "0",
        _ => _pick.IdOrBad(8),
    };

    private IEnumerable<string> CreateOptions(bool isInTransaction)
    {
        if (_pick.Chance(60))
            yield return _pick.Word("MKSTREAM");
        foreach (var argument in EntriesRead(isInTransaction, 20))
            yield return argument;
    }

    // Positive numbers are lowered as VersionChanges.EntriesReadClamped says when they are sent; in a transaction that cannot be.
    private IEnumerable<string> EntriesRead(bool isInTransaction, int percent)
    {
        if (!_pick.Chance(percent))
            return [];
        return
        [
            _pick.Word("ENTRIESREAD"),
            isInTransaction || _pick.Chance(30) ? _pick.One("0", "-1", "-2", "abc", "9223372036854775808", "") : $"{_pick.Number(300)}",
        ];
    }

    // The command, and what makes both servers know its consumers again: VersionChanges.ConsumerAlwaysCreated.
    private void AddWithConsumer(Command command, string group, string consumer, IEnumerable<string> keys) =>
        Add([command, .. keys.Distinct().Select(key => new Command("XGROUP", "CREATECONSUMER", key, group, consumer) { IsReplyIgnored = true })]);

    private void AddGroupRead()
    {
        var (group, consumer, keys, arguments) = GroupRead(null);
        AddWithConsumer(new([.. arguments]), group, consumer, keys);
    }

    private IEnumerable<Command> GroupReadInTransaction()
    {
        var (group, consumer, keys, arguments) = GroupRead(_pick.Chance(30) ? ["BLOCK", "0"] : null);
        return
        [
            .. keys.Distinct().Select(key => new Command("XGROUP", "CREATECONSUMER", key, group, consumer)),
            new([.. arguments]),
        ];
    }

    private (string Group, string Consumer, string[] Keys, List<string> Arguments) GroupRead(string[]? block, bool mayWait = false)
    {
        var (group, consumer) = (_pick.Group(), _pick.Consumer());
        List<string> arguments = [_pick.Word("XREADGROUP"), _pick.Word("GROUP"), group, consumer];
        if (_pick.Chance(65))
            arguments.AddRange([_pick.Word("COUNT"), _pick.Count()]);
        if (block is not null)
            arguments.AddRange(block);
        if (_pick.Chance(8))
            arguments.Add(_pick.Word("NOACK"));
        if (_pick.Chance(2))
            arguments.AddRange(_pick.One<string[]>(["FOO"], ["COUNT"], ["GROUP"], ["BLOCK", "-1"]));
        var before = arguments.Count;
        arguments.AddRange(StreamsAndIds(() => _pick.Number(40) switch
        {
            < 26 => ">",
            < 30 => "0",
            < 38 => _pick.UsedId(),
            38 => "$",
            _ => NoPlus(_pick.IdOrBad(80)),
        }, mayWait));
        var names = arguments.Skip(before + 1).ToArray();
        return (group, consumer, names[..((names.Length + 1) / 2)], arguments);
    }

    private Command Acknowledge() => new([_pick.Word("XACK"), _pick.Stream(), _pick.Group(), .. Ids(2)]);

    private Command Pending()
    {
        List<string> arguments = [_pick.Word("XPENDING"), _pick.Stream(), _pick.Group()];
        if (_pick.Chance(25))
            return new([.. arguments]);
        if (_pick.Chance(25))
            arguments.AddRange([_pick.Word("IDLE"), _pick.MinIdle()]);
        arguments.AddRange([_pick.Bound("-"), _pick.Bound("+"), _pick.Chance(75) ? "100" : _pick.Count()]);
        if (_pick.Chance(40))
            arguments.Add(_pick.Consumer());
        return new([.. arguments]);
    }

    private void AddClaim()
    {
        var (key, group, consumer) = (_pick.Stream(), _pick.Group(), _pick.Consumer());
        List<string> arguments = [_pick.Word("XCLAIM"), key, group, consumer, _pick.MinIdle(), .. Ids(3)];
        if (_pick.Chance(20))
            arguments.AddRange([_pick.Word("IDLE"), _pick.Chance(90) ? _pick.One("0", "1000000", "-5") : _pick.OddCount()]);
        if (_pick.Chance(10))
            arguments.AddRange([_pick.Word("TIME"), _pick.Chance(90) ? _pick.One("1", "0", "9000000000000", "-5") : _pick.OddCount()]);
        if (_pick.Chance(15))
            arguments.AddRange([_pick.Word("RETRYCOUNT"), _pick.Chance(90) ? _pick.One("0", "1", "7", "-1") : _pick.OddCount()]);
        if (_pick.Chance(35))
            arguments.Add(_pick.Word("FORCE"));
        if (_pick.Chance(30))
            arguments.Add(_pick.Word("JUSTID"));
        if (_pick.Chance(5))
            arguments.AddRange([_pick.Word("LASTID"), _pick.IdOrBad(10)]);
        if (_pick.Chance(2))
            arguments.Add(_pick.One("FOO", "IDLE", "TIME", "RETRYCOUNT", "LASTID"));
        AddWithConsumer(new([.. arguments]), group, consumer, [key]);
    }

    private void AddAutoClaim()
    {
        var (key, group, consumer) = (_pick.Stream(), _pick.Group(), _pick.Consumer());
        List<string> arguments =
            [_pick.Word("XAUTOCLAIM"), key, group, consumer, _pick.MinIdle(), _pick.Chance(50) ? "0" : _pick.Bound("-")];
        if (_pick.Chance(60))
            arguments.AddRange([_pick.Word("COUNT"), _pick.Count()]);
        if (_pick.Chance(30))
            arguments.Add(_pick.Word("JUSTID"));
        if (_pick.Chance(2))
            arguments.Add(_pick.One("FOO", "COUNT"));
        AddWithConsumer(new([.. arguments]), group, consumer, [key]);
    }

    private void AddInfo()
    {
        switch (_pick.Number(20))
        {
            case < 7:
                Add([.. InfoPair()]);
                break;
            case < 11:
                Add(new Command(_pick.Word("XINFO"), _pick.Word("STREAM"), _pick.Stream()));
                break;
            case < 18:
                Add(new Command(_pick.Word("XINFO"), _pick.Word("CONSUMERS"), _pick.Stream(), _pick.Group()));
                break;
            case 18:
                Add(new Command("XINFO", _pick.One("HELP", "FOO", "STREAM", "GROUPS", "CONSUMERS", "")));
                break;
            default:
                Add(new Command("XINFO", "STREAM", _pick.Stream(), _pick.One("FULL", "FOO", "COUNT"), _pick.One("COUNT", "5", "FOO"), _pick.Count()));
                break;
        }
    }

    // The full form first: VersionChanges.Lag.
    private IEnumerable<Command> InfoPair()
    {
        var key = _pick.Stream();
        return
        [
            _pick.Chance(60) ? new("XINFO", "STREAM", key, "FULL") : new("XINFO", "STREAM", key, "FULL", "COUNT", _pick.One("0", "1", "3", "100")),
            new("XINFO", "GROUPS", key),
        ];
    }
}
