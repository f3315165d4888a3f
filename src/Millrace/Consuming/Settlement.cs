using System.Runtime.InteropServices;
using Microsoft.Extensions.Logging;
using Millrace.Consuming.Ordered;
using Millrace.Hosting;
using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>
/// The end of every delivery: one switch over <see cref="SettleAction"/>. No other code acknowledges, retries, dead-letters or hands back.
/// </summary>
internal sealed partial class Settlement
{
    private readonly MillraceCore _core;
    private readonly IStreamStore _store;
    private readonly GroupPlan _plan;
    private readonly HeldDeliveries _held;
    private readonly ILogger _logger;
    private readonly CancellationToken _abort;
    private readonly Func<Delivery, Exception, Task> _refused;
    private readonly FlushBatch<Delivery> _acks;
    private readonly FlushBatch<PendingCommit> _commits;

    // Commits that nobody waits for, and who waits until there are none.
    private readonly Lock _lock = new();
    private int _unwatched;
    private TaskCompletionSource? _watched;

    /// <param name="core">Clock and options.</param>
    /// <param name="store">The store.</param>
    /// <param name="plan">The group.</param>
    /// <param name="held">Where deliveries end.</param>
    /// <param name="logger">The log.</param>
    /// <param name="abort">Cancelled when nothing may be settled any more.</param>
    /// <param name="refused">Settles a delivery whose effects the store will not take, when nobody waits for that.</param>
    public Settlement(
        MillraceCore core, IStreamStore store, GroupPlan plan, HeldDeliveries held, ILogger logger, CancellationToken abort,
        Func<Delivery, Exception, Task> refused)
    {
        (_core, _store, _plan, _held, _logger, _abort, _refused) = (core, store, plan, held, logger, abort, refused);
        _acks = new(FlushAcksAsync);
        _commits = new(FlushCommitsAsync);
    }

    public MillraceCore Core => _core;

    public IStreamStore Store => _store;

    public GroupPlan Plan => _plan;

    /// <summary>
    /// Settles a delivery. What can only be applied, or be too late, joins the next batch and is not waited for: a plain acknowledgement, and
    /// one with effects that depend on nothing. The handler's place is free for the next message meanwhile, and batches grow with the prefetch.
    /// </summary>
    /// <returns>Settled or let go; or what stands against the handler's effects, and then nothing is settled yet.</returns>
    public ValueTask<SettleResult> SettleAsync(Delivery delivery, MessageContext? context, SettleAction action)
    {
        if (_abort.IsCancellationRequested)
            action = SettleAction.Abandon.Instance;
        if (action is not SettleAction.Ack || !IsPlain(delivery, context) || (context is not null && _plan.Options.OnSettling is not null))
            return SettleSlowAsync(delivery, context, action);
        _acks.Add(delivery, isFirstOfMany: _held.AreSeveral);
        return new(SettleResult.Done);
    }

    /// <summary>
    /// Whether the entry is all there is to acknowledge. It need not be fenced then: the handler did run, and a later owner's own effects then conflict. One
    /// that somebody else may have is fenced all the same, and left to whoever has it.
    /// </summary>
    private static bool IsPlain(Delivery delivery, MessageContext? context) =>
        delivery is { Tenure: null, IsLost: false } && (context is null || (!context.IsSettled && !context.HasEffects && delivery.Seen is null));

    private async ValueTask<SettleResult> SettleSlowAsync(Delivery delivery, MessageContext? context, SettleAction action)
    {
        switch (action)
        {
            case SettleAction.Ack when context is { IsSettled: true }:
                _held.Remove(delivery);
                return SettleResult.Done;

            case SettleAction.Ack when CanOnlyBeApplied(delivery, context):
                _ = CommitUnwatchedAsync(delivery, context!);
                return SettleResult.Done;

            case SettleAction.Ack:
                return await CommitAsync(delivery, action, context, [], isHandled: context is not null).ConfigureAwait(false);

            case SettleAction.Retry retry when delivery.Turn is { Key: not null } turn:
                return await ParkAsync(delivery, turn, retry).ConfigureAwait(false);

            case SettleAction.Retry retry:
                LogMessages.HandlerFailed(_logger, retry.Error, _plan.Stream, _plan.Group, delivery.Id, retry.Delay);
                EntryFields? again = retry.IsCounted
                    ? MovedEntry.ForRetry(delivery, MovedEntry.Describe(retry.Error), _core.Time.GetUtcNow())
                    : MovedEntry.ForHandBack(delivery);
                if (again is not { } copy)
                    return await SettleSlowAsync(delivery, context, new SettleAction.DeadLetter(DeadLetterReasons.TooLarge, retry.Error)).ConfigureAwait(false);
                var schedule = new CommitChange.Schedule(_plan.Again, copy, retry.Delay);
                return await CommitAsync(delivery, action, context, [schedule], keepsEffects: false).ConfigureAwait(false);

            case SettleAction.DeadLetter dead:
                return await DeadLetterAsync(delivery, context, dead).ConfigureAwait(false);

            default:
                LogMessages.Abandoned(_logger, _plan.Stream, _plan.Group, delivery.Id);
                if (delivery.Cause is CancelCause.DrainDeadline or CancelCause.Halted)
                    delivery.ReturnToQueue(); // It is handed back once the handlers are through, or the group stops.
                else
                    _held.Remove(delivery);
                return SettleResult.Done;
        }
    }

