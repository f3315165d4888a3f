using System.Diagnostics;

namespace Millrace.Streams.Engine;

/// <summary>A pending entry with the slot of its owner, as a chunk takes it and gives it back.</summary>
/// <remarks>What was handed back has no time of delivery but a negative number instead, which says when it was in relation to others.</remarks>
internal readonly record struct PendingItem(EntryId Id, long DeliveredMs, long DeliveryCount, int Slot);

/// <summary>A sorted run of pending entries, packed into 16 bytes each while every value fits.</summary>
/// <remarks>
/// <code>
/// packed   | key: 8 bytes                              | time: 4        | count: 2 | slot: 2 |
///          | ms − base ms: 32 bits | sequence: 32 bits | ms − base time |          |         |
///            orders like the ID                          0: time 0        65535: long.MaxValue
///                                                        of nobody: releases since the first
///
/// full     a <see cref="PendingItem"/>: any ID, any time, any count, any slot (40 bytes)
///
/// items    ┌───┬───┬───┬───┬───┬───┬───┬───┐   Filled from Start up to End. The oldest leave at the front and the newest come at the
///          │ · │ · │ 3 │ 4 │ 7 │ 8 │ · │ · │   end, both without a move.
///          └───┴───┴───┴───┴───┴───┴───┴───┘
/// </code>
/// The bases come from the first item (with a time). A chunk that is given a value that does not fit becomes full as a whole, and stays so.
/// </remarks>
internal sealed class PendingChunk(int capacity, int generation)
{
    /// <summary>
    /// Large enough that a million items need no more than 8,000 chunks and an object's overhead hardly counts, small enough that moving
    /// half of one is cheap.
    /// </summary>
    public const int MaxCapacity = 128;

    /// <summary>
    /// How far below the first ID's time the base is, so that older IDs that come later fit: 25 days, which leaves 25 days for newer ones.
    /// </summary>
    private const ulong IdRoomMs = 1UL << 31;

    /// <summary>The same for delivery times, where older ones are rare (XCLAIM sets them): 12 days, which leaves 37.</summary>
    private const long TimeRoomMs = 1L << 30;

    /// <summary>The time of what is handed back first: below every other, and as many follow as fit the packed form.</summary>
    public const long FirstReleaseMs = -1L << 32;

    /// <summary>The items in packed form, or null in full form.</summary>
    private Packed[]? _packed = new Packed[capacity];

    /// <summary>The items in full form, or null in packed form.</summary>
    private PendingItem[]? _full;

    private ulong _baseMs;

    /// <summary>Null until an item with a time comes: what was handed back has none.</summary>
    private long? _baseTimeMs;

    /// <summary>
    /// The generation of the <see cref="PendingEntries"/> it was made in. Those of a later one may share it with their clones, and change a copy.
    /// </summary>
    public int Generation { get; private set; } = generation;

    public int Start { get; private set; }

    public int End { get; private set; }

    /// <summary>
    /// The slots that own items here, each as the bit of its lowest six bits. May hold more than there are, never fewer: it is not narrowed
    /// when items leave or change hands, only when a search found it misleading.
    /// </summary>
    public ulong Owners { get; private set; }

    /// <summary>No item was delivered earlier. May be too early for the same reason, never too late.</summary>
    public long OldestMs { get; private set; }

    public int Count => End - Start;

    /// <summary>Bytes of memory: the array, and about a hundred for two objects.</summary>
    public long SizeBytes => 100 + (_packed is null ? _full!.Length * 40L : _packed.Length * 16L);

    public bool IsFull => Count == MaxCapacity;

    /// <summary>
    /// Whether the end is reached and too little is free at the front to be worth moving the items there: each move is then paid for by
    /// half a chunk of additions.
    /// </summary>
    public bool IsUsedUp => End == MaxCapacity && Start < MaxCapacity / 2;

    public EntryId First => IdAt(Start);

    public EntryId Last => IdAt(End - 1);

    private Array Items => (Array?)_packed ?? _full!;

    public bool MayHold(int slot) => (Owners & BitOf(slot)) != 0;

