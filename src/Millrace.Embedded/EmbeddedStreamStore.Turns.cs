using Millrace.Streams.Engine;

namespace Millrace.Embedded;

/// <summary>
/// The server's door: a turn is a batch of commands that runs under one lock. Begin, apply and query, end, wait until
/// <see cref="WhenDurableAsync(long)"/>, and only then show the replies.
/// </summary>
public sealed partial class EmbeddedStreamStore
{
    /// <summary>The engine, for whoever has the turn.</summary>
    internal StreamEngine EngineNeedsLock => _engine;

    /// <summary>The LSN of the last record: what is shown now must wait for it.</summary>
    internal long LastLsnNeedsLock => _records.Count > 0 ? _lastLsn + 1 : _lastLsn;

    /// <summary>Told of each record when it was appended, under the lock: what a simulation expects to find again. The bytes are the call's.</summary>
    internal Action<ReadOnlySpan<byte>>? Recorded { get; set; }

    /// <summary>
    /// Why data may be neither shown nor changed: the journal takes no writes and lacks what was changed last. <see langword="null"/>: they may.
    /// </summary>
    internal Streams.StreamException? RefusalNeedsLock => _journal?.Refusal is { } refusal && !_journal.IsDurable(_lastLsn) ? refusal : null;

    /// <summary>Who waits for keys.</summary>
    internal BlockedReads BlockedNeedsLock => _blocked;

    internal SyncPolicy Sync => _sync;

    /// <summary>Whether it keeps a journal: if not, nothing ever waits.</summary>
    internal bool IsDurable => _openDevice is not null;

    internal TimeProvider Time => _time;

    /// <summary>Completes when a turn may begin: recovery is done and the journal has room. Usually at once.</summary>
    internal ValueTask WhenTurnPossibleAsync(CancellationToken cancellationToken) =>
        IsReady ? ValueTask.CompletedTask : WhenReadyAsync(cancellationToken);

    /// <summary>Takes the lock. <see cref="ExitTurn"/> must follow in any case.</summary>
    /// <returns>The moment of the turn in Unix milliseconds.</returns>
    /// <exception cref="Streams.StreamException">The store is closed; the lock is not held.</exception>
    internal long BeginTurn()
    {
        _lock.Enter();
        try
        {
            return EnterNeedsLock();
        }
        catch
        {
            _lock.Exit();
            throw;
        }
    }

    /// <summary>
    /// Takes the lock as <see cref="BeginTurn"/> does, also when the store is closed or its disk has failed, for what neither reads nor changes
    /// data: nothing becomes due. <see cref="ExitTurn"/> must follow.
    /// </summary>
    internal void EnterTurnBesidesTime() => _lock.Enter();

    /// <summary>Serves those who wait for what a command changed. To be called after each, so that they see what it left.</summary>
    internal void EndCommandNeedsLock(long nowMs) => WakeNeedsLock(nowMs);

    /// <summary>What a turn does last: what it made due, the reads it woke, the timer.</summary>
    internal void LeaveTurnNeedsLock(long nowMs) => LeaveNeedsLock(nowMs);

    /// <summary>Releases the lock.</summary>
    internal void ExitTurn() => _lock.Exit();

    /// <summary>Makes a read wait, until it is served, its time is over or it is taken out.</summary>
    /// <param name="blocked">The read.</param>
    /// <param name="block">How long at most; <see langword="null"/>: without a limit.</param>
    internal void BlockNeedsLock(BlockedRead blocked, TimeSpan? block)
    {
        _blocked.Add(blocked);
        if (block is { } limit)
            SetWaitTimer(blocked, limit);
    }

    /// <summary>Takes a read out, and ends its wait if it still waited.</summary>
    internal bool EndWaitNeedsLock(BlockedRead blocked, Action<BlockedRead> end)
    {
        if (!_blocked.Remove(blocked))
            return false;
        end(blocked);
        return true;
    }

    /// <summary>Completes when the record is as durable as the policy promises.</summary>
    /// <remarks>
    /// The journal writes on its caller's thread, which here polls sockets. A write to the page cache is cheaper than another thread; a sync would
    /// hold up the clients whose records it could take along.
    /// </remarks>
    internal ValueTask WhenDurableAsync(long lsn)
    {
        if (_journal is not { } journal || journal.IsDurable(lsn))
            return ValueTask.CompletedTask;
        return _sync == SyncPolicy.Always ? new(Task.Run(() => journal.WhenDurableAsync(lsn).AsTask())) : journal.WhenDurableAsync(lsn);
    }

    /// <summary>Whether a write or sync of the journal failed, so that it takes no more.</summary>
    internal bool IsBroken => _journal?.Failure is not null;

    /// <summary>Whether the record is as durable as the policy promises, so that who waits for it is told.</summary>
    internal bool IsAcknowledged(long lsn) => _journal?.IsDurable(lsn) ?? true;

    /// <summary>Whether the record is known to be on the device.</summary>
    internal bool IsSynced(long lsn) => _journal?.IsSynced(lsn) ?? false;

    /// <summary>Completes when the record is on the device, whatever the policy. Not for a store in memory. Costs a sync of the device.</summary>
    /// <exception cref="Streams.StreamException">The journal takes no more writes, or was closed.</exception>
    /// <remarks>Not on this thread, which may have the turn: the journal writes on its caller's.</remarks>
    internal Task SyncAsync(long lsn) => Task.Run(() => _journal!.SyncAsync(lsn));
}