    /// <summary>Settles for a handler that does it itself.</summary>
    /// <returns>Whether the entry was still held, and is settled now.</returns>
    public async ValueTask<bool> SettleByHandAsync(
        Delivery delivery, MessageContext context, SettleAction action, CancellationToken cancellationToken)
    {
        var settling = action is SettleAction.DeadLetter dead
            ? DeadLetterAsync(delivery, context, dead, endsDelivery: false)
            : CommitAsync(delivery, action, context, [], isHandled: action is SettleAction.Ack, endsDelivery: false);
        var result = await settling.AsTask().WaitAsync(cancellationToken).ConfigureAwait(false);
        if (result.Conflict is { } conflict)
            throw new CommitConflictException(conflict);
        if (!result.IsApplied && delivery.IsInDoubt)
            throw new StreamException(
                StreamErrorCode.OutcomeUnknown,
                $"Whether entry {delivery.Id} of '{delivery.Stream}' is settled in group '{_plan.Group}' is not known: an answer was lost or a disk failed. " +
                "Either all was written, or nothing and the message is delivered again.",
                result.Refusal);
        return result.Refusal is { } refusal ? throw refusal : result.IsApplied;
    }

    /// <summary>Gives entries back to the group that no handler began with; the delivery does not count.</summary>
    public async Task HandBackAsync(IReadOnlyList<Delivery> deliveries, CancellationToken cancellationToken)
    {
        foreach (var batch in deliveries.Chunk(1_000))
        {
            try
            {
                var results = await _store.CommitAsync([.. batch.Select(HandBack).Where(CanBeWritten)], cancellationToken).ConfigureAwait(false);
                LogMessages.HandedBack(_logger, _plan.Stream, _plan.Group, results.Count(result => result.IsApplied));
                if (results.FirstOrDefault(result => result.Failure is not null)?.Failure is { } refusal)
                    LogMessages.HandBackFailed(
                        _logger, refusal, _plan.Stream, _plan.Group, results.Count(result => result.Failure is not null));
            }
            catch (Exception exception)
            {
                // They stay pending: this consumer's next run, or another one after the lease, picks them up. Whatever it was, the drain goes on.
                LogMessages.HandBackFailed(_logger, exception, _plan.Stream, _plan.Group, batch.Length);
            }
        }

        _held.Remove([.. deliveries]);
    }

    /// <summary>An entry at a limit that its copy would break stays pending, too; the others go back without it.</summary>
    private bool CanBeWritten(Commit commit)
    {
        try
        {
            StreamArguments.CheckCommit(commit);
            return true;
        }
        catch (ArgumentException exception)
        {
            LogMessages.HandBackFailed(_logger, exception, _plan.Stream, _plan.Group, 1);
            return false;
        }
    }

    /// <summary>Ends when everything handed over so far has left.</summary>
    public Task WhenIdleAsync() => Task.WhenAll(_acks.WhenIdleAsync(), _commits.WhenIdleAsync(), WhenWatchedAsync());

