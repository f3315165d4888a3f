using Millrace.Consuming.Ordered;
using Millrace.Hosting;
using Millrace.Messages;
using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>Why the token of a running handler was cancelled.</summary>
internal enum CancelCause
{
    /// <summary>It was not, or by its time limit.</summary>
    None,
    LeaseLost,
    DrainDeadline,

    /// <summary>It cannot be decoded, and its group stops at such an entry.</summary>
    Halted,
    Abort,
}

/// <summary>
/// An entry this process holds, from the moment it was read or claimed until it is settled or let go. It is its own lock: nobody else can
/// take it, and another object a message would be a tenth of what handling one allocates.
/// </summary>
internal sealed class Delivery(string stream, bool isAgain, bool isRecovered, DeliveredEntry entry, long renewedAt)
{
    // Changed without the lock, which would be felt in what a message costs.
    private volatile DeliveryState _state = DeliveryState.Queued;
    private CancelCause _cause;
    private bool _isLost;
    private bool _isTaken;
    private bool _isSettledByHand;
    private bool _isInDoubt;

    // The running handler's token: time limit and everything in CancelCause.
    private CancellationTokenSource? _handler;

    // Only made when a handler asks for it.
    private CancellationTokenSource? _leaseLost;

    // Only for recovered entries, whose lane waits for them; and from the beginning, because a pause may hand them back before it does.
    private readonly TaskCompletionSource? _leftQueue = isRecovered ? new(TaskCreationOptions.RunContinuationsAsynchronously) : null;
    private readonly TaskCompletionSource? _ended = isRecovered ? new(TaskCreationOptions.RunContinuationsAsynchronously) : null;

    /// <summary>The stream the entry is pending in: the group's own, or its private one.</summary>
    public string Stream => stream;

    /// <summary>
    /// Whether <see cref="Stream"/> is the group's private one, whose entries nobody else needs after they are acknowledged.
    /// </summary>
    public bool IsAgain => isAgain;

    /// <summary>Whether the entry was claimed; entries claimed do not take room from entries read.</summary>
    public bool IsRecovered => isRecovered;

    public EntryId Id => entry.Id;

    public DeliveredEntry Entry => entry;

    /// <summary>
    /// Which attempt this is. The group's own history is in its private stream only: what a dead letter of another group, or an entry of
    /// another program, says of attempts and deliveries is none of this group's.
    /// </summary>
    public int Attempt => isAgain || Turn?.Parked is not null ? EnvelopeCodec.Decode(entry.Fields).Attempt : 1;

    /// <summary>
    /// Deliveries that count for the entry besides those of its pending entry; less those of them that ended as they should, where the entry
    /// stays and is delivered again.
    /// </summary>
    public long PriorDeliveries =>
        (isAgain ? EnvelopeCodec.Decode(entry.Fields).PriorDeliveries : 0) - (Turn?.Parked?.EndedDeliveries ?? 0);

    /// <summary>Whether the framework wrote the entry, as a copy of another one: what it says of its history is true, be it of another group.</summary>
    public bool IsCopy => isAgain || StreamNames.IsDeadLetters(stream);

    /// <summary>Whether the entry has a history that must not come along to the group's private stream.</summary>
    public bool HasForeignHistory
    {
        get
        {
            if (isAgain)
                return false;
            foreach (var one in entry.Fields)
            {
                if (EnvelopeFieldNames.IsHistory(one.Name.Span))
                    return true;
            }

            return false;
        }
    }

    /// <summary>What the entry says about its message.</summary>
    /// <param name="plan">The group.</param>
    public MessageHeaders ReadHeaders(GroupPlan plan) => new(entry.Id, entry.Fields, isOriginal: !IsCopy, plan.LaneStream);

    /// <summary>The ID the entry has in the stream it was published to.</summary>
    public EntryId SourceId => new MessageHeaders(entry.Id, entry.Fields, isOriginal: !IsCopy, lane: null).SourceId;

    /// <summary>In an ordered group: the tenure whose fence every commit has. The delivery ends with it.</summary>
    public Tenure? Tenure { get; init; }

    /// <summary>In an ordered group: whose turn it is. Says how it ended, for what comes after.</summary>
    public Turn? Turn { get; init; }

    public HeldEntry Held => new(entry.Id, entry.DeliveryCount);

    /// <summary>The document that says its message was handled, when the group keeps them. It is put with the acknowledgement.</summary>
    public StateKey? Seen { get; set; }

