namespace Millrace.Tests.Differential;

/// <summary>
/// Makes a script from a seed. It avoids only what <see cref="VersionChanges"/> names and what a clock decides.
/// </summary>
internal sealed partial class ScriptGenerator
{
    /// <summary>Databases that scripts use.</summary>
    public const int Databases = 3;

    /// <summary>Every key a script may write.</summary>
    public static readonly string[] Keys = [.. Picks.Streams, .. Picks.Others];

    private readonly Picks _pick;
    private readonly List<Unit> _script = [];
    private int _commands;
    private int _database;

    // While reads may wait, transactions hold one write: VersionChanges.WokenByTransaction.
    private bool _mayBlock;

    // While a read waits for several keys, no SWAPDB writes them at once: the same.
    private bool _waitsForSeveral;

    // Commands left of the current pipeline.
    private int _pipelineLeft;

    private ScriptGenerator(Random random) => _pick = new(random);

    /// <summary>At least so many commands, always the same for one seed.</summary>
    public static IReadOnlyList<Unit> Make(int seed, int commands)
    {
        var generator = new ScriptGenerator(new Random(seed));
        generator.Add(generator.NodeSize());
        while (generator._commands < commands)
            generator.AddNext();
        return generator._script;
    }

    private void AddNext()
    {
        var choice = _pick.Number(1000);
        switch (choice)
        {
            case < 20:
                AddTransaction();
                break;
            case < 32:
                AddBlockedReads();
                break;
            case < 36:
                Add(NodeSize());
                break;
            case < 43:
                AddDatabaseCommand();
                break;
            case < 52:
                Add(new Command(_pick.Word("WATCH"), _pick.Key()));
                break;
            case < 58:
                AddFutureId();
                break;
            case < 90:
                AddGroups();
                break;
            case < 92:
                AddBurst();
                break;
            default:
                AddSimple();
                break;
        }
    }

    // Anything but transactions and reads that block.
    private void AddSimple()
    {
        var choice = _pick.Number(1000);
        switch (choice)
        {
            case < 150:
                AddGroupRead();
                break;
            case < 200:
                AddClaim();
                break;
            case < 250:
                AddAutoClaim();
                break;
            case < 300:
                AddInfo();
                break;
            default:
                Add(Break(Any(isInTransaction: false)));
                break;
        }
    }

    // One command on its own, of those that need no other beside them.
    private Command Any(bool isInTransaction)
    {
        return _pick.Number(700) switch
        {
            < 230 => Append(),
            < 265 => Delete(),
            < 285 => Trim(),
            < 345 => Range(),
            < 375 => Read(isInTransaction),
            < 435 => Acknowledge(),
            < 490 => Pending(),
            < 550 => Group(isInTransaction),
            < 565 => isInTransaction ? Length() : SetId(),
            < 580 => Length(),
            < 640 => Generic(),
            < 685 => StandIn(),
            _ => Odd(),
        };
    }

    // Keys vanish and change their types all the time; without this most commands would only ever find that there is no group.
    private void AddGroups()
    {
        var key = _pick.One(Picks.Streams);
        if (_pick.Chance(25))
            Add(new Command("DEL", key));
        else if (_pick.Chance(5))
            Add(new("DEL", key), new("XADD", key, "1-0", "f", "v"), new("OBJECT", "ENCODING", key));
        Add(new("XGROUP", "CREATE", key, "g0", _pick.One("0", "0", "$"), "MKSTREAM"), new("XGROUP", "CREATE", key, "g1", "0", "MKSTREAM"));
    }

    // More entries than a block, a chunk of pending entries, or the reach of XAUTOCLAIM takes.
    private void AddBurst()
    {
        var key = _pick.One(Picks.Streams);
        for (var left = 50 + _pick.Number(250); left > 0; left--)
            Add(new Command("XADD", key, _pick.NextId(), "f", "v"));
        foreach (var consumer in (string[])["c0", "c1"])
        {
            Command read = new("XREADGROUP", "GROUP", "g0", consumer, "COUNT", $"{_pick.Number(200) + 1}", "STREAMS", key, ">");
            AddWithConsumer(read, "g0", consumer, [key]);
        }
    }

    private Command NodeSize() =>
        new("CONFIG", "SET", "stream-node-max-entries", _pick.One("100", "100", "1", "2", "3", "4", "10", "0"));

    private void AddDatabaseCommand()
    {
        if (_pick.Chance(70))
        {
            _database = _database != 0 && _pick.Chance(90) ? 0 : _pick.Number(Databases);
            Add(new Command(_pick.Word("SELECT"), $"{_database}"));
        }
        else
        {
            Add(_pick.Number(8) switch
            {
                0 => new("SELECT", _pick.One("16", "-1", "abc", "99999999999999999999", "")),
                1 when !_waitsForSeveral => new("SWAPDB", $"{_pick.Number(Databases)}", $"{_pick.Number(Databases)}"),
                2 => new("SWAPDB", _pick.One("0", "16", "abc", "-1"), _pick.One("1", "99", "abc")),
                3 => _pick.Chance(30) ? new Command(_pick.One("FLUSHALL", "FLUSHDB"), _pick.One("ASYNC", "SYNC", "NOW")) : new("DBSIZE"),
                4 => _pick.Chance(30) ? new Command(_pick.One("FLUSHDB", "FLUSHALL")) : new("DBSIZE"),
                5 => new("SCAN", "0", "COUNT", "1000", "MATCH", _pick.One("*", "k*", "k[^f]", "?", "none")),
                6 => new("SCAN", "0", "COUNT", "1000", "TYPE", _pick.One("stream", "string", "STREAM", "foo", "set", "list")),
                _ => new("MOVE", _pick.Key(), _pick.One("0", "1", "2", "16", "abc", "-1")),
            });
        }
    }

