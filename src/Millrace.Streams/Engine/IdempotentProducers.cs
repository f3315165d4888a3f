using System.Buffers;
using System.Buffers.Binary;
using System.Diagnostics;
using System.Security.Cryptography;
using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine;

/// <summary>
/// What a stream remembers of messages that were sent with an idempotent ID (XADD IDMP, IDMPAUTO), so that one sent again is not appended
/// again: for each producer the newest IDs with the entry each became.
/// </summary>
/// <remarks>
/// An ID is forgotten when its entry's ID is older than the duration, as Redis counts, or when more than the maximum size came after it.
/// Deleting or trimming the entry changes nothing. Reading never changes the state, so that a replay of the mutations alone ends in the
/// same one: what is too old is not seen, and is dropped when something is added.
/// </remarks>
/// <param name="durationSeconds">For how long an ID is remembered, in seconds.</param>
/// <param name="maxSize">How many IDs of a producer are remembered.</param>
internal sealed class IdempotentProducers(long durationSeconds, long maxSize)
{
    private readonly Dictionary<string, Producer> _producers = new(StringComparer.Ordinal);

    /// <summary>The producers in the order of their last message, so that the silent ones are found without a search.</summary>
    private readonly LinkedList<Producer> _byLastAdded = [];

    private long _rememberedBytes;

    /// <summary>Bytes of memory it takes, about.</summary>
    public long SizeBytes => _rememberedBytes;

    /// <summary>For how long an ID is remembered, in seconds.</summary>
    public long DurationSeconds { get; private set; } = durationSeconds;

    /// <summary>How many IDs of a producer are remembered.</summary>
    public long MaxSize { get; private set; } = maxSize;

    /// <summary>Messages ever appended with an idempotent ID. Stays when the IDs are forgotten.</summary>
    public long Added { get; private set; }

    /// <summary>Messages ever recognized as sent before. Stays when the IDs are forgotten.</summary>
    public long Duplicates { get; private set; }

    /// <summary>Nothing but its limits is known.</summary>
    public bool IsUnused => Added == 0 && Duplicates == 0 && _producers.Count == 0;

    /// <summary>The entry a message became when it was sent before.</summary>
    public bool TryFind(string producer, string id, long nowMs, out EntryId entry)
    {
        if (_producers.TryGetValue(producer, out var found) && found.Entries.TryGetValue(id, out entry) && !IsTooOld(entry, nowMs))
            return true;
        entry = default;
        return false;
    }

    /// <summary>Counts a message that <see cref="TryFind"/> found.</summary>
    public void AddDuplicate() => Duplicates = Saturating.Increment(Duplicates);

    /// <summary>Remembers the entry a message became. It must be one that <see cref="TryFind"/> does not find.</summary>
    public void Add(string producer, string id, EntryId entry, long nowMs)
    {
        Debug.Assert(!TryFind(producer, id, nowMs, out _), "A message that was sent before is not appended again.");
        DropSilent(nowMs);
        if (_producers.TryGetValue(producer, out var found))
        {
            _rememberedBytes -= found.SizeBytes;
            found.DropOldest(this, nowMs);
            _rememberedBytes += found.SizeBytes;
        }

        Remember(producer, id, entry);
        Added = Saturating.Increment(Added);
    }

    private void Remember(string producer, string id, EntryId entry)
    {
        if (_producers.TryGetValue(producer, out var found))
        {
            _rememberedBytes -= found.SizeBytes;
            _byLastAdded.Remove(found.Node);
        }
        else
        {
            _producers.Add(producer, found = new(producer));
        }

        _byLastAdded.AddLast(found.Node);
        found.Add(id, entry);
        _rememberedBytes += found.SizeBytes;
    }

    /// <summary>Changes the limits (XCFGSET), null for no change. A real change forgets all IDs.</summary>
    /// <returns>Whether anything changed.</returns>
    public bool Configure(long? durationSeconds, long? maxSize)
    {
        var (duration, size) = (durationSeconds ?? DurationSeconds, maxSize ?? MaxSize);
        if ((duration, size) == (DurationSeconds, MaxSize))
            return false;
        (DurationSeconds, MaxSize) = (duration, size);
        _producers.Clear();
        _byLastAdded.Clear();
        _rememberedBytes = 0;
        return true;
    }

