using Millrace.Tests.Differential;

namespace Millrace.Tests.Server.Restarts;

/// <summary>
/// A script of the differential tests, with what these leave out in between: what only our server knows, what a clock decides, and the clock.
/// </summary>
internal static class RestartScript
{
    /// <summary>Moves the clock by so many milliseconds, perhaps back.</summary>
    public const string Clock = "!CLOCK";

    /// <summary>Schedules an entry for a stream at the store's other door, after so many milliseconds.</summary>
    public const string Schedule = "!SCHEDULE";

    /// <summary>Stands in a RESTORE for what the DUMP before it gave.</summary>
    public const string Dumped = "!DUMPED";

    private static readonly string[] Streams = ["x0", "x1", "k0"];
    private static readonly string[] Policies = ["KEEPREF", "DELREF", "ACKED"];

    public static IReadOnlyList<Unit> Make(int seed, int commands)
    {
        var random = new Random(seed);
        var pick = new Picks(random);
        List<Unit> script = [];
        foreach (var unit in ScriptGenerator.Make(seed, commands))
        {
            script.Add(unit);
            if (pick.Chance(40))
                script.Add(new(UnitKind.Main, [.. Extra(pick)]));
        }

        return script;
    }

    private static Command[] Extra(Picks pick) => pick.Number(14) switch
    {
        0 => [new("DUMP", AnyKey(pick)), new("RESTORE", AnyKey(pick), pick.One("0", "0", "30"), Dumped, "REPLACE")],
        1 => [new(Clock, pick.One("1", "5", "50", "1000", "-20"))],
        2 => [new(Schedule, pick.One(Streams), pick.One("1", "20", "40"))],
        3 => [Expire(pick)],
        4 or 5 => [StandIn(pick)],
        6 => [Setting(pick)],
        7 => [new("XGROUP", "CREATE", pick.One(Streams), "g0", pick.One("0", "$"), "MKSTREAM")],
        8 => GiveIdAgain(pick),
        9 => EmptyBlock(pick),
        _ => [OnStream(pick)],
    };

    private static Command[] GiveIdAgain(Picks pick)
    {
        var (stream, first, second) = (pick.One(Streams), pick.NextId(), pick.NextId());
        return
        [
            new("XADD", stream, first, "f", "v"),
            new("XADD", stream, second, "f", "v"),
            new("XDEL", stream, second),
            new("XSETID", stream, second, "ENTRIESADDED", pick.One("1000", "9223372036854775807"), "MAXDELETEDID", "0-1"),
            new("XSETID", stream, first),
            new("XADD", stream, second, "f", "v"),
        ];
    }

    private static Command[] EmptyBlock(Picks pick)
    {
        var (stream, first, second, third) = (pick.One(Streams), pick.NextId(), pick.NextId(), pick.NextId());
        return
        [
            new("XADD", stream, first, "f", "v"),
            new("XADD", stream, second, "f", "v"),
            new("XDEL", stream, second),
            new("XTRIM", stream, "MINID", second),
            new("XTRIM", stream, "MINID", third),
        ];
    }

    private static string AnyKey(Picks pick) => pick.Chance(60) ? pick.One(Streams) : pick.One("s", "l", "t", "{x0}:scheduled", "{k0}:scheduled");

    private static Command Expire(Picks pick) => pick.Number(3) switch
    {
        0 => new("PEXPIRE", AnyKey(pick), pick.One("1", "30", "100", "2000")),
        1 => new("SET", "s", "v", "PX", pick.One("1", "30", "100")),
        _ => new("RENAME", AnyKey(pick), AnyKey(pick)),
    };

    private static Command StandIn(Picks pick) => pick.Number(9) switch
    {
        0 => new("APPEND", "s", pick.Value()),
        1 => new("GETDEL", "s"),
        2 => new("INCRBY", "n", pick.OddCount()),
        3 => new("RPUSH", "l", pick.Value(), pick.Value()),
        4 => new("RPOP", "l", pick.Count()),
        5 => new("SADD", "t", pick.Value(), pick.Value()),
        6 => new("SREM", "t", pick.Value(), pick.Value()),
        7 => new("SETNX", "s", pick.Value()),
        _ => new("UNLINK", AnyKey(pick)),
    };

    private static Command Setting(Picks pick) => pick.Number(3) switch
    {
        0 => new("CONFIG", "SET", "stream-idmp-duration", pick.One("1", "2", "100")),
        1 => new("CONFIG", "SET", "stream-idmp-maxsize", pick.One("1", "3", "100")),
        _ => new("CONFIG", "SET", "stream-node-max-entries", pick.One("1", "3", "100", "0")),
    };

    private static Command OnStream(Picks pick)
    {
        var stream = pick.One(Streams);
        var policy = pick.One(Policies);
        return pick.Number(15) switch
        {
            0 or 1 => new("XADD", stream, "IDMP", pick.One("p", "q"), $"i{pick.Number(6)}", "*", "f", "v"),
            2 => new("XADD", stream, "IDMPAUTO", pick.One("p", "q"), "*", "f", $"{pick.Number(4)}"),
            3 => new("XCFGSET", stream, pick.One("IDMP-DURATION", "IDMP-MAXSIZE"), $"{1 + pick.Number(5)}"),
            4 => new("XIDMPRECORD", stream, "p", $"i{pick.Number(6)}", pick.UsedId()),
            5 => new("XDELEX", stream, policy, "IDS", "2", pick.UsedId(), pick.UsedId()),
            6 => new("XACKDEL", stream, "g0", policy, "IDS", "2", pick.UsedId(), pick.UsedId()),
            7 => new("XNACK", stream, "g0", pick.One("SILENT", "FAIL", "FATAL"), "IDS", "2", pick.UsedId(), pick.UsedId(), pick.One("FORCE", "FORCE", "X")),
            8 => new("XREADGROUP", "GROUP", "g0", pick.Consumer(), "COUNT", pick.Count(), "CLAIM", pick.One("0", "1", "20"), "STREAMS", stream, ">"),
            9 => new("XTRIM", stream, "MAXLEN", pick.One("=", "~"), $"{pick.Number(20)}", policy),
            10 => new("XTRIM", stream, "MINID", pick.One("=", "~"), pick.UsedId(), policy),
            11 => new("XSETID", stream, pick.UsedId(), "ENTRIESADDED", $"{pick.Number(100)}", "MAXDELETEDID", pick.One("0-1", pick.UsedId())),
            12 => new("XADD", stream, policy, "MAXLEN", "~", $"{pick.Number(20)}", pick.NextId(), "f", pick.Value()),
            _ => new("XADD", stream, pick.NextId(), "f", pick.Value()),
        };
    }
}
