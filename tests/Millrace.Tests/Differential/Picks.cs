using System.Globalization;

namespace Millrace.Tests.Differential;

/// <summary>Random arguments: names from short lists, so that commands meet; IDs near those in use; and everything at the edge or beyond it.</summary>
internal sealed class Picks(Random random)
{
    /// <summary>Keys that mostly hold streams. The last one's IDs lie in the future, where <c>*</c> depends on no clock.</summary>
    public static readonly string[] Streams = ["k0", "k1", "k2", "k3", FutureKey];

    /// <summary>Keys of other types, one that never exists, and one that is no UTF-8.</summary>
    public static readonly string[] Others = ["s", "l", "t", "none", "\u00ff\u0000k"];

    public const string FutureKey = "kf";
    public const string Max = "18446744073709551615";

    private static readonly string[] Groups = [.. Enumerable.Repeat("g0", 20), .. Enumerable.Repeat("g1", 12), "\u00feg", "", "nog"];
    private static readonly string[] Consumers = ["c0", "c1", "c2", "c0", "c1", "c2", "c0", "c1", "\u00fec", ""];

    private static readonly string[] BadIds =
    [
        "abc", "", "-", "+", "$", ">", "*", "5-", "-5", "5-5-5", "18446744073709551616-0", "5-18446744073709551616", "1.5-1", " 5-1", "+5-1", "5-*",
        "5 -1", "0x5-1", "(5-1", "5-1 ", "5--1", "5-+1", "\u0000", "١-1", new string('1', 127), new string('0', 126) + "7", new string('0', 127) + "7",
    ];

    private static readonly string[] BadBounds =
        ["(", "(-", "(+", $"({Max}-{Max}", "(0-0", "(0", $"({Max}", "((5-1", "( 5-1", "(abc", "(5-*", "(>"];

    private static readonly string[] OddCounts =
    [
        "0", "-1", "-5", "9223372036854775807", "9223372036854775808", "-9223372036854775808", "abc", "1.5", "", " 1", "1 ", "+1", "01", Max,
        "18446744073709551616", "1e3",
    ];

    private ulong _ms = 1;
    private ulong _sequence;

    public bool Chance(int percent) => random.Next(100) < percent;

    public int Number(int bound) => random.Next(bound);

    public T One<T>(params T[] choices) => choices[random.Next(choices.Length)];

    public string Stream() => Chance(97) ? Streams[Math.Min(random.Next(22) / 5, 4)] : One(Others);

    public string Key() => Chance(70) ? One(Streams) : One(Others);

    /// <summary>Mostly <paramref name="usual"/>, and now and then any key, which then has another type than usual.</summary>
    public string KeyOr(string usual) => Chance(95) ? usual : Key();

    public string Group() => One(Groups);

    public string Consumer() => One(Consumers);

    /// <summary>An ID above all before it: mostly what XADD accepts.</summary>
    public string NextId()
    {
        if (Chance(35))
        {
            _sequence++;
        }
        else
        {
            _ms += (ulong)random.Next(1, 4);
            _sequence = (ulong)random.Next(3);
        }

        return Id(_ms, _sequence);
    }

    /// <summary>The newest millisecond in use.</summary>
    public string Ms() => _ms.ToString(CultureInfo.InvariantCulture);

    /// <summary>An ID that may well be in use, in any of its spellings.</summary>
    public string UsedId()
    {
        var back = (ulong)(Chance(70) ? random.Next(25) : random.Next(300));
        var ms = back < _ms ? _ms - back : 0;
        var sequence = (ulong)random.Next(3);
        return random.Next(40) switch
        {
            < 32 => Id(ms, sequence),
            < 35 => ms.ToString(CultureInfo.InvariantCulture),
            35 => $"00{Id(ms, sequence)}",
            36 => One("0", "0-0", "0-1", "00-00"),
            37 => One($"{Max}-{Max}", Max, $"{Max}-0", "9000000000000-1", "9000000000000"),
            38 => Id(_ms, _sequence),
            _ => Id(_ms + (ulong)random.Next(20), sequence),
        };
    }

    public string IdOrBad(int badPercent = 4) => Chance(badPercent) ? One(BadIds) : UsedId();

    public string Bound(string open)
    {
        return random.Next(20) switch
        {
            < 8 => open,
            < 16 => UsedId(),
            < 18 => $"({UsedId()}",
            18 => One("-", "+"),
            _ => Chance(50) ? One(BadBounds) : One(BadIds),
        };
    }

    public string Count() => Chance(88) ? random.Next(1, 8).ToString(CultureInfo.InvariantCulture) : OddCount();

    public string OddCount() => One(OddCounts);

    /// <summary>Idle times of pending entries lie far below, between or far above these, so that no clock decides.</summary>
    public string MinIdle() => Chance(93) ? One("0", "0", "0", "0", "-1", "500000", "500000", "1000000000000", "9223372036854775807") : OddCount();

    public string Word(string word) => Chance(92) ? word : string.Concat(word.Select(c => Chance(50) ? char.ToLowerInvariant(c) : c));

    public string Value() => random.Next(40) switch
    {
        < 25 => "v",
        < 32 => random.Next(1000).ToString(CultureInfo.InvariantCulture),
        32 => "",
        33 => "\u00ff\r\n\u0000",
        34 => "-12",
        35 => "9223372036854775808",
        36 => new string('x', random.Next(60, 300)),
        37 => Chance(10) ? new string('y', random.Next(4000, 20000)) : "y",
        _ => new string('z', random.Next(20)),
    };

    /// <summary>Fields and values: mostly of few shapes, so that entries share their names.</summary>
    public IEnumerable<string> Pairs()
    {
        string[] names = random.Next(12) switch
        {
            < 5 => ["f"],
            < 8 => ["f", "g"],
            8 => ["f", "f", ""],
            9 => ["a", "b", "c", "d", "e"],
            10 => [Value()],
            _ => ["g"],
        };
        return names.SelectMany(name => (string[])[name, Value()]);
    }

    private static string Id(ulong ms, ulong sequence) => string.Create(CultureInfo.InvariantCulture, $"{ms}-{sequence}");
}
