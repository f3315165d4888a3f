using System.Buffers.Binary;

namespace Millrace.EntityFrameworkCore;

/// <summary>A row as the store remembers it.</summary>
internal readonly record struct RelayedRow(long Id, long Token)
{
    public static RelayedRow Of(OutboxRow row) => new(row.Id, row.Token);
}

/// <summary>
/// The rows that were relayed to a stream last, as a state document written in the commit that appended them. Whoever finds it settles them in the database
/// before relaying more, so that no row goes out twice, however the one before died.
/// </summary>
/// <remarks>
/// <code>
/// ┌────────┬───────────┬─────┐   one pair a row,
/// │ row ID │ row token │  …  │   64 bits each,
/// └────────┴───────────┴─────┘   little endian
/// </code>
/// </remarks>
internal static class RelayMemory
{
    private const int RowBytes = 2 * sizeof(long);

    public static byte[] Write(IReadOnlyList<RelayedRow> rows)
    {
        var bytes = new byte[rows.Count * RowBytes];
        for (var i = 0; i < rows.Count; i++)
        {
            BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan(i * RowBytes), rows[i].Id);
            BinaryPrimitives.WriteInt64LittleEndian(bytes.AsSpan((i * RowBytes) + sizeof(long)), rows[i].Token);
        }

        return bytes;
    }

    public static RelayedRow[] Read(ReadOnlySpan<byte> bytes)
    {
        var rows = new RelayedRow[bytes.Length / RowBytes];
        for (var i = 0; i < rows.Length; i++)
        {
            var pair = bytes.Slice(i * RowBytes, RowBytes);
            rows[i] = new(BinaryPrimitives.ReadInt64LittleEndian(pair), BinaryPrimitives.ReadInt64LittleEndian(pair[sizeof(long)..]));
        }

        return rows;
    }
}
