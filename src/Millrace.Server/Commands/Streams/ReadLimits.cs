using Millrace.Streams;
using Millrace.Streams.Engine;

namespace Millrace.Server.Commands.Streams;

/// <summary>COUNT, MAXCOUNT and MAXSIZE: how much a call of XREAD or XREADGROUP answers at most. 0 stands for no limit.</summary>
internal struct ReadLimits
{
    private long _count;
    private long _maxCount;
    private long _maxBytes;

    /// <summary>Entries of each stream.</summary>
    public readonly int Count => _count == 0 ? int.MaxValue : (int)Math.Min(_count, int.MaxValue);

    /// <summary>
    /// Reads the option at an index, if it is one of these, and leaves the index at its value. <paramref name="isError"/>: it is, but a wrong
    /// one, and the error is written.
    /// </summary>
    public bool TryRead(in CommandCall call, ref int index, out bool isError)
    {
        isError = false;
        if (index + 1 >= call.Count)
            return false;
        if (call.Is(index, "COUNT"u8))
        {
            isError = !call.TryInteger(++index, out var count);
            _count = Math.Max(0, count);
            return true;
        }

        var isCount = call.Is(index, "MAXCOUNT"u8);
        if (!isCount && !call.Is(index, "MAXSIZE"u8))
            return false;
        isError = !Numbers.TryParseInt64(call[++index], out var limit) || limit < 1;
        if (isError)
            call.Error($"ERR {(isCount ? "MAXCOUNT" : "MAXSIZE")} must be a positive integer");
        else if (isCount)
            _maxCount = limit;
        else
            _maxBytes = limit;
        return true;
    }

    /// <summary>Whether the limits go together, when all are read; otherwise the error is written.</summary>
    public readonly bool TryFinish(in CommandCall call)
    {
        if (_maxCount == 0 || _maxCount >= _count)
            return true;
        call.Error("ERR MAXCOUNT must be greater than or equal to COUNT");
        return false;
    }

    /// <summary>What the limits over all streams leave to a reply that begins.</summary>
    public readonly ReadBudget Begin() => new(_maxCount, _maxBytes);
}

/// <summary>
/// What MAXCOUNT and MAXSIZE leave to the rest of a reply. MAXSIZE is soft, as in Redis: an entry is still answered while the bytes so far are
/// below it, so that the first one always is.
/// </summary>
internal struct ReadBudget(long maxCount, long maxBytes)
{
    private long _entriesLeft = maxCount == 0 ? long.MaxValue : maxCount;
    private long _bytesLeft = maxBytes == 0 ? long.MaxValue : maxBytes;

    /// <summary>Bytes in front of a stream's entries, until the first of them is taken.</summary>
    private long _headBytes;

    /// <summary>Whether there are any limits. Without them nothing need be counted or measured.</summary>
    public bool IsLimited { get; } = maxCount > 0 || maxBytes > 0;

    /// <summary>Entries that may still be answered, as far as their number goes.</summary>
    public readonly int EntriesLeft => (int)Math.Min(_entriesLeft, int.MaxValue);

    /// <summary>Whether no further entry may be answered.</summary>
    public readonly bool IsUsedUp => _entriesLeft <= 0 || _bytesLeft <= 0;

    /// <summary>The entries of a stream come next.</summary>
    public void BeginStream(string key) => _headBytes = EntryReplies.SizeOfHead(key);

    /// <summary>Takes room for an entry of a size.</summary>
    public void Take(long bytes)
    {
        _entriesLeft--;
        _bytesLeft -= _headBytes + bytes;
        _headBytes = 0;
    }

    /// <summary>How many entries from an ID on may be answered, and takes room for them. Without limits just <paramref name="count"/>.</summary>
    /// <param name="entries">The entries.</param>
    /// <param name="first">The smallest ID.</param>
    /// <param name="count">The most that are wanted.</param>
    /// <param name="extraBytes">What each takes besides its ID and fields.</param>
    public int Take(EntryLog entries, EntryId first, int count, int extraBytes = 0)
    {
        if (!IsLimited)
            return count;
        var taken = 0;
        for (var range = entries.From(first, EntryId.Max); taken < count && !IsUsedUp && range.MoveNext(); taken++)
            Take(EntryReplies.SizeOf(in range.Current) + extraBytes);
        return taken;
    }
}