    private Task WhenWatchedAsync()
    {
        lock (_lock)
            return _unwatched > 0 ? (_watched ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task : Task.CompletedTask;
    }

    /// <summary>
    /// Nothing would run the handler again: it read no document that it writes, and the group keeps neither an order nor the messages it has
    /// seen. With one handler at a time effects leave in the order of the messages, also where a commit has to be sent again.
    /// </summary>
    private bool CanOnlyBeApplied(Delivery delivery, MessageContext? context) =>
        context is { HasConditions: false } && delivery is { Tenure: null, Seen: null } && _plan.Options.Concurrency > 1;

    /// <summary>Never throws.</summary>
    private async Task CommitUnwatchedAsync(Delivery delivery, MessageContext context)
    {
        lock (_lock)
            _unwatched++;
        try
        {
            var result = await CommitAsync(delivery, SettleAction.Ack.Instance, context, [], isHandled: true).ConfigureAwait(false);
            if (result.Refusal is { } refusal)
                await _refused(delivery, refusal).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            // A mistake of ours: the entry stays pending and is delivered again after the lease.
            if (!_abort.IsCancellationRequested)
                LogMessages.SettlementFailed(_logger, exception, _plan.Stream, _plan.Group, delivery.Id);
            _held.Remove(delivery);
        }
        finally
        {
            lock (_lock)
            {
                if (--_unwatched == 0)
                {
                    _watched?.TrySetResult();
                    _watched = null;
                }
            }
        }
    }

    /// <summary>An entry that has a place in an order stays there; all that is written is that this delivery was no death.</summary>
    private Commit HandBack(Delivery delivery) => new()
    {
        Conditions = StillOurs(delivery),
        Changes = delivery is { Tenure: { } tenure, Turn: { Key: not null } turn }
            ? tenure.ParkChanges(turn, ParkedHead.After(delivery, null, turn.Parked is { IsExhausted: true }, _core.Time.GetUtcNow()))
            : IsDeletedWhenDone(delivery) || delivery.HasForeignHistory
            ? [new CommitChange.Append(_plan.Again, MovedEntry.ForHandBack(delivery)), AckChange(delivery)]
            : [new CommitChange.Release(delivery.Stream, _plan.Group, delivery.Held)],
        IsUpkeep = true,
    };

    /// <summary>The fence: the entry is still this delivery's, and in an ordered group this process still its reader.</summary>
    private List<CommitCondition> StillOurs(Delivery delivery)
    {
        List<CommitCondition> fence = [CommitCondition.StillHeld(delivery.Stream, _plan.Group, _plan.Consumer, delivery.Held)];
        if (delivery.Tenure is { } tenure)
            fence.Add(tenure.Fence);
        return fence;
    }

    /// <summary>In an ordered group an entry that failed is not moved, but stays the first of its key.</summary>
    private async ValueTask<SettleResult> ParkAsync(Delivery delivery, Turn turn, SettleAction.Retry retry)
    {
        var isExhausted = retry.Delay == Timeout.InfiniteTimeSpan;
        if (isExhausted)
            LogMessages.KeyParked(_logger, retry.Error, _plan.Stream, _plan.Group, delivery.Id);
        else
            LogMessages.HandlerFailed(_logger, retry.Error, _plan.Stream, _plan.Group, delivery.Id, retry.Delay);

        var parked = ParkedHead.After(delivery, retry.IsCounted ? retry.Error : null, isExhausted, _core.Time.GetUtcNow());
        var commit = new Commit { Conditions = StillOurs(delivery), Changes = delivery.Tenure!.ParkChanges(turn, parked), IsUpkeep = true };
        var result = await ApplyAsync(delivery, commit).ConfigureAwait(false);
        if (result.IsApplied)
        {
            _core.Meter.Settled(_plan, retry, outputs: null);
            turn.ParkedNote ??= result.Ids is [var note] ? note : null;
            (turn.Parked, turn.Delay, turn.End) = (parked, retry.Delay, TurnEnd.Parked);
        }

        if (result.Refusal is null)
            _held.Remove(delivery);
        return result;
    }

    /// <summary>
    /// Gives a message up. One that its letter cannot have whole must be somewhere else: what came to the private stream is still in the one it came from,
    /// unless that is the group's own, or was trimmed meanwhile, which settled entries may be.
    /// </summary>
    private async ValueTask<SettleResult> DeadLetterAsync(
        Delivery delivery, MessageContext? context, SettleAction.DeadLetter dead, bool endsDelivery = true)
    {
        LogMessages.DeadLettered(_logger, dead.Error, _plan.Stream, _plan.Group, delivery.Id, dead.Reason);
        var here = new CommitCondition.Exists(delivery.Stream, delivery.Id);
        var whole = delivery.IsAgain && !_plan.Options.OwnsStream ? new(_plan.Stream, delivery.SourceId) : here;
        var result = await DeadLetterAsync(delivery, context, dead, whole, endsDelivery).ConfigureAwait(false);
        return whole != here && result.Conflict == whole
            ? await DeadLetterAsync(delivery, context, dead, here, endsDelivery).ConfigureAwait(false)
            : result;
    }

    private ValueTask<SettleResult> DeadLetterAsync(
        Delivery delivery, MessageContext? context, SettleAction.DeadLetter dead, CommitCondition.Exists whole, bool endsDelivery)
    {
        var letter = MovedEntry.ForDeadLetter(delivery, _plan, dead.Reason, dead.Error, _core.Time.GetUtcNow(), whole);
        return CommitAsync(
            delivery, dead, context, [new CommitChange.Append(_plan.DeadLetters, letter)], keepsEffects: dead.KeepOutputs, endsDelivery: endsDelivery,
            whole: MovedEntry.IsCut(letter) ? whole : null);
    }

    /// <summary>Whether nobody else reads the stream of the entry: the group's private one, or one that is its own.</summary>
    private bool IsDeletedWhenDone(Delivery delivery) => delivery.IsAgain || _plan.Options.OwnsStream;

    private CommitChange AckChange(Delivery delivery, bool keepsEntry = false) => IsDeletedWhenDone(delivery) && !keepsEntry
        ? new CommitChange.AckAndDelete(delivery.Stream, _plan.Group, delivery.Id)
        : new CommitChange.Ack(delivery.Stream, _plan.Group, delivery.Id);

    /// <summary>
    /// The one shape of a fenced settlement: still mine and state unchanged → effects, changes, ack. Of a message that is whole in one entry only, that one
    /// is there and stays.
    /// </summary>
    private async ValueTask<SettleResult> CommitAsync(
        Delivery delivery,
        SettleAction action,
        MessageContext? context,
        List<CommitChange> changes,
        bool isHandled = false,
        bool keepsEffects = true,
        bool endsDelivery = true,
        CommitCondition.Exists? whole = null)
    {
        var conditions = StillOurs(delivery);
        if (keepsEffects)
            context?.AddEffectsTo(conditions, changes);
        if (whole is not null && whole.Stream != delivery.Stream)
            conditions.Add(whole);

        // All else is at most a copy of a message that the store has accepted, and documents: a group goes on with them also when the store is full.
        var isUpkeep = !keepsEffects || context is not { HasEffects: true };
        if (isHandled && delivery.Seen is { } seen)
        {
            // Where somebody else was faster this conflicts like any other document; the run after it finds a duplicate.
            conditions.Add(CommitCondition.StateAbsent(seen));
            changes.Add(new CommitChange.PutState(seen, default, _plan.Options.DeduplicationWindow));
        }

        if (delivery is { Tenure: { } tenure, Turn: { } turn })
            changes.AddRange(tenure.UnparkChanges(turn));
        changes.Add(AckChange(delivery, keepsEntry: whole?.Stream == delivery.Stream));
        var result = _plan.Options.OnSettling is not null && (isHandled || action is not SettleAction.Ack)
            ? await ApplyJoinedAsync(delivery, context ?? new(delivery, this), action, conditions, changes, isUpkeep).ConfigureAwait(false)
            : await ApplyAsync(delivery, new() { Conditions = conditions, Changes = changes, IsUpkeep = isUpkeep }).ConfigureAwait(false);

        if (result.IsApplied)
        {
            _core.Meter.Settled(_plan, action, keepsEffects ? context?.Outputs : null);
            if (delivery.Turn is { } ended)
                ended.End = TurnEnd.Settled;
        }

        // A refusal or a conflict on state is not the end: the handler runs again, or its message is retried.
        if (endsDelivery && result is { Conflict: null, Refusal: null })
            _held.Remove(delivery);
        return result;
    }

    private async ValueTask<SettleResult> ApplyAsync(Delivery delivery, Commit commit)
    {
        try
        {
            // One commit that breaks a limit must not take the batch down with it.
            StreamArguments.CheckCommit(commit);
        }
        catch (ArgumentException exception)
        {
            return new() { Refusal = new StreamException(StreamErrorCode.LimitExceeded, exception.Message, exception) };
        }

        for (var failures = 1; ; failures++)
        {
            var pending = new PendingCommit(commit);
            _commits.Add(pending);
            var (result, failure) = await pending.Outcome.Task.ConfigureAwait(false);
            failure ??= result?.Failure;
            _core.Refusals.Note(failure);
            if (failure is null)
                return Read(delivery, result!);

            // One that the store refused, or that was never sent, changed nothing. All else may have been applied, by a journal that failed as well.
            delivery.IsInDoubt |= result is null && failure.Code != StreamErrorCode.Unavailable;
            if (_abort.IsCancellationRequested || failure.Code == StreamErrorCode.Closed)
                return SettleResult.LetGo;
            if (!failure.IsTransient)
                return new() { Refusal = failure };
            if (delivery.IsLost)
                return LetGo(delivery);

            // Fenced, so it may be sent again whatever became of it: if it was applied, it now conflicts with its own fence.
            LogMessages.SettlementRetried(_logger, failure, _plan.Stream, _plan.Group, delivery.Id);
            await Backoff.WaitForStoreAsync(failures, _core.Time, _abort)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private SettleResult Read(Delivery delivery, CommitResult result) => result.Conflict switch
    {
        null => SettleResult.Applied(result.Ids),
        var conflict when StillOurs(delivery).Contains(conflict) => LetGo(delivery, conflict),
        var conflict => new() { Conflict = conflict },
    };

    private SettleResult LetGo(Delivery delivery, CommitCondition? conflict = null)
    {
        if (conflict is CommitCondition.State)
            delivery.Tenure?.Lose();
        LogMessages.NotHeld(_logger, _plan, delivery);
        return SettleResult.LetGo;
    }

    /// <summary>Never throws: what fails is asked again for as long as the entries are ours.</summary>
    private async Task FlushAcksAsync(List<Delivery> batch)
    {
        for (var failures = 1; !_abort.IsCancellationRequested; failures++)
        {
            try
            {
                await AckAsync(batch, isAgain: false).ConfigureAwait(false);
                await AckAsync(batch, isAgain: true).ConfigureAwait(false);
                break;
            }
            catch (StreamException exception) when (exception.IsTransient && !batch.TrueForAll(static delivery => delivery.IsLost))
            {
                _core.Refusals.Note(exception);
                LogMessages.SettlementRetried(_logger, exception, _plan.Stream, _plan.Group, batch[0].Id);
                await Backoff.WaitForStoreAsync(failures, _core.Time, _abort).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
            catch (Exception exception)
            {
                // They stay pending and are delivered again after the lease: at least once, as promised.
                if (!_abort.IsCancellationRequested)
                    LogMessages.SettlementFailed(_logger, exception, _plan.Stream, _plan.Group, batch[0].Id);
                break;
            }
        }

        _held.Remove(CollectionsMarshal.AsSpan(batch));
    }

    private async ValueTask AckAsync(List<Delivery> batch, bool isAgain)
    {
        // What was lost while it waited, or while the store was away, is somebody else's to acknowledge.
        var count = 0;
        foreach (var delivery in batch)
            count += delivery.IsAgain == isAgain && !delivery.IsLost ? 1 : 0;
        var ids = new EntryId[count];
        var next = 0;
        foreach (var delivery in batch)
        {
            if (delivery.IsAgain == isAgain && !delivery.IsLost)
                ids[next++] = delivery.Id;
        }

        // Nearly always one call. What is repeated after a failure of the second counts for nothing.
        Array.Resize(ref ids, next); // One may have been lost in between.
        for (var from = 0; from < ids.Length; from += StreamLimits.MaxBatch)
        {
            var part = ids.Length <= StreamLimits.MaxBatch ? ids : ids[from..Math.Min(ids.Length, from + StreamLimits.MaxBatch)];
            if (isAgain || _plan.Options.OwnsStream)
                await _store.AckAndDeleteAsync(isAgain ? _plan.Again : _plan.Stream, _plan.Group, part, _abort).ConfigureAwait(false);
            else
                await _store.AckAsync(_plan.Stream, _plan.Group, part, _abort).ConfigureAwait(false);
        }
    }

    /// <summary>Nearly always one call. Never throws: a failure of a whole call becomes every one's of its commits.</summary>
    private async Task FlushCommitsAsync(List<PendingCommit> batch)
    {
        for (var from = 0; from < batch.Count; from += StreamLimits.MaxBatch)
        {
            var part = batch.GetRange(from, Math.Min(StreamLimits.MaxBatch, batch.Count - from));
            try
            {
                var results = await _store.CommitAsync([.. part.Select(pending => pending.Commit)], _abort).ConfigureAwait(false);
                for (var i = 0; i < part.Count; i++)
                    part[i].Outcome.TrySetResult((results[i], null));
            }
            catch (Exception exception)
            {
                var failure = exception as StreamException ?? new StreamException(StreamErrorCode.ServerError, exception.Message, exception);
                foreach (var pending in part)
                    pending.Outcome.TrySetResult((null, failure));
            }
        }
    }

    private sealed class PendingCommit(Commit commit)
    {
        public Commit Commit => commit;

        public TaskCompletionSource<(CommitResult? Result, StreamException? Failure)> Outcome { get; } =
            new(TaskCreationOptions.RunContinuationsAsynchronously);
    }
}
