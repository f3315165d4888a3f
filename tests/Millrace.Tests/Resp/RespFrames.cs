using System.Globalization;
using System.Text;
using Millrace.Resp;

namespace Millrace.Tests.Resp;

/// <summary>Ways to hand the bytes of a frame to a scanner, and a text form of what a frame holds.</summary>
internal static class RespFrames
{
    /// <summary>Whole, in every pair of two chunks, and byte by byte.</summary>
    public static IEnumerable<byte[][]> Chunkings(byte[] bytes)
    {
        yield return [bytes];
        for (var split = 1; split < bytes.Length; split++)
            yield return [bytes[..split], bytes[split..]];
        yield return [.. bytes.Select(value => new[] { value })];
    }

    /// <summary>Cuts the chunks into frames as a connection does.</summary>
    public static List<byte[]> Scan(RespFrameScanner scanner, byte[][] chunks)
    {
        var frames = new List<byte[]>();
        var frame = new List<byte>();
        foreach (var chunk in chunks)
        {
            var rest = chunk.AsSpan();
            while (rest.Length > 0)
            {
                var isEnd = scanner.TryFindEnd(rest, out var consumed);
                Assert.True(isEnd || consumed == rest.Length, "A frame without an end takes all bytes.");
                frame.AddRange(rest[..consumed]);
                rest = rest[consumed..];
                if (!isEnd)
                    continue;
                frames.Add([.. frame]);
                frame.Clear();
            }
        }

        Assert.Empty(frame);
        return frames;
    }

    /// <summary>As in <c>[+OK :1 "bulk" {"k" _}]</c>.</summary>
    public static string Describe(byte[] frame)
    {
        var reader = new RespReader(frame);
        Assert.True(reader.TryRead());
        var text = new StringBuilder();
        Append(ref reader, text);
        Assert.False(reader.TryRead());
        return text.ToString();
    }

    private static void Append(ref RespReader reader, StringBuilder text)
    {
        var kind = reader.Kind;
        switch (kind)
        {
            case RespKind.Array or RespKind.Map or RespKind.Set or RespKind.Push:
                var (open, close) = kind switch
                {
                    RespKind.Array => ("[", "]"),
                    RespKind.Map => ("{", "}"),
                    RespKind.Set => ("~[", "]"),
                    _ => (">[", "]"),
                };
                text.Append(open);
                var count = reader.Count;
                for (var i = 0; i < count; i++)
                {
                    Assert.True(reader.TryRead());
                    text.Append(i == 0 ? "" : " ");
                    Append(ref reader, text);
                }

                text.Append(close);
                break;
            case RespKind.Null:
                text.Append('_');
                break;
            case RespKind.Integer:
                text.Append(CultureInfo.InvariantCulture, $":{reader.GetInt64()}");
                break;
            case RespKind.Boolean:
                text.Append(reader.GetBoolean() ? "#t" : "#f");
                break;
            case RespKind.Double:
                text.Append(CultureInfo.InvariantCulture, $",{reader.GetDouble()}");
                break;
            case RespKind.BulkString:
                text.Append('"').Append(reader.GetText()).Append('"');
                break;
            default:
                text.Append((char)kind).Append(reader.GetText());
                break;
        }
    }
}
