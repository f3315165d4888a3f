using System.Buffers.Binary;
using System.Security.Cryptography;

namespace Millrace.Messages;

/// <summary>
/// New message IDs: UUIDs of version 7. Their random bits are asked of the system for many at once; a system call each would take a quarter of
/// the time of publishing in batches.
/// </summary>
internal static class MessageIds
{
    // What version 7 has besides the time, and IDs to fetch it for.
    private const int RandomBytes = 10;
    private const int Fetched = 128;

    [ThreadStatic]
    private static byte[]? t_random;

    [ThreadStatic]
    private static int t_left;

    public static Guid Next(DateTimeOffset now)
    {
        var random = t_random ??= new byte[RandomBytes * Fetched];
        if (t_left == 0)
        {
            RandomNumberGenerator.Fill(random);
            t_left = Fetched;
        }

        // Milliseconds in 48 bits, then what is random but for version and variant.
        Span<byte> id = stackalloc byte[16];
        BinaryPrimitives.WriteInt64BigEndian(id, now.ToUnixTimeMilliseconds() << 16);
        random.AsSpan(--t_left * RandomBytes, RandomBytes).CopyTo(id[6..]);
        id[6] = (byte)((id[6] & 0x0F) | 0x70);
        id[8] = (byte)((id[8] & 0x3F) | 0x80);
        return new(id, bigEndian: true);
    }
}
