using System.Text;
using Millrace.Streams.Names;

namespace Millrace.Streams.Engine.Records;

/// <summary>
/// What a replay uses for record after record, so that it makes garbage neither of the entries, which are copied into their blocks, nor of the
/// names of their streams.
/// </summary>
internal sealed class ReplayBuffers
{
    /// <summary>A buffer that a large record blew up is given back above this size.</summary>
    private const int KeptBytes = 1024 * 1024;

    /// <summary>Names remembered, each in the place its hash says; a power of two, enough for the streams that a busy store writes to in turns.</summary>
    private const int Places = 256;

    /// <summary>Longer names are rare, and not remembered.</summary>
    private const int MaxNameBytes = 64;

    private readonly string?[] _names = new string?[Places];
    private byte[] _record = new byte[1024];

    /// <summary>The record in a buffer that stays as it is until the next one.</summary>
    public ReadOnlyMemory<byte> Copy(ReadOnlySpan<byte> record)
    {
        if (_record.Length < record.Length || (_record.Length > KeptBytes && record.Length <= KeptBytes))
            _record = new byte[record.Length * 2L > Array.MaxLength ? record.Length : record.Length * 2];
        record.CopyTo(_record);
        return _record.AsMemory(0, record.Length);
    }

    /// <summary>The text of a name, as <see cref="KeyText.Decode(ReadOnlySpan{byte})"/> gives it.</summary>
    public string Name(ReadOnlySpan<byte> bytes)
    {
        if (bytes.Length > MaxNameBytes)
            return KeyText.Decode(bytes);
        ref var place = ref _names[Crc32C.Append(uint.MaxValue, bytes) % Places];
        return place is { } known && Ascii.Equals(bytes, known) ? known : place = KeyText.Decode(bytes);
    }
}
