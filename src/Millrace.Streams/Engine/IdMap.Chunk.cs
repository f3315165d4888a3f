namespace Millrace.Streams.Engine;

internal sealed partial class IdMap<TValue>
{
    /// <summary>A sorted run of items.</summary>
    internal sealed class Chunk(int capacity)
    {
        public EntryId[] Ids = new EntryId[capacity];
        public TValue[] Values = new TValue[capacity];
        public int Start;
        public int End;

        public int Count => End - Start;

        public bool IsFull => Count == ChunkCapacity;

        /// <summary>
        /// Whether the end is reached and too little is free at the front to be worth moving the items there: each move is then paid for by
        /// half a chunk of additions.
        /// </summary>
        public bool IsUsedUp => End == ChunkCapacity && Start < ChunkCapacity / 2;

        public EntryId First => Ids[Start];

        public EntryId Last => Ids[End - 1];

        /// <summary>The index of an ID, or the complement of where it would go.</summary>
        public int IndexOf(EntryId id)
        {
            // The oldest is what acknowledgements ask for most.
            if (Ids[Start] == id)
                return Start;
            var index = Ids.AsSpan(Start, Count).BinarySearch(id);
            return index >= 0 ? Start + index : ~(Start + ~index);
        }

        /// <summary>The index of the first ID that is not below <paramref name="id"/>.</summary>
        public int LowerBound(EntryId id)
        {
            var index = IndexOf(id);
            return index >= 0 ? index : ~index;
        }

        public void Insert(int index, EntryId id, TValue value)
        {
            if (End == Ids.Length)
                index -= MakeRoomAtEnd();

            Array.Copy(Ids, index, Ids, index + 1, End - index);
            Array.Copy(Values, index, Values, index + 1, End - index);
            Ids[index] = id;
            Values[index] = value;
            End++;
        }

        public void RemoveAt(int index)
        {
            if (index == Start)
            {
                RemoveFirst(1);
                return;
            }

            Array.Copy(Ids, index + 1, Ids, index, End - index - 1);
            Array.Copy(Values, index + 1, Values, index, End - index - 1);
            Values[--End] = default!;
        }

        public void RemoveFirst(int count)
        {
            Array.Clear(Values, Start, count);
            Start += count;
        }

        /// <summary>Forgets every item.</summary>
        public Chunk Reset()
        {
            Array.Clear(Values, Start, Count);
            (Start, End) = (0, 0);
            return this;
        }

        public Chunk SplitUpperHalf()
        {
            // A full chunk starts at index 0, as its arrays have exactly the capacity.
            var kept = Count / 2;
            var upper = new Chunk(ChunkCapacity) { End = Count - kept };
            Array.Copy(Ids, kept, upper.Ids, 0, upper.End);
            Array.Copy(Values, kept, upper.Values, 0, upper.End);
            Array.Clear(Values, kept, upper.End);
            End = kept;
            return upper;
        }

        /// <summary>Grows the arrays or moves the items to their front.</summary>
        /// <returns>How far the items moved.</returns>
        private int MakeRoomAtEnd()
        {
            if (Ids.Length < ChunkCapacity && Start < Ids.Length / 2)
            {
                var capacity = Math.Min(Ids.Length * 2, ChunkCapacity);
                Array.Resize(ref Ids, capacity);
                Array.Resize(ref Values, capacity);
                return 0;
            }

            var (moved, count) = (Start, Count);
            Array.Copy(Ids, Start, Ids, 0, count);
            Array.Copy(Values, Start, Values, 0, count);
            Array.Clear(Values, count, moved);
            (Start, End) = (0, count);
            return moved;
        }
    }
}