    public EntryId IdAt(int index)
    {
        if (_packed is null)
            return _full![index].Id;
        var key = _packed[index].Key;
        return new(_baseMs + (key >> 32), (uint)key);
    }

    public long DeliveredAt(int index) => _packed is null ? _full![index].DeliveredMs : TimeOf(_packed[index]);

    public int SlotAt(int index) => _packed is null ? _full![index].Slot : _packed[index].Slot;

    public PendingItem this[int index]
    {
        get
        {
            if (_packed is null)
                return _full![index];
            ref var packed = ref _packed[index];
            var count = packed.Count == ushort.MaxValue ? long.MaxValue : packed.Count;
            return new(new(_baseMs + (packed.Key >> 32), (uint)packed.Key), TimeOf(packed), count, packed.Slot);
        }
    }

    public void Set(int index, in PendingItem item)
    {
        Owners |= BitOf(item.Slot);
        OldestMs = Math.Min(OldestMs, item.DeliveredMs);
        if (item.DeliveredMs > 0)
            _baseTimeMs ??= unchecked(item.DeliveredMs - TimeRoomMs);
        if (_packed is not null)
        {
            if (TryPack(item, out _packed[index]))
                return;
            Widen();
        }

        _full![index] = item;
    }

    /// <summary>The index of the first item that is not below an ID.</summary>
    public int LowerBound(EntryId id)
    {
        if (_packed is null)
            return LowerBoundFull(id);

        var offset = id.Milliseconds - _baseMs;
        if (id.Milliseconds < _baseMs)
            return Start;
        if (offset >= uint.MaxValue)
            return End;

        // A sequence that fits no key goes behind all of its millisecond.
        var key = (offset << 32) + Math.Min(id.Sequence, 1UL << 32);
        int low = Start, high = End;
        while (low < high)
        {
            var middle = (int)((uint)(low + high) >> 1);
            if (_packed[middle].Key < key)
                low = middle + 1;
            else
                high = middle;
        }

        return low;
    }

    /// <summary>The index of an owner's next item from an index on, or <see cref="End"/>.</summary>
    public int NextOf(int slot, int from)
    {
        for (var i = from; i < End; i++)
        {
            if (SlotAt(i) == slot)
                return i;
        }

        if (from == Start)
            Tighten();
        return End;
    }

    public void Insert(int index, in PendingItem item)
    {
        if (Count == 0)
            Rebase(item.Id);
        if (End == Items.Length)
            index -= MakeRoomAtEnd();
        if (index < End)
            Array.Copy(Items, index, Items, index + 1, End - index);
        End++;
        Set(index, item);
    }

    public void RemoveAt(int index)
    {
        if (index == Start)
        {
            Start++;
            return;
        }

        Array.Copy(Items, index + 1, Items, index, End - index - 1);
        End--;
    }

    /// <summary>Removes the items of an owner.</summary>
    public void RemoveOf(int slot)
    {
        var kept = Start;
        for (var i = Start; i < End; i++)
        {
            if (SlotAt(i) == slot)
                continue;
            if (kept < i)
                Array.Copy(Items, i, Items, kept, 1);
            kept++;
        }

        End = kept;
        Tighten();
    }

    /// <summary>Moves the items from an index on to a new chunk.</summary>
    public PendingChunk SplitAt(int index)
    {
        var upper = Clone(Generation);
        upper.Start = index;
        End = index;
        return upper;
    }

    /// <summary>Takes in all items of the chunk behind this one. There must be room.</summary>
    public void Append(PendingChunk next)
    {
        for (var i = next.Start; i < next.End; i++)
            Insert(End, next[i]);
    }

    /// <summary>Moves the time of every delivery ahead, in packed form with the base alone. What has no time gets none.</summary>
    public void SkipTime(long skippedMs)
    {
        if (_baseTimeMs is { } baseTimeMs)
            _baseTimeMs = unchecked(baseTimeMs + skippedMs);
        for (var i = Start; _full is not null && i < End; i++)
        {
            if (_full[i].DeliveredMs > 0)
                _full[i] = _full[i] with { DeliveredMs = Saturating.Add(_full[i].DeliveredMs, skippedMs) };
        }

        Tighten();
    }

    public PendingChunk Reset()
    {
        (Start, End) = (0, 0);
        return this;
    }

