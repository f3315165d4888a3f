using Millrace.Embedded.Storage;
using Millrace.Streams;

namespace Millrace.Embedded.Journal;

/// <summary>
/// What happens when the device fails. For good: the journal is latched until a restart. Because it is full: the batch stays parked where it is,
/// half-written frames cut off, callers are refused, and once a second it is tried again; when that succeeds, engine and journal agree again and
/// service goes on. Who waits for a record that was appended is in doubt (<see cref="StreamErrorCode.OutcomeUnknown"/>); who comes later is refused
/// (<see cref="StreamErrorCode.ReadOnly"/>).
/// </summary>
internal sealed partial class StreamJournal
{
    /// <summary>A full device is tried again this often.</summary>
    private static readonly TimeSpan ProbeDelay = TimeSpan.FromSeconds(1);

    /// <summary>Why the journal takes no more records until a restart; the first cause wins.</summary>
    private Exception? _failure;

    /// <summary>Why the journal takes no records now: the device is full.</summary>
    private StorageFullException? _full;

    /// <summary>Whether <see cref="_writing"/> waits for room, and is nobody's until the next try.</summary>
    private bool _isParked;

    /// <summary>Why the journal takes no records, for now or for good; <see langword="null"/>: it does.</summary>
    public Exception? Failure => Volatile.Read(ref _failure) ?? Volatile.Read(ref _full);

    /// <summary>What callers who come now are told while it takes no records.</summary>
    public StreamException? Refusal => Failure is { } failure ? ReadOnly(failure) : null;

    /// <summary>Whether it takes no more until a restart.</summary>
    public bool IsLatched => Volatile.Read(ref _failure) is not null;

    /// <summary>Takes no more records until a restart; the first cause counts.</summary>
    public void Latch(Exception failure)
    {
        lock (_gate)
        {
            if (_failure is not null)
                return;
            _failure = failure;
        }

        JournalLog.Latched(_logger, _segment.Path, failure.Message, failure);
    }

    /// <summary>Takes back what a failed write left behind. Where that fails, too, nothing can go on.</summary>
    private Exception CutOff(Exception failure)
    {
        try
        {
            _segment.CutOff();
        }
        catch (IOException exception)
        {
            JournalLog.TruncateFailed(_logger, _segment.Path, _segment.Length, exception);
            Latch(failure is StorageFullException ? exception : failure);
            return _failure!;
        }

        if (failure is not StorageFullException)
            Latch(failure);
        else if (Volatile.Read(ref _full) is null)
            JournalLog.Full(_logger, _segment.Path, failure.Message, failure);
        return _failure ?? failure;
    }

    private BatchWaiters? ParkNeedsLock(JournalBatch batch, StorageFullException full)
    {
        _full = full;
        _isParked = true;
        if (!_closed)
            _probeTimer.Change(ProbeDelay, Timeout.InfiniteTimeSpan);
        return batch.TakeWaiters();
    }

    private void TryAgain()
    {
        lock (_gate)
        {
            if (!_isParked || _failure is not null)
                return;
            _isParked = false;
        }

        if (WriteBatch() is null)
            JournalLog.RoomAgain(_logger, _segment.Path);
    }

    /// <summary>What a call is told of which nothing is in the journal, and never will be.</summary>
    private StreamException ReadOnly(Exception cause) => new(StreamErrorCode.ReadOnly, Explain(cause), cause);

    /// <summary>What a call is told whose record was appended, or that shows such records: room, or a restart, may bring them or not.</summary>
    private StreamException InDoubt(Exception cause) => new(StreamErrorCode.OutcomeUnknown, Explain(cause), cause);

    private string Explain(Exception cause) => cause is StorageFullException
        ? $"The journal '{_segment.Path}' takes no writes while its device is full: {cause.Message} It goes on by itself when there is room; " +
          "whether a write that was under way takes effect is unknown until then."
        : $"The journal '{_segment.Path}' takes no more writes since one failed: {cause.Message} Restart the process when the cause is gone.";
}
