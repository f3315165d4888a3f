using System.Buffers.Binary;
using System.Numerics;

namespace Millrace.Streams;

/// <summary>The checksum of everything that lies on disk or comes back from elsewhere; the processor computes it.</summary>
internal static class Crc32C
{
    /// <summary>Continues a checksum. It starts with all bits set and ends inverted.</summary>
    public static uint Append(uint crc, ReadOnlySpan<byte> bytes)
    {
        for (; bytes.Length >= 8; bytes = bytes[8..])
            crc = BitOperations.Crc32C(crc, BinaryPrimitives.ReadUInt64LittleEndian(bytes));
        foreach (var value in bytes)
            crc = BitOperations.Crc32C(crc, value);
        return crc;
    }
}
