namespace Millrace.Tests.Differential;

// What real clients send around streams.
internal sealed partial class ScriptGenerator
{
    private Command Generic()
    {
        switch (_pick.Number(30))
        {
            case < 4:
                return new(_pick.Word(_pick.One("DEL", "UNLINK")), _pick.Key());
            case 4:
                return new(_pick.One("DEL", "UNLINK", "EXISTS", "TOUCH"), _pick.Key(), _pick.Key(), "none");
            case 5:
                return new(_pick.Word("EXISTS"), _pick.Key(), _pick.Key());
            case < 8:
                return new(_pick.Word("TYPE"), _pick.Key());
            case 8:
                return new(_pick.Word("RENAME"), _pick.Key(), _pick.Key());
            case 9:
                return new("RENAMENX", _pick.Key(), _pick.Key());
            case < 14:
                return Copy();
            case < 21:
                return Expire();
            case < 23:
                return new(_pick.One("TTL", "PTTL", "EXPIRETIME", "PEXPIRETIME"), _pick.Key());
            case 23:
                return new("PERSIST", _pick.Key());
            case 24:
                return new("OBJECT", "ENCODING", "nothing");
            case 25:
                return new("KEYS", _pick.One("*", "k?", "k[0-1]", "k*", "[^k]*", "none", "\\k0", "k[", ""));
            case 26:
                return new(_pick.Word("PING"), _pick.Value());
            case 27:
                return new(_pick.Word("ECHO"), _pick.Value());
            case 28:
                return new("PUBLISH", "channel", _pick.Value());
            default:
                return new(_pick.One<string[]>([["PING"], ["DBSIZE"], ["UNWATCH"], ["CLIENT", "GETNAME"], ["CLIENT", "SETNAME", "me"],
                    ["CLIENT", "SETNAME", "a b"], ["CLIENT", "UNBLOCK", "999999999"], ["CLIENT", "UNBLOCK", "abc"], ["WAIT", "0", "0"],
                    ["CONFIG", "GET", "stream-node-max-entries"], .. Administration]));
        }
    }

    // Mostly what goes wrong: what goes right shows a version, a port, or a client.
    private static readonly string[][] Administration =
    [
        ["CLIENT", "FOO"], ["CLIENT", "ID", "x"], ["CLIENT", "KILL", "1.2.3.4:5"], ["CLIENT", "KILL", "ID", "abc"], ["CLIENT", "KILL", "FOO", "x"],
        ["CLIENT", "KILL", "TYPE", "foo"], ["CLIENT", "KILL"], ["CLIENT", "LIST", "TYPE", "foo"], ["CLIENT", "LIST", "ID", "abc"],
        ["CLIENT", "LIST", "FOO"], ["CLIENT", "UNBLOCK", "1", "FOO"], ["CLIENT", "UNBLOCK"], ["CLIENT", "SETNAME", ""], ["CLIENT", "SETNAME"],
        ["CLIENT", "NO-EVICT", "on"], ["CLIENT", "NO-EVICT", "off"], ["CLIENT", "NO-EVICT", "maybe"],
        ["AUTH", "x"], ["AUTH", "default", "x"], ["AUTH", "nobody", "x"], ["AUTH", "a", "b", "c"], ["AUTH"],
        ["HELLO", "4"], ["HELLO", "abc"], ["HELLO", "1"], ["HELLO", "2", "FOO"], ["HELLO", "3", "AUTH", "x"], ["HELLO", "3", "SETNAME", "a b"],
        ["COMMAND", "GETKEYS", "XADD", "k", "*", "f", "v"], ["COMMAND", "GETKEYS", "XREAD", "STREAMS", "a", "b", "0", "0"],
        ["COMMAND", "GETKEYS", "XREADGROUP", "GROUP", "g", "c", "COUNT", "2", "STREAMS", "a", ">"], ["COMMAND", "GETKEYS", "COPY", "a", "b"],
        ["COMMAND", "GETKEYS", "XGROUP", "CREATE", "k", "g", "0"], ["COMMAND", "GETKEYS", "PING"], ["COMMAND", "GETKEYS", "FOO"],
        ["COMMAND", "GETKEYS", "XADD"], ["COMMAND", "GETKEYS"], ["COMMAND", "INFO", "foo"], ["COMMAND", "FOO"],
        ["CONFIG", "GET"], ["CONFIG", "GET", "none"], ["CONFIG", "GET", "DATABASES"], ["CONFIG", "SET", "foo", "1"], ["CONFIG", "SET", "databases", "5"],
        ["CONFIG", "SET", "timeout", "0", "foo", "1"], ["CONFIG", "SET", "timeout"], ["CONFIG", "SET", "timeout", "0", "maxclients"],
        ["CONFIG", "SET", "timeout", "0", "timeout", "0"], ["CONFIG", "SET", "timeout", "abc"], ["CONFIG", "SET", "TIMEOUT", "-1"],
        ["CONFIG", "SET", "stream-node-max-entries", "-1"], ["CONFIG", "SET", "stream-node-max-bytes", "-1"], ["CONFIG", "FOO"], ["CONFIG"],
        ["CONFIG", "RESETSTAT"], ["CONFIG", "HELP"], ["SCAN", "abc"], ["SCAN", "0", "COUNT", "0"], ["SCAN", "0", "COUNT", "abc"], ["SCAN", "0", "FOO"],
        ["SCAN", "0", "TYPE"], ["SCAN"], ["KEYS"], ["OBJECT", "FREQ", "none"], ["OBJECT", "REFCOUNT"], ["OBJECT", "ENCODING"], ["ECHO"],
        ["PING", "a", "b"], ["WAIT", "abc", "0"], ["WAIT", "0", "-1"], ["FLUSHALL", "ASYNC", "x"], ["DBSIZE", "x"], ["TIME", "x"], ["ROLE", "x"],
    ];