    // With a last ID in the future `*` depends on no clock.
    private void AddFutureId()
    {
        const string key = Picks.FutureKey;
        var ms = $"90000000000{_pick.Number(90) + 10}";
        Add(_pick.Number(7) switch
        {
            0 or 1 or 2 => [new("XADD", key, $"{ms}-0", "f", "v"), new("XADD", key, "*", "f", "v")],
            3 => [new("XADD", key, $"{ms}-{Picks.Max}", "f", "v"), new("XADD", key, "*", "f", "v"), new("XADD", key, $"{ms}-*", "f", "v")],
            4 => [new("XADD", key, $"{Picks.Max}-{_pick.One("0", "5", Picks.Max)}", "f", "v"), new("XADD", key, "*", "f", "v")],
            5 => [new("XADD", key, $"{Picks.Max}-*", "f", "v"), new("XADD", key, $"{Picks.Max}-*", "f", "v")],
            _ => [new("DEL", key)],
        });
    }

    private void AddTransaction()
    {
        if (_pick.Chance(10))
        {
            Add(_pick.One<Command>(new("EXEC"), new("DISCARD"), new("EXEC", "1"), new("UNWATCH"), new("MULTI", "1")));
            return;
        }

        List<Command> commands = [new(_pick.Word("MULTI"))];
        if (_mayBlock)
        {
            commands.Add(Append());
        }
        else
        {
            for (var left = _pick.Number(7); left > 0; left--)
                commands.AddRange(InTransaction());
        }

        commands.Add(new(_pick.Chance(88) ? "EXEC" : "DISCARD"));
        Add(new Unit(UnitKind.Main, commands) { IsDivisible = true });
    }

    private IEnumerable<Command> InTransaction() => _pick.Number(20) switch
    {
        0 => [new("MULTI")],
        1 => [new("WATCH", _pick.Key())],
        2 or 3 => GroupReadInTransaction(),
        4 => InfoPair(),
        5 => [new("SELECT", _pick.One("16", "abc"))],
        _ => [Break(Any(isInTransaction: true))],
    };

    // A command that is not quite right: an argument too few, too many or in the wrong place.
    private Command Break(Command command)
    {
        if (!_pick.Chance(3) || command.Arguments.Length < 2)
            return command.Arguments.All(argument => argument.Length > 0 && argument.All(c => c is > ' ' and < '\x7f' and not ('"' or '\''))) && _pick.Chance(2)
                ? command with { IsInline = true }
                : command;

        var arguments = command.Arguments.ToList();
        // Unlike the others, these would change what comes after: a clock decides the ID, or a key or database outside of what is compared.
        var at = 1 + _pick.Number(arguments.Count - 1);
        switch (_pick.Number(3))
        {
            case 0:
                arguments.RemoveAt(arguments.Count - 1);
                break;
            case 1:
                arguments.RemoveAt(at);
                break;
            default:
                arguments.Add(_pick.One("x", "COUNT", "0", "", "NOMKSTREAM", "LIMIT", "5-1"));
                break;
        }

        return IsHarmless(command.Name, arguments) ? new([.. arguments]) : command;
    }

    // What an argument left out makes of a command must not depend on a clock, leave the keys that are compared, or block.
    private static bool IsHarmless(string name, List<string> arguments) => name switch
    {
        "XADD" => arguments.Count < 3 || (Keys.Contains(arguments[1]) && !arguments.Contains("*")),
        "XGROUP" or "XSETID" or "XREAD" or "XREADGROUP" or "SET" or "RENAME" or "RENAMENX" or "COPY" or "CONFIG" or "SELECT" or "SWAPDB" => arguments.Count < 4,
        "LPUSH" or "RPUSH" or "SADD" or "INCR" or "DECR" or "SETNX" or "INCRBY" or "DECRBY" or "APPEND" => arguments.Count < 3,
        // With an argument less these show the server or the client.
        "CLIENT" or "COMMAND" or "HELLO" or "TIME" or "ROLE" => false,
        _ => true,
    };

    private void Add(params Command[] commands) => Add(new Unit(UnitKind.Main, commands));

    private void Add(Unit unit)
    {
        if (unit.Kind == UnitKind.Main)
        {
            _pipelineLeft -= unit.Commands.Count;
            if (_pipelineLeft <= 0)
            {
                unit = unit with { StartsPipeline = true };
                _pipelineLeft = _pick.Chance(10) ? 1 : _pick.Number(60);
            }
        }

        _commands += unit.Commands.Count;
        _script.Add(unit);
    }
}
