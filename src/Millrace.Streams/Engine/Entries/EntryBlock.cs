using System.Buffers.Binary;
using System.Diagnostics;
using System.Numerics;

namespace Millrace.Streams.Engine;

/// <summary>A run of entries of one stream in one byte array. What <see cref="EntryBlockWriter"/> writes and <see cref="EntryView"/> reads.</summary>
/// <remarks>
/// <code>
/// block   ┌───────┬───────┬─ ─ ─┬───────┬────────────────┬─ ─ ─┬──────────────┬──────────────┐
///         │ entry │ entry │     │ entry │ free, if open  │     │ checkpoint 2 │ checkpoint 1 │
///         └───────┴───────┴─ ─ ─┴───────┴────────────────┴─ ─ ─┴──────────────┴──────────────┘
///          in ID order, deleted ones too  (Used)                int32 LE: where entry 16, 8 begins
///
/// entry   ┌──────────┬──────────┬────────────────┬──────────────────┬───────────────────────────────┐
///         │ ms delta │ sequence │ shape's offset │ shape, if 0      │ value length, value per field │
///         └──────────┴──────────┴────────────────┴──────────────────┴───────────────────────────────┘
///          from the   less the base's if ms delta is 0
///          base ID
/// shape   ┌─────────────┬────────────────┬──────────────────────────────┐
///         │ field count │ bytes of names │ name length, name per field  │
///         └─────────────┴────────────────┴──────────────────────────────┘
///          all numbers but the checkpoints are LEB128 varints
/// </code>
/// A shape is a list of field names: it stands in the first entry that has it, and later ones name it by its offset in the block. Parts
/// have the form of <see cref="EntryFields"/>, so entries are copied in and out in whole parts. A sealed block has no free space and its
/// bytes never change; entries are deleted by a bitmap beside them.
/// </remarks>
internal sealed partial class EntryBlock(EntryId baseId, int generation)
{
    /// <summary>Entries from one checkpoint to the next: half a byte per entry, and four entries to step over to find one.</summary>
    public const int CheckpointInterval = 8;

    /// <summary>A block of this size takes no more, so that sealed blocks of ordinary entries stay off the large object heap (85,000).</summary>
    private const int ClosingBytes = 64 * 1024;

    /// <summary>
    /// Squeezing less than this saves little, and a stream that is deleted from its front would write what is left of each block again and
    /// again, until that is gone as well.
    /// </summary>
    private const int LeastSqueezedBytes = 4 * 1024;

    /// <summary>One bit per stored entry, set when it was deleted; bits beyond the end are clear. Null until the first deletion.</summary>
    private ulong[]? _deleted;

    private int _deletedBytes;

    /// <summary>
    /// The generation of the <see cref="EntryLog"/> it was made in. Logs of a later one may share it with their clones, and change a copy.
    /// </summary>
    public int Generation { get; } = generation;

    /// <summary>The ID of the entry that opened the block, also when it was deleted since.</summary>
    public EntryId BaseId { get; } = baseId;

    /// <summary>The ID of the newest entry ever added, also when it was deleted since.</summary>
    public EntryId LastAddedId { get; private set; }

    /// <summary>The bytes drawn above; while the block is open they belong to the stream's writer.</summary>
    public byte[] Bytes { get; private set; } = [];

    /// <summary>Where the entries end.</summary>
    public int Used { get; private set; }

    /// <summary>Entries in the bytes, deleted or not.</summary>
    public int Stored { get; private set; }

    /// <summary>Entries ever added. More than are stored when deleted ones were squeezed out.</summary>
    public int Added { get; private set; }

    /// <summary>Entries not deleted.</summary>
    public int Live { get; private set; }

    /// <summary>Bytes of the checkpoints of this many entries.</summary>
    public static int CheckpointBytes(int stored) => stored == 0 ? 0 : (stored - 1) / CheckpointInterval * sizeof(int);

    /// <summary>Whether a new entry must go into a new block.</summary>
    /// <param name="maxEntries">Entries a block takes, deleted ones included; 0: no limit.</param>
    public bool IsClosed(int maxEntries) => (maxEntries > 0 && Added >= maxEntries) || Used >= ClosingBytes;

    /// <summary>Most of the bytes are of deleted entries, and they are enough to be worth a new array.</summary>
    public bool IsWorthSqueezing => _deletedBytes > Used / 2 && _deletedBytes >= LeastSqueezedBytes;

    public bool IsDeleted(int index) =>
        _deleted is not null && index / 64 < _deleted.Length && (_deleted[index / 64] >> (index % 64) & 1) != 0;