    private Command Copy()
    {
        List<string> arguments = [_pick.Word("COPY"), _pick.Key(), _pick.Key()];
        if (_pick.Chance(25))
            arguments.AddRange(["DB", _pick.One("0", "1", "2", "16", "abc")]);
        if (_pick.Chance(50))
            arguments.Add(_pick.Word("REPLACE"));
        if (_pick.Chance(3))
            arguments.Add("FOO");
        return new([.. arguments]);
    }

    private Command Expire()
    {
        var word = _pick.One("EXPIRE", "PEXPIRE", "EXPIREAT", "PEXPIREAT");
        // Far enough that no run gets there, or already over.
        var time = _pick.Number(20) switch
        {
            0 or 1 => _pick.One("0", "-1", "-5"),
            2 => _pick.OddCount(),
            3 => _pick.One("9223372036854775807", "9223372036854775", "-9223372036854775807", "9223370000000000"),
            // Never the same twice: when both end at the same moment but for the clock, GT and LT are decided by it.
            _ => word switch
            {
                "EXPIRE" => $"{1_000_000 + _pick.Number(1_000_000_000)}",
                "PEXPIRE" => $"{1_000_000_000 + _pick.Number(1_000_000_000)}",
                "EXPIREAT" => _pick.One("4000000000", "5000000000"),
                _ => _pick.One("4000000000000", "5000000000000"),
            },
        };
        // A count that is odd elsewhere may be seconds from now here.
        if (word is "EXPIRE" or "PEXPIRE" && time is "01")
            time = "0";
        List<string> arguments = [_pick.Word(word), _pick.Key(), time];
        if (_pick.Chance(35))
            arguments.Add(_pick.Word(_pick.One("NX", "XX", "GT", "LT")));
        if (_pick.Chance(4))
            arguments.Add(_pick.One("NX", "XX", "GT", "LT", "FOO"));
        return new([.. arguments]);
    }

