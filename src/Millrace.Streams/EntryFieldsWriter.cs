using System.Buffers;
using System.Text;

namespace Millrace.Streams;

/// <summary>Builds <see cref="EntryFields"/> in order. Reusable: <see cref="ToFields"/> copies the bytes out and empties the writer.</summary>
public sealed class EntryFieldsWriter
{
    private readonly ArrayBufferWriter<byte> _buffer = new(256);
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
        var fields = EntryFields.FromTrusted(_buffer.WrittenSpan.ToArray(), _count);
        _buffer.ResetWrittenCount();
        _count = 0;
        return fields;
    }

    private void AddPart(ReadOnlySpan<byte> part)
    {
        Varint.Write(_buffer, (ulong)part.Length);
        _buffer.Write(part);
    }

    private void AddPart(string part)
    {
        Varint.Write(_buffer, (ulong)Encoding.UTF8.GetByteCount(part));
        Encoding.UTF8.GetBytes(part, _buffer);
    }
}