    /// <summary>The first entry at or above an ID, as its index, with its offset; the number of entries and the end when there is none.</summary>
    public int LowerBound(EntryId id, out int offset)
    {
        // The last checkpoint below the ID, counting the start of the block as one.
        int low = 0, high = (Stored + CheckpointInterval - 1) / CheckpointInterval;
        while (low + 1 < high)
        {
            var middle = (low + high) / 2;
            if (IdAt(OffsetOfCheckpoint(middle)) < id)
                low = middle;
            else
                high = middle;
        }

        offset = OffsetOfCheckpoint(low);
        var index = low * CheckpointInterval;
        for (; index < Stored; index++)
        {
            var entry = EntryView.At(this, offset);
            if (entry.Id >= id)
                break;
            offset = entry.End;
        }

        return index;
    }

    /// <summary>How many stored entries have IDs up to and including one.</summary>
    public int UpperBound(EntryId id) => id >= LastAddedId ? Stored : LowerBound(id.Next(), out _);

    /// <summary>Finds an entry that is not deleted.</summary>
    public bool TryFind(EntryId id, out int index, out int offset, out EntryView entry)
    {
        entry = default;
        index = LowerBound(id, out offset);
        if (index == Stored || IsDeleted(index))
            return false;
        entry = EntryView.At(this, offset);
        return entry.Id == id;
    }

    /// <summary>Entries not deleted among those from one index up to another.</summary>
    public int CountLive(int from, int to)
    {
        if (Live == Stored)
            return to - from;
        var count = 0;
        for (var index = from; index < to; index++)
            count += IsDeleted(index) ? 0 : 1;
        return count;
    }

    /// <summary>Where the entry begins at which a checkpoint stands. Checkpoint 0 is the start.</summary>
    public int OffsetOfCheckpoint(int checkpoint) =>
        checkpoint == 0 ? 0 : BinaryPrimitives.ReadInt32LittleEndian(Bytes.AsSpan(Bytes.Length - (checkpoint * sizeof(int))));

    /// <summary>Marks a live entry as deleted.</summary>
    public void Delete(int index, int sizeBytes)
    {
        Debug.Assert(index < Stored && !IsDeleted(index), "The entry is live.");
        var word = index / 64;
        if (_deleted is null || word >= _deleted.Length)
            Array.Resize(ref _deleted, Math.Max(word, (Stored - 1) / 64) + 1);
        _deleted[word] |= 1UL << (index % 64);
        _deletedBytes += sizeBytes;
        Live--;
    }

    /// <summary>The writer has added an entry.</summary>
    public void Extend(EntryId id, int used)
    {
        LastAddedId = id;
        Used = used;
        Stored++;
        Added++;
        Live++;
    }

    /// <summary>The entries are those of a block that took more, some of which were deleted: it counts them, and reaches as far.</summary>
    public void Resume(EntryId lastAddedId, int added) => (LastAddedId, Added) = (lastAddedId, added);

    /// <summary>The same entries lie in another array now.</summary>
    public void MoveTo(byte[] bytes) => Bytes = bytes;

    /// <summary>Takes the bytes of a block that holds the live entries of this one and nothing else.</summary>
    public void SqueezeTo(EntryBlock squeezed)
    {
        Debug.Assert(squeezed.Stored == Live && squeezed.Live == Live, "The live entries are all there.");
        (Bytes, Used, Stored) = (squeezed.Bytes, squeezed.Used, squeezed.Stored);
        _deleted = null;
        _deletedBytes = 0;
    }

    /// <summary>A block of its own over the same bytes: what is deleted in one stays in the other.</summary>
    public EntryBlock Clone(int generation) => new(BaseId, generation)
    {
        _deleted = (ulong[]?)_deleted?.Clone(),
        _deletedBytes = _deletedBytes,
        LastAddedId = LastAddedId,
        Bytes = Bytes,
        Used = Used,
        Stored = Stored,
        Added = Added,
        Live = Live,
    };

    [Conditional("DEBUG")]
    public void Verify()
    {
        var offset = 0;
        EntryId? previous = null;
        for (var index = 0; index < Stored; index++)
        {
            if (index % CheckpointInterval == 0)
                Debug.Assert(OffsetOfCheckpoint(index / CheckpointInterval) == offset, "A checkpoint is where its entry begins.");
            var entry = EntryView.At(this, offset);
            Debug.Assert(entry.Id >= BaseId && entry.Id <= LastAddedId, "IDs are within the block.");
            Debug.Assert(previous is null || previous < entry.Id, "IDs are in order.");
            previous = entry.Id;
            offset = entry.End;
        }

        var deleted = (_deleted ?? []).Sum(word => BitOperations.PopCount(word));
        Debug.Assert(offset == Used, "The entries fill the block.");
        Debug.Assert(Live == Stored - deleted && Stored <= Added, "The counts are right.");
    }

    private EntryId IdAt(int offset) => EntryView.ReadId(Bytes, BaseId, ref offset);
}
