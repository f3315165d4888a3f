using System.Diagnostics;

namespace Millrace.Embedded.Journal;

/// <summary>
/// Records on their way to disk, laid out as they will lie there, and those who wait for them. The journal has two: one is filled while the other
/// is written. Not safe for concurrent use; the journal's lock, or the sole writer, guards it.
/// </summary>
internal sealed class JournalBatch
{
    /// <summary>A buffer that one burst made larger than this is not kept: an idle store must not sit on it.</summary>
    private const int KeptBytes = 4 * 1024 * 1024;

    private const int InitialBytes = 64 * 1024;

    private byte[] _bytes = new byte[InitialBytes];
    private TaskCompletionSource? _waiters;

    /// <summary>The records' bytes.</summary>
    public ReadOnlySpan<byte> Bytes => _bytes.AsSpan(0, Length);

    public int Length { get; private set; }

    /// <summary>The LSN of the last record; zero when there is none.</summary>
    public long LastLsn { get; private set; }

    public bool HasWaiters => _waiters is not null;

    public void Add(ulong salt, long lsn, ReadOnlySpan<byte> payload)
    {
        Debug.Assert(LastLsn == 0 || lsn == LastLsn + 1, "LSNs have no gaps.");
        var end = Length + JournalFormat.RecordHeaderBytes + payload.Length;
        if (end > _bytes.Length)
            Array.Resize(ref _bytes, (int)Math.Min(Math.Max(end, 2L * _bytes.Length), Array.MaxLength));

        JournalFormat.WriteRecord(_bytes.AsSpan(Length, end - Length), salt, lsn, payload);
        Length = end;
        LastLsn = lsn;
    }

    /// <summary>Completes, on the thread pool, when the batch is durable. One task for all who wait.</summary>
    public Task WhenDurable() => (_waiters ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task;

    /// <summary>Empties the batch for its next filling and hands out those who wait, to be told outside the lock.</summary>
    public TaskCompletionSource? Clear()
    {
        var waiters = _waiters;
        _waiters = null;
        Length = 0;
        LastLsn = 0;
        if (_bytes.Length > KeptBytes)
            _bytes = new byte[InitialBytes];
        return waiters;
    }
}
