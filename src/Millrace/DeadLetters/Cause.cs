using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using System.Text.RegularExpressions;

namespace Millrace;

/// <summary>What a dead letter keeps of the exception that ended it, and the fingerprint that letters of one cause share.</summary>
internal static partial class Cause
{
    // As they are written: all of it together stays below 12 KiB, whatever the exceptions say.
    private const int MaxExceptions = 5;
    private const int MaxTypeBytes = 256;
    private const int MaxMessageBytes = 1_024;
    private const int MaxStackBytes = 1_024;

    /// <summary>
    /// 16 hexadecimal digits of SHA-256 over the reason, the types of the exceptions and the innermost top frame. Line numbers are left out
    /// and numbers count as one, in the reason also GUIDs and whatever mixes letters with digits, such as a ULID or a hash: so neither a build nor an
    /// order ID in the text makes another cause of the same mistake. It is stored with the letter: what this file says changes it for new letters only.
    /// </summary>
    public static string Fingerprint(string reason, Exception? exception)
    {
        var text = new StringBuilder(Id().Replace(reason, "#"));
        var frame = "";
        foreach (var part in Chain(exception))
        {
            text.Append('\n').Append(part.GetType().FullName);
            frame = TopFrame(part) ?? frame;
        }

        text.Append('\n').Append(frame);
        return Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(WithoutNumbers(text)))[..8]);
    }

    /// <summary>The exception and its inner ones, outermost first, as a JSON array.</summary>
    public static ReadOnlySpan<byte> WriteExceptions(Exception exception)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var json = new Utf8JsonWriter(buffer, JsonHistory.Format))
        {
            json.WriteStartArray();
            foreach (var part in Chain(exception))
            {
                json.WriteStartObject();
                json.WriteString("type"u8, JsonHistory.Cut(part.GetType().FullName ?? part.GetType().Name, MaxTypeBytes));
                json.WriteString("message"u8, JsonHistory.Cut(part.Message, MaxMessageBytes));
                if (part.StackTrace is { } stack)
                    json.WriteString("stack"u8, JsonHistory.Cut(stack, MaxStackBytes));
                json.WriteEndObject();
            }

            json.WriteEndArray();
        }

        return buffer.WrittenSpan;
    }

    /// <summary>Outermost first, breadth first where there are several inside, at most as many as are kept.</summary>
    private static List<Exception> Chain(Exception? exception)
    {
        List<Exception> chain = [];
        if (exception is not null)
            chain.Add(exception);
        for (var i = 0; i < chain.Count && chain.Count < MaxExceptions; i++)
        {
            if (chain[i] is AggregateException several)
                chain.AddRange(several.InnerExceptions.Take(MaxExceptions - chain.Count));
            else if (chain[i].InnerException is { } inner)
                chain.Add(inner);
        }

        return chain;
    }

    /// <summary>The first line of the trace without file and line, which only builds with symbols have, and without native offsets.</summary>
    private static string? TopFrame(Exception exception)
    {
        if (exception.StackTrace is not { } stack)
            return null;
        var line = stack.AsSpan().TrimStart();
        var end = line.IndexOfAny('\r', '\n');
        line = end < 0 ? line : line[..end];
        foreach (var suffix in (ReadOnlySpan<string>)[") in ", ") + 0x"])
        {
            if (line.IndexOf(suffix, StringComparison.Ordinal) is > 0 and var at)
                line = line[..(at + 1)];
        }

        return line.ToString();
    }

    [GeneratedRegex("(?<![A-Za-z0-9])(?:[0-9A-Fa-f]{8}(?:-[0-9A-Fa-f]{4}){3}-[0-9A-Fa-f]{12}(?![A-Za-z0-9])|[A-Za-z]*[0-9][A-Za-z0-9]*)")]
    private static partial Regex Id();

    private static string WithoutNumbers(StringBuilder text)
    {
        var kept = new StringBuilder(text.Length);
        foreach (var character in text.ToString())
        {
            if (!char.IsAsciiDigit(character))
                kept.Append(character);
            else if (kept.Length == 0 || kept[^1] != '#')
                kept.Append('#');
        }

        return kept.ToString();
    }
}