    public PendingChunk Clone(int generation)
    {
        var clone = (PendingChunk)MemberwiseClone();
        clone.Generation = generation;
        clone._packed = (Packed[]?)_packed?.Clone();
        clone._full = (PendingItem[]?)_full?.Clone();
        return clone;
    }

    /// <summary>Makes <see cref="Owners"/> and <see cref="OldestMs"/> exact.</summary>
    public void Tighten()
    {
        (Owners, OldestMs) = (0, long.MaxValue);
        for (var i = Start; i < End; i++)
        {
            Owners |= BitOf(SlotAt(i));
            OldestMs = Math.Min(OldestMs, DeliveredAt(i));
        }
    }

    [Conditional("DEBUG")]
    public void Verify()
    {
        Debug.Assert(Count > 0, "No chunk is empty.");
        Debug.Assert(_packed is null != _full is null, "A chunk has one form.");
        for (var i = Start; i < End; i++)
        {
            Debug.Assert(i == Start || IdAt(i - 1) < IdAt(i), "IDs are in order.");
            Debug.Assert(MayHold(SlotAt(i)), "A chunk knows of every owner.");
            Debug.Assert(OldestMs <= DeliveredAt(i), "No item was delivered earlier than the chunk knows.");
        }
    }

    private static ulong BitOf(int slot) => 1UL << slot;

    private long TimeOf(in Packed packed) =>
        packed.Slot == PendingEntries.Nobody ? FirstReleaseMs + packed.Time
        : packed.Time == 0 ? 0
        : unchecked(_baseTimeMs.GetValueOrDefault() + packed.Time);

    private void Rebase(EntryId first)
    {
        _baseMs = first.Milliseconds - Math.Min(first.Milliseconds, IdRoomMs);
        _baseTimeMs = null;
        (Owners, OldestMs) = (0, long.MaxValue);
    }

    private bool TryPack(in PendingItem item, out Packed packed)
    {
        var ms = unchecked(item.Id.Milliseconds - _baseMs);
        var isReleased = item.Slot == PendingEntries.Nobody;
        var hasTime = isReleased || item.DeliveredMs != 0;
        var baseTimeMs = isReleased ? FirstReleaseMs : _baseTimeMs.GetValueOrDefault();
        var time = hasTime ? unchecked((ulong)(item.DeliveredMs - baseTimeMs)) : 0;
        var count = item.DeliveryCount == long.MaxValue ? ushort.MaxValue : (ulong)item.DeliveryCount;
        var fits = item.Id.Milliseconds >= _baseMs && ms < uint.MaxValue && item.Id.Sequence <= uint.MaxValue &&
            time <= uint.MaxValue && (time > 0 || isReleased || !hasTime) &&
            (count < ushort.MaxValue || item.DeliveryCount == long.MaxValue) && item.Slot <= ushort.MaxValue;
        packed = fits ? new((ms << 32) | item.Id.Sequence, (uint)time, (ushort)count, (ushort)item.Slot) : default;
        return fits;
    }

    private void Widen()
    {
        var full = new PendingItem[_packed!.Length];
        for (var i = Start; i < End; i++)
            full[i] = this[i];
        (_packed, _full) = (null, full);
    }

    private int LowerBoundFull(EntryId id)
    {
        int low = Start, high = End;
        while (low < high)
        {
            var middle = (int)((uint)(low + high) >> 1);
            if (_full![middle].Id < id)
                low = middle + 1;
            else
                high = middle;
        }

        return low;
    }

    /// <summary>Grows the array or moves the items to its front.</summary>
    /// <returns>How far the items moved.</returns>
    private int MakeRoomAtEnd()
    {
        var length = Items.Length;
        if (length < MaxCapacity && Start < length / 2)
        {
            if (_packed is null)
                Array.Resize(ref _full, length * 2);
            else
                Array.Resize(ref _packed, length * 2);
            return 0;
        }

        var moved = Start;
        Array.Copy(Items, Start, Items, 0, Count);
        (Start, End) = (0, Count);
        return moved;
    }

    private readonly record struct Packed(ulong Key, uint Time, ushort Count, ushort Slot);
}