    /// <summary>Timestamp of the last moment the lease certainly began anew: read, claimed or extended.</summary>
    public long RenewedAt { get; set; } = renewedAt;

    /// <summary>
    /// Whether the handler settles, or has settled, by hand: it may go on, and there is no lease to lose any more.
    /// </summary>
    public bool IsSettledByHand
    {
        get => Volatile.Read(ref _isSettledByHand);
        set => Volatile.Write(ref _isSettledByHand, value);
    }

    /// <summary>Whether a commit of it was sent and nobody knows whether it was applied: not held any more, it may be lost or settled.</summary>
    public bool IsInDoubt
    {
        get => Volatile.Read(ref _isInDoubt);
        set => Volatile.Write(ref _isInDoubt, value);
    }

    public bool IsLost => Volatile.Read(ref _isLost);

    /// <summary>Whether the store has said that it is not this delivery's any more.</summary>
    public bool IsTaken
    {
        get => Volatile.Read(ref _isTaken);
        set => Volatile.Write(ref _isTaken, value);
    }

    public CancelCause Cause
    {
        get
        {
            lock (this)
                return _cause;
        }
    }

    public bool IsRunning => _state == DeliveryState.Running;

    /// <summary>Whether it waits for a handler: it has not begun, nor was it lost, handed back or ended.</summary>
    public bool IsQueued => _state == DeliveryState.Queued;

    public CancellationToken LeaseLost
    {
        get
        {
            lock (this)
            {
                _leaseLost ??= new();
                if (_isLost)
                    _leaseLost.Cancel();
                return _leaseLost.Token;
            }
        }
    }

    /// <summary>Ends when a handler begins with the delivery, which was recovered, or nobody will.</summary>
    public Task LeftQueue => _leftQueue!.Task;

    /// <summary>Ends when the delivery does, which was recovered.</summary>
    public Task Ended => _ended!.Task;

    /// <summary>Moves from the queue to a handler, unless the entry was lost or handed back while it waited.</summary>
    public bool TryStart() => TryLeaveQueue(DeliveryState.Running);

    /// <summary>Takes the entry out of the queue to hand it back.</summary>
    public bool TryHandBack() => TryLeaveQueue(DeliveryState.Ended);

    /// <summary>Lets a delivery be handed back, or begin again.</summary>
    public void ReturnToQueue() => _state = DeliveryState.Queued;

    /// <summary>Gives a run of the handler its token.</summary>
    public CancellationToken BeginRun(HandlerTokens tokens)
    {
        var source = tokens.Rent();
        var token = source.Token;
        bool isCancelled;
        lock (this)
        {
            _handler = source;
            isCancelled = _cause != CancelCause.None;
        }

        if (isCancelled)
            source.Cancel();
        return token;
    }

    /// <summary>Takes the token back, so that its time limit ends.</summary>
    public void EndRun(HandlerTokens tokens)
    {
        CancellationTokenSource? source;
        lock (this)
            (source, _handler) = (_handler, null);
        if (source is not null)
            tokens.Return(source);
    }

    /// <summary>
    /// Notes that somebody else may have the entry now. Returns whether it was still waiting in the queue, and is out of it.
    /// </summary>
    public bool Lose()
    {
        Volatile.Write(ref _isLost, true);
        Cancel(CancelCause.LeaseLost);

        // The handler's callbacks run on the pool: one that throws or blocks must not end the renewal of all other leases.
        lock (this)
            _ = _leaseLost?.CancelAsync();
        return TryLeaveQueue(DeliveryState.Ended);
    }

    /// <summary>Cancels the handler's token. The first cause stays.</summary>
    public void Cancel(CancelCause cause)
    {
        lock (this)
        {
            if (_cause == CancelCause.None)
                _cause = cause;

            // Callbacks of the token run on the pool, not under the lock.
            _ = _handler?.CancelAsync();
        }
    }

    public void End()
    {
        _state = DeliveryState.Ended;
        _leftQueue?.TrySetResult();
        _ended?.TrySetResult();
    }

    private bool TryLeaveQueue(DeliveryState next)
    {
        if (Interlocked.CompareExchange(ref _state, next, DeliveryState.Queued) != DeliveryState.Queued)
            return false;
        _leftQueue?.TrySetResult();
        return true;
    }

    private enum DeliveryState
    {
        Queued,
        Running,
        Ended,
    }
}
