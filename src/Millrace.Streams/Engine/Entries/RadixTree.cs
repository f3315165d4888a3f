namespace Millrace.Streams.Engine;

/// <summary>
/// The shape of the tree in which Redis keeps the blocks of a stream, for XINFO STREAM: a radix tree over the 16 bytes of their base IDs,
/// big endian.
/// </summary>
/// <remarks>
/// <code>
/// keys 1-0, 1-7, 2-0      ┌─ run 00 00 00 00 00 00 00 ─┐   a run of bytes without a branch is one node, each byte position where keys
///                         └─ branch 01 02 ─┬───────────┘   part is one, and each key ends in one: here 8, and 1 when there is no key
///              ┌─ run 00 × 7 ──────────────┴─ run 00 × 8 ─┐
///              └─ branch 00 07 ─┬─ key     └─ key ────────┘
///                               └─ key
/// </code>
/// </remarks>
internal static class RadixTree
{
    private const int KeyBytes = 16;

    public static long CountNodes(BlockList blocks) => blocks.Count == 0 ? 1 : CountNodes(blocks, 0, blocks.Count, 0);

    /// <summary>Nodes below a position for the keys from one index up to another, which are the same up to the position.</summary>
    private static long CountNodes(BlockList blocks, int from, int to, int position)
    {
        var last = blocks[to - 1].BaseId;
        var branch = from == to - 1 ? KeyBytes : FirstDifference(blocks[from].BaseId, last);
        long nodes = branch > position ? 1 : 0;
        nodes++; // The branch, or the end of the only key.
        while (branch < KeyBytes && from < to)
        {
            var end = EndOfChild(blocks, from, to, branch);
            nodes += CountNodes(blocks, from, end, branch + 1);
            from = end;
        }

        return nodes;
    }

    /// <summary>Where the keys end that have the same byte at a position as the first one.</summary>
    private static int EndOfChild(BlockList blocks, int from, int to, int position)
    {
        var value = ByteAt(blocks[from].BaseId, position);
        int low = from, high = to;
        while (low + 1 < high)
        {
            var middle = (low + high) / 2;
            if (ByteAt(blocks[middle].BaseId, position) == value)
                low = middle;
            else
                high = middle;
        }

        return high;
    }

    private static int FirstDifference(EntryId a, EntryId b)
    {
        var position = 0;
        while (ByteAt(a, position) == ByteAt(b, position))
            position++;
        return position;
    }

    private static byte ByteAt(EntryId id, int position) =>
        (byte)((position < 8 ? id.Milliseconds : id.Sequence) >> (56 - (position % 8 * 8)));
}
