namespace Millrace.Tests.Simulation;

/// <summary>
/// The bytes of one file: those on the device, and what was done to them since the last sync, in order. A reader sees both.
/// </summary>
internal sealed class SimulatedInode
{
    /// <summary>What a disk writes as a whole.</summary>
    private const int SectorBytes = 512;

    private readonly List<Change> _unsynced = [];
    private byte[] _durable = [];
    private byte[] _live = [];
    private int _liveLength;

    /// <summary>
    /// A sync failed: bytes that the device lacks are clean in the page cache. They can be read until it lets go of them, and no sync writes them;
    /// only when they are written once more are they unsynced again. So do ext4, XFS and btrfs.
    /// </summary>
    private bool _hasDropped;

    /// <summary>Its name, also for those who opened it under another.</summary>
    public required string Name { get; set; }

    public int Length => _liveLength;

    public bool IsSynced => _unsynced.Count == 0 && !_hasDropped;

    /// <summary>Whether what is read may not be what the device has, although nothing waits for a sync.</summary>
    public bool HasDropped => _hasDropped;

    /// <summary>What a reader sees.</summary>
    public ReadOnlySpan<byte> Bytes => _live.AsSpan(0, _liveLength);

    public int Read(Span<byte> buffer, long offset)
    {
        if (offset >= _liveLength)
            return 0;
        var count = Math.Min(buffer.Length, _liveLength - (int)offset);
        _live.AsSpan((int)offset, count).CopyTo(buffer);
        return count;
    }

    public void Write(ReadOnlySpan<byte> bytes, long offset)
    {
        if (bytes.IsEmpty)
            return;
        _unsynced.Add(new((int)offset, bytes.ToArray(), 0));
        Resize(ref _live, Math.Max(_liveLength, (int)offset + bytes.Length), ref _liveLength);
        bytes.CopyTo(_live.AsSpan((int)offset));
    }

    public void SetLength(long length)
    {
        _unsynced.Add(new(0, null, (int)length));
        Resize(ref _live, (int)length, ref _liveLength);
    }

    public void Sync()
    {
        if (_unsynced.Count == 0)
            return;
        var (image, length) = (_durable, _durable.Length);
        foreach (var change in _unsynced)
            Apply(change, ref image, ref length);
        _durable = image.AsSpan(0, length).ToArray();
        _unsynced.Clear();
        _hasDropped = _hasDropped && !Bytes.SequenceEqual(_durable);
    }

    /// <summary>
    /// A failed sync: some of the bytes may have reached the device, none of the others ever will. Lengths that were set are the file system's own,
    /// which keeps them for its next sync, or takes no more writes at all.
    /// </summary>
    public void FailSync(Random random)
    {
        if (random.Next(3) == 0)
            SyncFirst(random);
        _hasDropped |= _unsynced.RemoveAll(static change => change.Bytes is not null) > 0;
    }

    /// <summary>A sync that was cut off: the first changes are on the device.</summary>
    public void SyncFirst(Random random)
    {
        var count = random.Next(_unsynced.Count + 1);
        var rest = _unsynced[count..];
        _unsynced.RemoveRange(count, rest.Count);
        Sync();
        _unsynced.AddRange(rest);
    }

    /// <summary>The process ended: the page cache stays, but may let go of what a failed sync left in it as if it were clean, wholly or in part.</summary>
    public void Restart(Random random, bool maySurvive, Action<FaultKind> fired)
    {
        if (!_hasDropped)
            return;
        var fate = random.Next(3);
        if (fate == 0 || !maySurvive)
        {
            (_live, _liveLength) = WithoutDropped();
            _hasDropped = false;
            return;
        }

        if (fate == 1)
            Evict(random);
        fired(FaultKind.DroppedPage);
    }

    /// <summary>The page cache needs room: some clean pages are what the device has when they are read again. Pages are small here, as files are.</summary>
    public void Evict(Random random)
    {
        var (image, length) = WithoutDropped();
        Array.Resize(ref image, Math.Max(length, _liveLength));
        for (var start = 0; start < _liveLength; start += SectorBytes)
        {
            var count = Math.Min(SectorBytes, _liveLength - start);
            if (random.Next(2) == 0)
                image.AsSpan(start, count).CopyTo(_live.AsSpan(start));
        }
    }

