using System.Globalization;
using System.Text;

namespace Millrace.Tests.Differential;

/// <summary>One command of a script. Arguments are bytes, each held as the character of the same number (Latin 1).</summary>
/// <param name="Arguments">The name first.</param>
internal sealed record Command(params string[] Arguments)
{
    /// <summary>What it answers is not compared: see <see cref="VersionChanges.ConsumerAlwaysCreated"/>, its only use.</summary>
    public bool IsReplyIgnored { get; init; }

    /// <summary>Sent as a line of text instead of as an array.</summary>
    public bool IsInline { get; init; }

    /// <summary>The name, in upper case; empty when there is none.</summary>
    public string Name { get; } = Arguments.Length > 0 ? Arguments[0].ToUpperInvariant() : "";

    /// <summary>Whether argument <paramref name="index"/> is this word, in any case.</summary>
    public bool Has(int index, string word) =>
        index < Arguments.Length && Arguments[index].Equals(word, StringComparison.OrdinalIgnoreCase);

    /// <summary>Appends the command as it goes over the wire.</summary>
    public void WriteTo(List<byte> output)
    {
        if (IsInline)
        {
            Append(output, string.Join(' ', Arguments) + "\r\n");
            return;
        }

        Append(output, string.Create(CultureInfo.InvariantCulture, $"*{Arguments.Length}\r\n"));
        foreach (var argument in Arguments)
        {
            Append(output, string.Create(CultureInfo.InvariantCulture, $"${argument.Length}\r\n"));
            Append(output, argument);
            Append(output, "\r\n");
        }
    }

    /// <summary>The command as redis-cli takes it.</summary>
    public override string ToString() => string.Join(' ', Arguments.Select(Quote));

    private static string Quote(string argument)
    {
        if (argument.Length > 0 && argument.All(c => c is > ' ' and < '\x7f' and not ('"' or '\'' or '\\')))
            return argument;

        var text = new StringBuilder("\"");
        foreach (var c in argument)
        {
            if (c is >= ' ' and < '\x7f' and not ('"' or '\\'))
                text.Append(c);
            else
                text.Append(CultureInfo.InvariantCulture, $"\\x{(int)c:x2}");
        }

        return text.Append('"').ToString();
    }

    private static void Append(List<byte> output, string text)
    {
        foreach (var c in text)
            output.Add((byte)c);
    }
}

/// <summary>Who does a unit.</summary>
internal enum UnitKind
{
    /// <summary>The main connection sends the commands, pipelined with its neighbours.</summary>
    Main,

    /// <summary>A second connection sends the commands, the last of which may block.</summary>
    Block,

    /// <summary>A second connection that still waits is freed with CLIENT UNBLOCK.</summary>
    Unblock,
}

/// <summary>The smallest part of a script that may be left out: commands that only mean something together.</summary>
internal sealed record Unit(UnitKind Kind, IReadOnlyList<Command> Commands)
{
    /// <summary>The main connection waits for all replies before it sends this.</summary>
    public bool StartsPipeline { get; init; }

    /// <summary>The shrinker may also leave out commands between the first and the last: a transaction.</summary>
    public bool IsDivisible { get; init; }

    /// <summary>Which of the connections that may block. Not for <see cref="UnitKind.Main"/>.</summary>
    public int Blocker { get; init; }
}
