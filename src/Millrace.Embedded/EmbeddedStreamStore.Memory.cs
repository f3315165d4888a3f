using Millrace.Streams;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Embedded;

/// <summary>
/// The limit of memory. Which mutations need any is said in <see cref="Growth"/>; whether there is any, here, for the application in this process
/// and for the server's clients. The server asks before it runs a command, by Redis's flags; commits of both come through here.
/// </summary>
public sealed partial class EmbeddedStreamStore
{
    /// <summary>More publishers than this do not wait at a time: what they hold is memory, too.</summary>
    internal const int MaxWaitingWrites = 1_000;

    private readonly WhenFull _whenFull;
    private readonly TimeSpan _maxWaitWhenFull;

    /// <summary>The writes that wait for memory, in the order they came.</summary>
    private readonly LinkedList<WaitingWrite> _waitingWrites = [];

    /// <summary>Bytes that the keys may take; 0 for no limit. To be changed in a turn only.</summary>
    internal long MaxMemoryBytesNeedsLock { get; set; }

    /// <summary>Whether there is a limit to memory, and the keys take more.</summary>
    internal bool IsFullNeedsLock => MaxMemoryBytesNeedsLock > 0 && _engine.UsedBytes > MaxMemoryBytesNeedsLock;

    /// <summary>
    /// Whether there is room for what consumers must write to go on (<see cref="Commit.IsUpkeep"/>): a sixteenth above the limit. Nothing makes room on a
    /// full store but consumers that go on, so that they must not meet the limit of publishers.
    /// </summary>
    private bool HasReserveNeedsLock => _engine.UsedBytes - MaxMemoryBytesNeedsLock <= MaxMemoryBytesNeedsLock / 16;

    /// <summary>How many publishers wait.</summary>
    internal int WaitingWriteCount
    {
        get
        {
            lock (_lock)
                return _waitingWrites.Count;
        }
    }

    /// <summary>Whether a mutation must not be applied now. Nobody overtakes those who wait. Without a limit, two comparisons.</summary>
    private bool MustWaitNeedsLock<TMutation>(in TMutation mutation)
        where TMutation : struct, IMutation => IsTightNeedsLock && Growth.NeedsMemory(mutation, _engine);

    private bool IsTightNeedsLock => IsFullNeedsLock || _waitingWrites.Count > 0;

    private bool LetsWaitNeedsLock => _whenFull == WhenFull.Wait && _waitingWrites.Count < MaxWaitingWrites;

    /// <summary>Makes a write wait.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.OutOfMemory"/>: the store does not let it wait, or too many do.</exception>
    private WaitingWrite<TResult> WaitNeedsLock<TResult>(Func<long, TResult> write)
    {
        if (!LetsWaitNeedsLock)
            throw OutOfMemoryNeedsLock();
        var waiting = new WaitingWrite<TResult>(write);
        _waitingWrites.AddLast(waiting);
        return waiting;
    }

    /// <summary>Apart, so that a mutation that is applied at once allocates no closure.</summary>
    private WaitingWrite<TResult> WaitNeedsLock<TMutation, TResult>(TMutation mutation)
        where TMutation : struct, IMutation<TResult> => WaitNeedsLock(nowMs => ApplyNeedsLock<TMutation, TResult>(mutation, nowMs));

    /// <summary>
    /// Waits until the write is served, its time is over or it is cancelled, whichever takes it out of the queue first, and then until it is durable.
    /// </summary>
    private async ValueTask<TResult> WaitAsync<TResult>(WaitingWrite<TResult> waiting, CancellationToken cancellationToken)
    {
        SetTimer(waiting);
        await using var cancellation = cancellationToken.UnsafeRegister(
            (_, token) => EndWait(waiting, token), null).ConfigureAwait(false);
        var result = await waiting.Answer.ConfigureAwait(false);

        // Never below the record of the write, which was journaled before the wait ended.
        return await WhenDurableAsync(Volatile.Read(ref _lastLsn), result).ConfigureAwait(false);
    }

    private void SetTimer(WaitingWrite waiting)
    {
        var timer = _time.CreateTimer(_ => EndWait(waiting, null), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        lock (_lock)
        {
            if (!_waitingWrites.Contains(waiting))
            {
                timer.Dispose();
                return;
            }

            waiting.Timer = timer;
            timer.Change(_maxWaitWhenFull, Timeout.InfiniteTimeSpan);
        }
    }

    /// <param name="waiting">The write; nothing happens when it waits no longer.</param>
    /// <param name="cancellationToken">Who cancelled it; null: its time is over.</param>
    private void EndWait(WaitingWrite waiting, CancellationToken? cancellationToken)
    {
        lock (_lock)
        {
            if (!_waitingWrites.Remove(waiting))
                return;
            waiting.Timer?.Dispose();
            if (cancellationToken is { } token)
                waiting.Cancel(token);
            else
                waiting.Fail(OutOfMemoryNeedsLock());
        }
    }

    /// <summary>Lets those write who wait, one after the other, for as long as there is room.</summary>
    private void ServeWritesNeedsLock(long nowMs)
    {
        if (_waitingWrites.Count == 0 || IsFullNeedsLock)
            return;
        var database = _engine.Database;
        _engine.Select(0);
        while (_waitingWrites.First is { } first && !IsFullNeedsLock)
        {
            _waitingWrites.RemoveFirst();
            first.Value.Timer?.Dispose();
            first.Value.Serve(nowMs);
        }

        _engine.Select(database);
    }

    /// <summary>Ends every wait for memory: the store closes.</summary>
    private void FailWritesNeedsLock(StreamException error)
    {
        foreach (var waiting in _waitingWrites)
        {
            waiting.Timer?.Dispose();
            waiting.Fail(error);
        }

        _waitingWrites.Clear();
    }

    private StreamException OutOfMemoryNeedsLock() => new(
        StreamErrorCode.OutOfMemory,
        $"The keys take {_engine.UsedBytes} bytes of memory and may take {MaxMemoryBytesNeedsLock}: what needs more is refused until some are trimmed " +
        "or deleted. Acknowledging, deleting and trimming pass.");
}