    /// <summary>The machine ended: of what was not synced survives what the dice say.</summary>
    public void CutPower(Random random, Action<FaultKind> fired)
    {
        var (image, length) = (_durable.ToArray(), _durable.Length);
        var mode = random.Next(4);
        var prefix = mode == 2 ? random.Next(_unsynced.Count + 1) : 0;
        var hasLost = false;
        for (var i = 0; i < _unsynced.Count; i++)
        {
            var fate = mode switch
            {
                0 => Fate.Lost,
                1 => Fate.Kept,
                2 => i < prefix ? Fate.Kept : i == prefix ? (Fate)random.Next(5) : Fate.Lost,
                _ => (Fate)random.Next(5),
            };
            if (fate == Fate.Kept && hasLost)
                fired(FaultKind.ReorderedWrite);
            hasLost |= fate != Fate.Kept;
            Survive(_unsynced[i], fate, random, ref image, ref length, fired);
        }

        _durable = image.AsSpan(0, length).ToArray();
        (_live, _liveLength) = (_durable.ToArray(), _durable.Length);
        _unsynced.Clear();
        _hasDropped = false;
    }

    /// <summary>Changes one bit, on the device and in the page cache.</summary>
    public void Flip(long bit)
    {
        _live[bit / 8] ^= (byte)(1 << (int)(bit % 8));
        _durable[bit / 8] ^= (byte)(1 << (int)(bit % 8));
    }

    private (byte[] Image, int Length) WithoutDropped()
    {
        var (image, length) = (_durable.ToArray(), _durable.Length);
        foreach (var change in _unsynced)
            Apply(change, ref image, ref length);
        return (image, length);
    }

    private static void Survive(Change change, Fate fate, Random random, ref byte[] image, ref int length, Action<FaultKind> fired)
    {
        if (change.Bytes is null)
        {
            if (fate == Fate.Kept)
                Apply(change, ref image, ref length);
            else
                fired(change.Length < length ? FaultKind.LostTruncation : FaultKind.LostWrite);
            return;
        }

        switch (fate)
        {
            case Fate.Kept:
                Apply(change, ref image, ref length);
                break;
            case Fate.Torn:
                var kept = random.Next(change.Bytes.Length + 1);
                if (random.Next(2) == 0)
                    kept = Math.Max(0, ((change.Offset + kept) / SectorBytes * SectorBytes) - change.Offset);
                fired(kept == 0 ? FaultKind.LostWrite : FaultKind.TornWrite);
                Apply(new(change.Offset, change.Bytes[..kept], 0), ref image, ref length);
                break;
            case Fate.Scattered:
                if (Scatter(change, random, ref image, ref length))
                    fired(FaultKind.ScatteredWrite);
                break;
            case Fate.Zeros:
                fired(FaultKind.ZeroPages);
                Resize(ref image, Math.Max(length, change.Offset + change.Bytes.Length), ref length);
                break;
            default:
                fired(FaultKind.LostWrite);
                break;
        }
    }

    /// <returns>Whether it survived in part.</returns>
    private static bool Scatter(Change change, Random random, ref byte[] image, ref int length)
    {
        var (keptAny, lostAny) = (false, false);
        var end = change.Offset + change.Bytes!.Length;
        for (var start = change.Offset; start < end;)
        {
            var next = Math.Min(end, ((start / SectorBytes) + 1) * SectorBytes);
            if (random.Next(2) == 0)
            {
                Apply(new(start, change.Bytes[(start - change.Offset)..(next - change.Offset)], 0), ref image, ref length);
                keptAny = true;
            }
            else
            {
                lostAny = true;
            }

            start = next;
        }

        return keptAny && lostAny;
    }

    private static void Apply(Change change, ref byte[] image, ref int length)
    {
        if (change.Bytes is null)
        {
            Resize(ref image, change.Length, ref length);
            return;
        }

        if (change.Bytes.Length == 0)
            return;
        Resize(ref image, Math.Max(length, change.Offset + change.Bytes.Length), ref length);
        change.Bytes.CopyTo(image, change.Offset);
    }

    /// <summary>Bytes above the length are zero, so that a longer file is filled with zeros.</summary>
    private static void Resize(ref byte[] image, int newLength, ref int length)
    {
        if (newLength > image.Length)
            Array.Resize(ref image, Math.Max(newLength, 2 * image.Length));
        if (newLength < length)
            image.AsSpan(newLength, length - newLength).Clear();
        length = newLength;
    }

    private enum Fate
    {
        Kept,
        Lost,
        Torn,
        Scattered,
        Zeros,
    }

    /// <summary>Bytes at an offset, or without bytes a new length.</summary>
    private readonly record struct Change(int Offset, byte[]? Bytes, int Length);
}
