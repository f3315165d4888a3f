using System.Buffers;
using System.Runtime.CompilerServices;

namespace Millrace.Streams;

/// <summary>
/// Unsigned LEB128: seven bits a byte, least significant first, the high bit set on all but the last. At most ten bytes.
/// </summary>
internal static class Varint
{
    public const int MaxLength = 10;

    public static bool TryRead(ReadOnlySpan<byte> source, ref int offset, out ulong value)
    {
        value = 0;
        for (var shift = 0; shift < 70 && offset < source.Length; shift += 7)
        {
            var part = source[offset++];
            if (shift == 63 && part > 1)
                return false;
            value |= (ulong)(part & 0x7F) << shift;
            if (part < 0x80)
                return true;
        }

        return false;
    }

    /// <summary>Reads bytes that our own code wrote: whole, and at most <see cref="ulong.MaxValue"/>.</summary>
    [MethodImpl(MethodImplOptions.AggressiveInlining)]
    public static ulong ReadTrusted(ReadOnlySpan<byte> source, ref int offset)
    {
        var first = source[offset];
        if (first >= 0x80)
            return ReadTrustedSlow(source, ref offset);
        offset++;
        return first;
    }

    public static int Write(Span<byte> destination, ulong value)
    {
        var length = 0;
        while (value >= 0x80)
        {
            destination[length++] = (byte)(value | 0x80);
            value >>= 7;
        }

        destination[length++] = (byte)value;
        return length;
    }

    public static void Write(IBufferWriter<byte> writer, ulong value) => writer.Advance(Write(writer.GetSpan(MaxLength), value));

    private static ulong ReadTrustedSlow(ReadOnlySpan<byte> source, ref int offset)
    {
        ulong value = 0;
        for (var shift = 0; ; shift += 7)
        {
            var part = source[offset++];
            value |= (ulong)(part & 0x7F) << shift;
            if (part < 0x80)
                return value;
        }
    }
}
