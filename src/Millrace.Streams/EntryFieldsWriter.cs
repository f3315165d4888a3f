using System.Text;

namespace Millrace.Streams;

/// <summary>Builds <see cref="EntryFields"/> in order. Reusable: <see cref="ToFields"/> copies the bytes out and empties the writer.</summary>
public sealed class EntryFieldsWriter
{
    private byte[] _buffer = new byte[256];
    private int _length;
    private int _count;

    /// <summary>Adds a field of any bytes.</summary>
    public EntryFieldsWriter Add(ReadOnlySpan<byte> name, ReadOnlySpan<byte> value)
    {
        AddPart(name);
        AddPart(value);
        _count++;
        return this;
    }

    /// <summary>Adds a field with a UTF-8 name, as in <c>"type"u8</c>, and a text value.</summary>
    public EntryFieldsWriter Add(ReadOnlySpan<byte> name, string value)
    {
        ArgumentNullException.ThrowIfNull(value);
        AddPart(name);
        AddPart(value);
        _count++;
        return this;
    }

    /// <summary>Adds a field of text, encoded as UTF-8.</summary>
    public EntryFieldsWriter Add(string name, string value)
    {
        ArgumentNullException.ThrowIfNull(name);
        ArgumentNullException.ThrowIfNull(value);
        AddPart(name);
        AddPart(value);
        _count++;
        return this;
    }

    /// <summary>Takes the fields out in a buffer of exactly their size. One allocation; the writer is empty afterwards.</summary>
    public EntryFields ToFields()
    {
        var fields = EntryFields.FromTrusted(_buffer.AsSpan(0, _length).ToArray(), _count);
        (_length, _count) = (0, 0);
        return fields;
    }

    private void AddPart(ReadOnlySpan<byte> part)
    {
        BeginPart(part.Length);
        part.CopyTo(_buffer.AsSpan(_length));
        _length += part.Length;
    }

    private void AddPart(string part)
    {
        var length = Encoding.UTF8.GetByteCount(part);
        BeginPart(length);
        Encoding.UTF8.GetBytes(part, _buffer.AsSpan(_length));
        _length += length;
    }

    /// <summary>Writes the length of a part and makes room for it.</summary>
    private void BeginPart(int length)
    {
        var needed = checked(_length + Varint.MaxLength + length);
        if (needed > _buffer.Length)
            Array.Resize(ref _buffer, (int)Math.Min(Math.Max(needed, 2L * _buffer.Length), Array.MaxLength));
        _length += Varint.Write(_buffer.AsSpan(_length), (ulong)length);
    }
}
