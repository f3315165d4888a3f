using System.Globalization;
using System.Text;
using Millrace.Resp;

namespace Millrace.Tests.Differential;

/// <summary>A reply as a tree, for what cannot be compared as bytes.</summary>
internal sealed class RespNode
{
    private RespNode(byte prefix, string text, List<RespNode>? children)
    {
        Prefix = prefix;
        Text = text;
        Children = children;
    }

    /// <summary>The first byte on the wire.</summary>
    public byte Prefix { get; }

    /// <summary>Line or bulk, in Latin 1; of an aggregate or a null what follows the prefix, such as <c>-1</c>.</summary>
    public string Text { get; private set; }

    /// <summary>Elements; names and values alternate in a map. Null for a scalar.</summary>
    public List<RespNode>? Children { get; private set; }

    public bool IsError => Prefix == '-';

    /// <summary>Reads one whole frame.</summary>
    public static RespNode Parse(ReadOnlySpan<byte> frame)
    {
        var offset = 0;
        var node = Read(frame, ref offset);
        return offset == frame.Length ? node : throw new RespException("Bytes follow the frame.");
    }

    /// <summary>The value behind a name in a map, or in the flat array RESP2 has instead; null when it is not there.</summary>
    public RespNode? Find(string name)
    {
        for (var i = 0; Children is not null && i + 1 < Children.Count; i += 2)
        {
            if (Children[i].Text == name)
                return Children[i + 1];
        }

        return null;
    }

    /// <summary>Takes a name and its value out of a map or flat array; whether they were there.</summary>
    public bool Remove(string name)
    {
        for (var i = 0; Children is not null && i + 1 < Children.Count; i += 2)
        {
            if (Children[i].Text != name)
                continue;
            Children.RemoveRange(i, 2);
            return true;
        }

        return false;
    }

    /// <summary>Gives a name of a map or flat array, which must be there, another value.</summary>
    public void Set(string name, RespNode value)
    {
        var at = Children!.FindIndex(child => child.Text == name);
        Children[at + 1] = value;
    }

    /// <summary>
    /// Makes two clock readings the same when they are within <paramref name="tolerance"/> of each other; anything else stays as it is.
    /// </summary>
    public static void Level(RespNode? left, RespNode? right, long tolerance)
    {
        if (left is { Prefix: (byte)':' } && right is { Prefix: (byte)':' }
            && Int128.Abs(Int128.Parse(left.Text, CultureInfo.InvariantCulture) - Int128.Parse(right.Text, CultureInfo.InvariantCulture)) <= tolerance)
            left.Text = right.Text;
    }

    /// <summary>Whether both are the same, bytes and kinds.</summary>
    public bool IsSame(RespNode other)
    {
        if (Prefix != other.Prefix || Children is null != other.Children is null)
            return false;
        if (Children is null || other.Children is null)
            return Text == other.Text;
        if (Children.Count != other.Children.Count)
            return false;
        for (var i = 0; i < Children.Count; i++)
        {
            if (!Children[i].IsSame(other.Children[i]))
                return false;
        }

        return true;
    }

    /// <summary>The elements in the order of their bytes, for sets without an order.</summary>
    public void Sort() => Children = Children is null ? null : [.. Children.OrderBy(child => child.ToString(), StringComparer.Ordinal)];

    /// <summary>As redis-cli might show it, on one line.</summary>
    public override string ToString()
    {
        var text = new StringBuilder();
        Write(text);
        return text.ToString();
    }

    private void Write(StringBuilder output)
    {
        output.Append((char)Prefix);
        if (Children is null)
        {
            foreach (var c in Text)
                output.Append(c is >= ' ' and < '\x7f' ? c.ToString() : $"\\x{(int)c:x2}");
            return;
        }

        output.Append('[');
        for (var i = 0; i < Children.Count; i++)
        {
            if (i > 0)
                output.Append(' ');
            Children[i].Write(output);
        }

        output.Append(']');
    }

    private static RespNode Read(ReadOnlySpan<byte> frame, ref int offset)
    {
        var prefix = frame[offset++];
        var line = frame[offset..];
        line = line[..line.IndexOf("\r\n"u8)];
        offset += line.Length + 2;
        var text = Encoding.Latin1.GetString(line);
        switch (prefix)
        {
            case (byte)'$' or (byte)'=' or (byte)'!' when text != "-1":
                var length = (int)RespReader.ParseInt64(line);
                var body = Encoding.Latin1.GetString(frame.Slice(offset, length));
                offset += length + 2;
                return new(prefix, body, null);
            case (byte)'$':
                return new(prefix, "<nil>", null);
            case (byte)'*' or (byte)'~' or (byte)'>' or (byte)'%' when text != "-1":
                var count = RespReader.ParseInt64(line) * (prefix == '%' ? 2 : 1);
                var children = new List<RespNode>((int)count);
                for (var i = 0; i < count; i++)
                    children.Add(Read(frame, ref offset));
                return new(prefix, text, children);
            default:
                return new(prefix, text, null);
        }
    }
}
