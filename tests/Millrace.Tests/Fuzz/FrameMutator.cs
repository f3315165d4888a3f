using System.Globalization;
using System.Text;
using Millrace.Tests.Differential;

namespace Millrace.Tests.Fuzz;

/// <summary>Makes bytes for one connection: valid pipelines of the differential scripts and of what clients send besides, then damaged.</summary>
internal sealed class FrameMutator(int seed)
{
    private const int MaxMutations = 6;

    // Commands that change what the connection is, which the scripts do not have.
    private static readonly Command[] Modes =
    [
        new("HELLO", "3"), new("HELLO", "2"), new("HELLO", "3", "AUTH", "a", "b"), new("HELLO", "4"), new("MULTI"), new("EXEC"), new("MONITOR"),
        new("SUBSCRIBE", "a", "b"), new("PSUBSCRIBE", "*"), new("UNSUBSCRIBE"), new("PUBLISH", "a", "x"), new("RESET"), new("QUIT"),
        new("CLIENT", "REPLY", "SKIP"), new("CLIENT", "REPLY", "OFF"), new("CLIENT", "LIST"), new("CLIENT", "KILL", "ID", "999999"),
        new("BLPOP", "nolist", "0"),
        new("XREAD", "BLOCK", "0", "STREAMS", "nostream", "$"), new("INFO"), new("COMMAND"), new("COMMAND", "DOCS"), new("CONFIG", "GET", "*"),
        new("DUMP", "k0"), new("RESTORE", "k0", "0", "\u0000\u0001\u0002\u000a\u0000"), new("ACL", "SETUSER", "x", "on", "nopass"), new("OBJECT", "HELP"),
        new("MEMORY", "USAGE", "k0"), new("SCAN", "18446744073709551615", "COUNT", "5"), new("SLOWLOG", "GET"), new("LATENCY", "DOCTOR"),
        new("MILLRACE.COMMIT", "1", "k0", "salt", "0", "1", "1", "held", "1", "g0", "c", "1-1", "1", "2", "append", "1", "*", "2", "f", "v", "ack", "1",
            "g0", "1-1"),
        new("MILLRACE.CLAIM", "1", "k0", "g0", "c", "0", "1-1"), new("MILLRACE.EXTEND", "1", "k0", "g0", "c", "1-1", "1"),
        new("MILLRACE.ONSTREAM", "1", "k0", "XINFO", "STREAM", "k0"), new("XADD", "k0", "*", "f", "v"),
        new("XADD", "k1", "IDMP", "p", "i", "*", "f", "v"),
        new("XREADGROUP", "GROUP", "g0", "c", "BLOCK", "1", "CLAIM", "0", "STREAMS", "k0", ">"), new("XNACK", "k0", "g0", "FAIL", "IDS", "1", "1-1"),
        new("XDELEX", "k0", "ACKED", "IDS", "2", "1-1", "1-2"), new("XCFGSET", "k0", "IDMP-DURATION", "5"),
    ];

    // Headers that promise more than anybody may have, or nonsense.
    private static readonly string[] Headers =
    [
        "*2147483647\r\n", "*1048576\r\n", "*1048577\r\n", "*-1\r\n", "*-2\r\n", "*0\r\n", "*\r\n", "*99999999999999999999\r\n", "*1a\r\n",
        "*3\r\n", "*+3\r\n",
        "$536870912\r\n", "$536870913\r\n", "$2147483647\r\n", "$-1\r\n", "$-2\r\n", "$\r\n", "$99999999999999999999\r\n", "$1a\r\n", "$0\r\n\r\n",
        "*2\r\n$4\r\nECHO\r\n$536870912\r\nabc", "*3\r\n*3\r\n*3\r\n*3\r\n", "%1\r\n+a\r\n+b\r\n", "|1\r\n+a\r\n+b\r\n", ">1\r\n+a\r\n", "_\r\n", "(12345\r\n",
        "#t\r\n", ":5\r\n", "+OK\r\n", "-ERR x\r\n", "\r\n", "\r\r\n\n", "\n", "\0\0\0\0", "GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        "POST / HTTP/1.1\r\n", "ping \"a\r\n",
        "set \"a b\" 'c d'\r\n", "echo \"\\x41\\n\\\"\"\r\n", "\u0016\u0003\u0001\u0002\u0000\u0001\u0000",
    ];