    private Command StandIn()
    {
        switch (_pick.Number(24))
        {
            case < 4:
                return Set();
            case 16:
                return new("SETNX", _pick.KeyOr("s"), _pick.Value());
            case 17:
                return new(_pick.One("INCRBY", "DECRBY"), _pick.KeyOr("s"), _pick.One("1", "-5", "9223372036854775807", "-9223372036854775808", "abc"));
            case 18:
                return new(_pick.One("STRLEN", "GETDEL"), _pick.KeyOr("s"));
            case 19:
                return new("APPEND", _pick.KeyOr("s"), _pick.Value());
            case 20:
                return new(_pick.One("RPOP", "LLEN"), _pick.KeyOr("l"));
            case 21:
                return new("SREM", _pick.KeyOr("t"), _pick.Value(), _pick.Value());
            case 22:
                return new("SISMEMBER", _pick.KeyOr("t"), _pick.Value());
            case 23:
                return new("SCARD", _pick.KeyOr("t"));
            case 4:
                return new(_pick.Word("GET"), _pick.KeyOr("s"));
            case 5:
                return new(_pick.One("INCR", "DECR"), _pick.KeyOr("s"));
            case < 9:
                return new([_pick.One("LPUSH", "RPUSH"), _pick.KeyOr("l"), .. Enumerable.Range(0, 1 + _pick.Number(3)).Select(_ => _pick.Value())]);
            case 9:
                return new("LPOP", _pick.KeyOr("l"));
            case 10:
                return new("LPOP", _pick.KeyOr("l"), _pick.One("0", "1", "2", "5", "-1", "abc"));
            case < 13:
                return new("LRANGE", _pick.KeyOr("l"), _pick.One("0", "1", "-2", "-100", "abc"), _pick.One("-1", "0", "2", "100", "-3"));
            case 13:
                return new("SADD", _pick.KeyOr("t"), _pick.Value(), _pick.Value());
            default:
                return new("SMEMBERS", _pick.KeyOr("t"));
        }
    }

    private Command Set()
    {
        List<string> arguments = [_pick.Word("SET"), _pick.KeyOr("s"), _pick.Value()];
        if (_pick.Chance(25))
            arguments.Add(_pick.Word(_pick.One("NX", "XX")));
        if (_pick.Chance(20))
            arguments.Add(_pick.Word("GET"));
        if (_pick.Chance(20))
            arguments.Add(_pick.Word("KEEPTTL"));
        if (_pick.Chance(20))
            arguments.AddRange(Expiry());
        if (_pick.Chance(4))
            arguments.Add(_pick.One("FOO", "EX", "NX", "XX"));
        return new([.. arguments]);
    }

    private string[] Expiry()
    {
        var unit = _pick.One("EX", "PX", "EXAT", "PXAT");
        var time = unit.Length == 2 ? $"{1_000_000_000 + _pick.Number(1_000_000_000)}" : unit == "EXAT" ? "4000000000" : "4000000000000";
        return [_pick.Word(unit), _pick.Chance(85) ? time : _pick.One("0", "-1", "abc", "9223372036854775807", "")];
    }

    private static readonly string[] StreamCommands =
    [
        "XADD", "XLEN", "XRANGE", "XREVRANGE", "XREAD", "XREADGROUP", "XACK", "XCLAIM", "XAUTOCLAIM", "XPENDING", "XDEL", "XTRIM", "XSETID", "XINFO",
        "XGROUP",
    ];

    private Command Odd() => _pick.Number(8) switch
    {
        0 => new("FOO"),
        1 => new("FOO", "a", "b", _pick.Value()),
        2 => new("XFOO", _pick.Stream()),
        3 => new(_pick.One(StreamCommands)),
        4 => new(_pick.One(StreamCommands.Except(["XLEN", "XINFO", "XGROUP"]).ToArray()), _pick.Stream()),
        5 => new(_pick.One("XLEN", "XREVRANGE", "TYPE", "DBSIZE", "SELECT", "MULTI"), _pick.Stream(), _pick.Stream(), _pick.Stream()),
        6 => new("OBJECT", _pick.One("FOO", "ENCODING", "HELP2")),
        _ => new(new string('F', 200), new string('a', 200), "b"),
    };
}
