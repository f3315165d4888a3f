using System.Diagnostics;

namespace Millrace.Streams.Engine;

/// <summary>How much memory the keys take, counted as they change.</summary>
/// <remarks>
/// A value can tell its size at any time. Whoever changes one has looked it up here before, so that only the value looked up last may have
/// another size than was counted: it is counted when another one is looked up, or when somebody asks for the sum. To a mutation of the same
/// key as the one before, all this is one comparison. A stream counts its groups in the same way.
/// </remarks>
internal sealed partial class StreamEngine
{
    /// <summary>A key beside its characters and its value: an entry of the hash table, a slot, the headers of two objects.</summary>
    private const int KeyBytes = 144;

    private KeyspaceValue? _lookedAt;

    private long _usedBytes;

    private long _peakBytes;

    /// <summary>Bytes of memory that all keys take, about.</summary>
    public long UsedBytes
    {
        get
        {
            Count(_lookedAt);
            return _usedBytes;
        }
    }

    /// <summary>The most that <see cref="UsedBytes"/> ever was.</summary>
    public long PeakBytes => Math.Max(_peakBytes, UsedBytes);

    /// <summary>Bytes of memory that a key takes with its value, about.</summary>
    public static long SizeOf(KeyspaceValue value) => KeyBytes + (2L * value.Key.Length) + value.SizeBytes;

    /// <summary>What a key of the current database holds, perhaps to change it.</summary>
    public KeyspaceValue? Find(string key)
    {
        var found = Keyspace.Find(key);
        if (found is not null)
            LookAt(found);
        return found;
    }

    private void LookAt(KeyspaceValue value)
    {
        if (value == _lookedAt)
            return;
        Count(_lookedAt);
        _lookedAt = value;
    }

    private void Count(KeyspaceValue? value)
    {
        if (value is null)
            return;
        var bytes = SizeOf(value);
        _usedBytes += bytes - value.CountedBytes;
        value.CountedBytes = bytes;
        _peakBytes = Math.Max(_peakBytes, _usedBytes);
    }

    /// <summary>The value is under no key any more.</summary>
    private void Uncount(KeyspaceValue value)
    {
        _usedBytes -= value.CountedBytes;
        value.CountedBytes = 0;
        if (value == _lookedAt)
            _lookedAt = null;
    }

    [Conditional("DEBUG")]
    private void VerifyMemory() => Debug.Assert(
        UsedBytes == _databases.Sum(static keyspace => keyspace.Values.Sum(SizeOf)), "The memory of every key is counted.");
}
