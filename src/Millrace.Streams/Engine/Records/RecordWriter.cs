using System.Buffers;
using Millrace.Streams.Names;

namespace Millrace.Streams.Engine.Records;

/// <summary>
/// Writes the parts of a mutation record. Numbers are LEB128 varints unless said otherwise, so that the usual ones take one to six bytes.
/// </summary>
internal readonly struct RecordWriter(IBufferWriter<byte> output)
{
    public void Byte(byte value)
    {
        output.GetSpan(1)[0] = value;
        output.Advance(1);
    }

    public void Flag(bool value) => Byte(value ? (byte)1 : (byte)0);

    public void Number(ulong value) => Varint.Write(output, value);

    /// <summary>A number that is never negative: a count, a length, milliseconds.</summary>
    public void Number(long value) => Number(checked((ulong)value));

    /// <summary>A number that is never negative, plus 1, or 0 for none.</summary>
    public void OptionalNumber(long? value) => Number(value is { } known ? (ulong)known + 1 : 0);

    /// <summary>Length in bytes, then the bytes of the name.</summary>
    public void Text(string value)
    {
        var length = KeyText.ByteCount(value);
        Number(length);
        output.Advance(KeyText.Encode(value, output.GetSpan(length)));
    }

    /// <summary>Length, then the bytes.</summary>
    public void Bytes(ReadOnlySpan<byte> value)
    {
        Number(value.Length);
        output.Write(value);
    }

    /// <summary>The bytes without a length: the reader knows it.</summary>
    public void Raw(ReadOnlySpan<byte> value) => output.Write(value);

    /// <summary>Milliseconds, then sequence.</summary>
    public void Id(EntryId id)
    {
        Number(id.Milliseconds);
        Number(id.Sequence);
    }

    /// <summary>Count, then each ID.</summary>
    public void Ids(IReadOnlyList<EntryId> ids)
    {
        Number(ids.Count);
        for (var i = 0; i < ids.Count; i++)
            Id(ids[i]);
    }

    /// <summary>The packed form as bytes: it is copied, not walked.</summary>
    public void Fields(EntryFields fields) => Bytes(fields.Packed.Span);

    /// <summary>
    /// A byte: 0 none, 1 by length, 2 by ID, plus 4 when approximate, plus 8 times the policy for references; then the length or the ID; then
    /// the limit when approximate.
    /// </summary>
    public void Trim(in TrimRequest trim)
    {
        if (trim.IsNone)
        {
            Byte(0);
            return;
        }

        var options = (trim.IsApproximate ? 4 : 0) | ((int)trim.References << 3);
        if (trim.MinId is { } minId)
        {
            Byte((byte)(2 | options));
            Id(minId);
        }
        else
        {
            Byte((byte)(1 | options));
            Number(trim.MaxLength!.Value);
        }

        if (trim.IsApproximate)
            Number(trim.Limit);
    }

    /// <summary>A byte: 1 for now, 0 for after an ID; then the ID.</summary>
    public void Start(GroupStart start)
    {
        Byte(start.IsNow ? (byte)1 : (byte)0);
        if (!start.IsNow)
            Id(start.LastDelivered);
    }
}