    /// <summary>How many producers and IDs are remembered at a moment. Looks at each ID.</summary>
    public (int Producers, long Ids) Tracked(long nowMs)
    {
        var (producers, ids) = (0, 0L);
        foreach (var producer in _producers.Values)
        {
            var count = producer.Entries.Values.Count(entry => !IsTooOld(entry, nowMs));
            producers += count > 0 ? 1 : 0;
            ids += count;
        }

        return (producers, ids);
    }

    /// <summary>Everything remembered, also what is too old by now, in the order in which it will be dropped. For tests and snapshots.</summary>
    public IEnumerable<(string Producer, string Id, EntryId Entry)> InOrder =>
        _byLastAdded.SelectMany(producer => producer.Order.Select(id => (producer.Name, id, producer.Entries[id])));

    /// <summary>Writes the parts of a record, drawn at <see cref="StreamValue.Write"/>.</summary>
    public void Write(RecordWriter writer)
    {
        writer.Number(DurationSeconds);
        writer.Number(MaxSize);
        writer.Number(Added);
        writer.Number(Duplicates);
        writer.Number(_producers.Values.Sum(static producer => producer.Order.Count));
        foreach (var (producer, id, entry) in InOrder)
        {
            writer.Text(producer);
            writer.Text(id);
            writer.Id(entry);
        }
    }

    public static IdempotentProducers Read(ref RecordReader reader)
    {
        var producers = ReadHead(ref reader);
        for (var left = reader.Count(); left > 0; left--)
            producers.Remember(reader.Text(), reader.Text(), reader.Id());
        return producers;
    }

    private static IdempotentProducers ReadHead(ref RecordReader reader)
    {
        var producers = new IdempotentProducers(reader.PositiveNumber(), reader.PositiveNumber())
        {
            Added = reader.PositiveNumber(),
            Duplicates = reader.PositiveNumber(),
        };
        return producers.DurationSeconds <= EngineOptions.LongestIdmpDurationSeconds
            ? producers
            : throw EngineErrors.Damaged("an ID is remembered for too long", 0);
    }

    /// <summary>Writes the parts of a snapshot, drawn at <see cref="Snapshots.SnapshotWriter"/>.</summary>
    public void WriteSnapshot(RecordWriter writer)
    {
        writer.Number(DurationSeconds);
        writer.Number(MaxSize);
        writer.Number(Added);
        writer.Number(Duplicates);
        writer.Number(_byLastAdded.Count);
        foreach (var producer in _byLastAdded)
        {
            writer.Text(producer.Name);
            writer.Id(producer.LastEntry);
            writer.Number(producer.Order.Count);
            foreach (var id in producer.Order)
            {
                writer.Text(id);
                writer.Id(producer.Entries[id]);
            }
        }
    }

    public static IdempotentProducers ReadSnapshot(ref RecordReader reader)
    {
        var producers = ReadHead(ref reader);
        for (var left = reader.Count(); left > 0; left--)
        {
            var producer = Producer.ReadSnapshot(ref reader);
            if (!producers._producers.TryAdd(producer.Name, producer))
                throw EngineErrors.Damaged("a producer comes twice", 0);
            producers._byLastAdded.AddLast(producer.Node);
            producers._rememberedBytes += producer.SizeBytes;
        }

        return producers;
    }

    /// <summary>A deep copy.</summary>
    public IdempotentProducers Clone()
    {
        var clone = new IdempotentProducers(DurationSeconds, MaxSize)
        {
            Added = Added,
            Duplicates = Duplicates,
            _rememberedBytes = _rememberedBytes,
        };
        foreach (var producer in _byLastAdded)
        {
            var copy = producer.Clone();
            clone._producers.Add(copy.Name, copy);
            clone._byLastAdded.AddLast(copy.Node);
        }

        return clone;
    }