    private readonly Random _random = new(seed);
    private IReadOnlyList<Unit> _script = [];

    /// <summary>Frames put into what was made so far, before they were damaged.</summary>
    public long Frames { get; private set; }

    /// <summary>The bytes one connection sends.</summary>
    public byte[] Next()
    {
        List<byte> bytes = [];
        for (var left = 1 + _random.Next(20); left > 0; left--)
        {
            NextCommand().WriteTo(bytes);
            Frames++;
        }

        // One in eight stays whole, so that there is something for the others to meet.
        if (_random.Next(8) == 0)
            return [.. bytes];
        for (var left = 1 + _random.Next(MaxMutations); left > 0; left--)
            Mutate(bytes);
        return [.. bytes];
    }

    private Command NextCommand()
    {
        if (_random.Next(6) == 0)
            return Modes[_random.Next(Modes.Length)];
        if (_script.Count == 0)
            _script = ScriptGenerator.Make(_random.Next(), 300);
        var unit = _script[_random.Next(_script.Count)];
        var command = unit.Commands[_random.Next(unit.Commands.Count)];
        // Settings would outlive the connection and be set to what no test expects.
        return command.Name is "CONFIG" ? new("PING") : command;
    }

    private void Mutate(List<byte> bytes)
    {
        var at = _random.Next(bytes.Count + 1);
        var length = Math.Min(_random.Next(1, 80), bytes.Count - at);
        switch (_random.Next(12))
        {
            case 0 or 1:
                if (at < bytes.Count)
                    bytes[at] ^= (byte)(1 << _random.Next(8));
                break;
            case 2:
                if (at < bytes.Count)
                    bytes[at] = (byte)_random.Next(256);
                break;
            case 3:
                bytes.RemoveRange(at, length);
                break;
            case 4:
                bytes.InsertRange(at, bytes.GetRange(at, length));
                break;
            case 5:
                var moved = bytes.GetRange(at, length);
                bytes.RemoveRange(at, length);
                bytes.InsertRange(_random.Next(bytes.Count + 1), moved);
                break;
            case 6 or 7:
                ChangeLength(bytes, at);
                break;
            case 8:
                bytes.RemoveRange(at, bytes.Count - at);
                break;
            case 9:
                var junk = new byte[_random.Next(1, 200)];
                _random.NextBytes(junk);
                bytes.InsertRange(at, junk);
                break;
            case 10:
                bytes.InsertRange(at, Encoding.Latin1.GetBytes(Headers[_random.Next(Headers.Length)]));
                break;
            default:
                Grow(bytes, at);
                break;
        }
    }

    // Finds the next length or count and writes another one there.
    private void ChangeLength(List<byte> bytes, int at)
    {
        var start = bytes.FindIndex(at, b => b is (byte)'$' or (byte)'*') + 1;
        if (start == 0)
            return;
        var end = start;
        while (end < bytes.Count && bytes[end] is >= (byte)'0' and <= (byte)'9')
            end++;
        bytes.RemoveRange(start, end - start);
        var number = _random.Next(6) switch
        {
            0 => long.MaxValue,
            1 => -_random.Next(5),
            2 => _random.Next(),
            3 => 1L << _random.Next(40),
            _ => _random.Next(40),
        };
        bytes.InsertRange(start, Encoding.Latin1.GetBytes(number.ToString(CultureInfo.InvariantCulture)));
    }

    // Deep nesting, a very long line, or a bulk of some size with its length.
    private void Grow(List<byte> bytes, int at) => bytes.InsertRange(at, Encoding.Latin1.GetBytes(_random.Next(4) switch
    {
        0 => string.Concat(Enumerable.Repeat("*1\r\n", _random.Next(5000))),
        1 => new string('a', _random.Next(100_000)),
        2 => $"*2\r\n$4\r\nECHO\r\n$200000\r\n{new string('b', 200_000)}\r\n",
        _ => $"*{_random.Next(3000)}\r\n{string.Concat(Enumerable.Repeat("$1\r\na\r\n", _random.Next(3000)))}",
    }));
}