    /// <summary>
    /// The idempotent ID of a message that comes without one: the first 128 bits of SHA-256 (FIPS 180-4, as the runtime has it) in hexadecimal, over
    /// all pairs. It does not depend on their order: the pairs are sorted, not summed up, so that no pair can cancel another. A strong hash, as a false
    /// match would lose a message. The ID is journaled, so that a replay does not depend on the hash.
    /// </summary>
    public static string IdOf(EntryFields fields)
    {
        var pairs = fields.ToArray();
        Array.Sort(pairs, static (a, b) =>
        {
            var byName = a.Name.Span.SequenceCompareTo(b.Name.Span);
            return byName != 0 ? byName : a.Value.Span.SequenceCompareTo(b.Value.Span);
        });

        var length = pairs.Sum(static pair => (2 * sizeof(int)) + pair.Name.Length + pair.Value.Length);
        var buffer = ArrayPool<byte>.Shared.Rent(length);
        var rest = buffer.AsSpan(0, length);
        foreach (var (name, value) in pairs)
        {
            rest = Write(rest, name.Span);
            rest = Write(rest, value.Span);
        }

        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(buffer.AsSpan(0, length), hash);
        ArrayPool<byte>.Shared.Return(buffer);
        return Convert.ToHexStringLower(hash[..16]);

        // With its length in front, so that "ab" "c" is another pair than "a" "bc".
        static Span<byte> Write(Span<byte> target, ReadOnlySpan<byte> part)
        {
            BinaryPrimitives.WriteInt32LittleEndian(target, part.Length);
            part.CopyTo(target[sizeof(int)..]);
            return target[(sizeof(int) + part.Length)..];
        }
    }

    private bool IsTooOld(EntryId entry, long nowMs) =>
        nowMs > 0 && (ulong)nowMs > entry.Milliseconds && (ulong)nowMs - entry.Milliseconds > (ulong)DurationSeconds * 1000;

    /// <summary>Forgets the producers whose newest ID is too old. Each is dropped once, so that an addition pays for one on average.</summary>
    private void DropSilent(long nowMs)
    {
        while (_byLastAdded.First is { } first && IsTooOld(first.Value.LastEntry, nowMs))
        {
            _rememberedBytes -= first.Value.SizeBytes;
            _byLastAdded.RemoveFirst();
            _producers.Remove(first.Value.Name);
        }
    }

    private sealed class Producer
    {
        public Producer(string name)
        {
            Name = name;
            Node = new(this);
        }

        public string Name { get; }

        public LinkedListNode<Producer> Node { get; }

        /// <summary>The entry of each ID.</summary>
        public Dictionary<string, EntryId> Entries { get; private init; } = new(StringComparer.Ordinal);

        /// <summary>The IDs, oldest first.</summary>
        public Queue<string> Order { get; private init; } = [];

        public EntryId LastEntry { get; private set; }

        private long _characters;

        /// <summary>An ID is an entry of the table, a place in the queue, and its text.</summary>
        public long SizeBytes => 300 + (2 * Name.Length) + (Order.Count * 80L) + (2 * _characters);

        public void Add(string id, EntryId entry)
        {
            // An entry that was recorded later than it was appended (XIDMPRECORD) may be too old behind newer ones: it keeps its place.
            if (Entries.TryAdd(id, entry))
            {
                Order.Enqueue(id);
                _characters += id.Length;
            }
            else
            {
                Entries[id] = entry;
            }

            if (entry > LastEntry)
                LastEntry = entry;
        }

        /// <summary>Makes room for one more ID.</summary>
        public void DropOldest(IdempotentProducers limits, long nowMs)
        {
            while (Order.TryPeek(out var oldest) && (Order.Count >= limits.MaxSize || limits.IsTooOld(Entries[oldest], nowMs)))
            {
                Entries.Remove(Order.Dequeue());
                _characters -= oldest.Length;
            }
        }

        public static Producer ReadSnapshot(ref RecordReader reader)
        {
            var producer = new Producer(reader.Text()) { LastEntry = reader.Id() };
            var (last, count) = (producer.LastEntry, reader.Count());
            for (var left = count; left > 0; left--)
                producer.Add(reader.Text(), reader.Id());
            return count > 0 && producer.Order.Count == count && producer.LastEntry == last
                ? producer
                : throw EngineErrors.Damaged("a producer's IDs are not its own", 0);
        }

        public Producer Clone() => new(Name)
        {
            Entries = new(Entries, StringComparer.Ordinal),
            Order = new(Order),
            LastEntry = LastEntry,
            _characters = _characters,
        };
    }
}
