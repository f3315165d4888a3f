using Millrace.Streams;

namespace Millrace.Consuming.Ordered;

internal sealed partial class Tenure
{
    /// <summary>Gives every free slot a turn.</summary>
    private void Start()
    {
        while (_queue.TryTake(out var turn))
            ThreadPool.UnsafeQueueUserWorkItem(static start => _ = start.Tenure.RunAsync(start.Turn), (Tenure: this, Turn: turn), preferLocal: false);
    }

    /// <summary>One turn from the entry to what follows it.</summary>
    private async Task RunAsync(Turn turn)
    {
        // A handler of an earlier tenure that ignores its token: until it ends, its message waits as after a lost lease, and its key behind it.
        var runsStill = _held.MayRun(turn.Entry.IsAgain, turn.Entry.Id, besides: this);
        if (turn.IsSuspect)
            _ = LetSuspectsGoAsync(turn);
        try
        {
            if (!runsStill)
                await HandleAsync(turn).ConfigureAwait(false);
            if (turn.End == TurnEnd.None && !Over.IsCancellationRequested && !await IsPendingAsync(turn).ConfigureAwait(false))
                await ForgetSettledAsync(turn).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            if (!Over.IsCancellationRequested && _turnFailures.Allows())
                LogMessages.TurnFailed(_logger, exception, _plan.Stream, _plan.Group, turn.Entry.Id);
        }

        switch (turn.End)
        {
            case TurnEnd.Settled:
                _queue.Complete(turn);
                break;
            case TurnEnd.None when Over.IsCancellationRequested:
                _queue.Leave(turn);
                break;
            case TurnEnd.None when !runsStill && _held.IsHeld(turn.Entry.IsAgain, turn.Entry.Id):
                _queue.Park(turn); // The group is halted: it is held until it stops, and handed back then.
                break;
            default:
                // What nothing was written for is tried again as after a lost lease: it may have been lost.
                var delay = turn.End == TurnEnd.Parked ? turn.Delay : _plan.Options.Lease / 3;
                _queue.Park(turn);
                if (turn is { End: TurnEnd.Parked, Asked: { } asked })
                    _ = AnswerAsync(turn, asked, Over); // It failed while somebody asked.
                WakeLater(turn, delay);
                break;
        }

        Start();
    }

    private async Task HandleAsync(Turn turn)
    {
        if (await TakeAsync(turn).ConfigureAwait(false) is not { } entry)
        {
            await ForgetSettledAsync(turn).ConfigureAwait(false);
            return;
        }

        var fields = turn.Parked?.AddHistoryTo(entry.Fields) ?? entry.Fields;
        var delivery = new Delivery(
            turn.Entry.IsAgain ? _plan.Again : _plan.Stream, turn.Entry.IsAgain, !turn.Entry.IsOurs, entry with { Fields = fields }, _time.GetTimestamp())
        {
            Tenure = this,
            Turn = turn,
        };
        _held.Add(delivery);
        if (IsLost && delivery.Lose())
        {
            _held.Remove(delivery); // The tenure was lost while the entry was claimed, and did not find it among those held.
            return;
        }

        if (turn.Asked is not { IsSkip: true } asked)
            await _handle(delivery).ConfigureAwait(false);
        else if (delivery.TryStart())
            await SkipAsync(delivery, asked).ConfigureAwait(false);
    }

    private async Task SkipAsync(Delivery delivery, OrderNote asked)
    {
        LogMessages.KeySkipped(_logger, _plan.Stream, _plan.Group, delivery.Id, asked.By);
        var letter = new SettleAction.DeadLetter(DeadLetterReasons.Skipped);
        if ((await _settlement.SettleAsync(delivery, null, letter).ConfigureAwait(false)).Refusal is not { } refusal)
            return;

        // The letter cannot be written. It is still asked for, and tried again.
        LogMessages.SettlementFailed(_logger, refusal, _plan.Stream, _plan.Group, delivery.Id);
        await _settlement.SettleAsync(delivery, null, SettleAction.Abandon.Instance).ConfigureAwait(false);
    }

    /// <summary>The entry, or nothing: somebody settled it. What an earlier reader left, or failed before, is claimed and so counted.</summary>
    private async ValueTask<DeliveredEntry?> TakeAsync(Turn turn)
    {
        if (_lease.IsOver)
        {
            // Of a process that was frozen this may be the first timer to fire. A claim asks nobody: it would take the entry from the next reader.
            Lose();
            throw new OperationCanceledException(Over);
        }

        var (isAgain, id, deliveryCount, isOurs, fields) = turn.Entry;
        var stream = isAgain ? _plan.Again : _plan.Stream;
        if (isOurs && fields is { } kept)
            return new(id, kept, deliveryCount);
        if (isOurs)
        {
            var found = await _store.RangeAsync(stream, new() { Start = id, End = id, Count = 1 }, Over).ConfigureAwait(false);
            if (found is [var entry])
                return new(id, entry.Fields, deliveryCount);
            if (!await IsPendingAsync(turn).ConfigureAwait(false))
                return null;
            _reader.ReportDeleted(isAgain, [id]);
            return new(id, EntryFields.Empty, deliveryCount);
        }

        var taken = await _reader.ClaimForTurnAsync(isAgain, id, isRecovered: turn.Parked is null, Over).ConfigureAwait(false);
        if (taken is { DeliveryCount: var count })
            turn.Entry = turn.Entry with { DeliveryCount = count };
        return taken;
    }

    private async ValueTask<bool> IsPendingAsync(Turn turn)
    {
        var query = new PendingQuery { Start = turn.Entry.Id, End = turn.Entry.Id, Count = 1 };
        var stream = turn.Entry.IsAgain ? _plan.Again : _plan.Stream;
        return (await _store.PendingAsync(stream, _plan.Group, query, Over).ConfigureAwait(false)).Count > 0;
    }

    /// <summary>The entry was settled by a commit whose answer was lost, or by somebody else.</summary>
    private async Task ForgetSettledAsync(Turn turn)
    {
        if (turn.Parked is not null || turn.Asked is not null)
            await CommitAsync(UnparkChanges(turn), Over).ConfigureAwait(false);
        turn.End = TurnEnd.Settled;
    }

    /// <summary>The head of a document is not pending any more: the document goes, and the key goes on.</summary>
    private async Task ForgetAsync(Turn turn, CancellationToken cancellationToken)
    {
        await CommitAsync(UnparkChanges(turn), cancellationToken).ConfigureAwait(false);
        _queue.DropParked(turn);
    }

    /// <summary>Does what an operator asks for, as far as the entry they saw is still the head of the key.</summary>
    private async Task AskAsync(OrderNote note, CancellationToken cancellationToken)
    {
        if (!note.IsResume && !note.IsSkip)
            return;
        if (!_queue.TryAsk(note, out var parked))
            await CommitAsync([new CommitChange.Delete(_names.Log, note.Id)], cancellationToken).ConfigureAwait(false);
        else if (parked is not null)
            await AnswerAsync(parked, note, cancellationToken).ConfigureAwait(false);
    }

    private async Task AnswerAsync(Turn turn, OrderNote note, CancellationToken cancellationToken)
    {
        var parkings = turn.Parkings;
        if (note.IsResume)
            await RenewAsync(turn, parkings, note, cancellationToken).ConfigureAwait(false);
        _queue.Wake(turn, parkings);
        Start();
    }

    /// <summary>
    /// Takes the note away and gives the head its attempts again; written until it is, because nobody reads the note a second time. To write it
    /// twice does no harm: an answer may be lost. While it is not, the head may run by its own timer and be parked anew: then the note is answered by that.
    /// </summary>
    private async Task RenewAsync(Turn turn, int parkings, OrderNote note, CancellationToken cancellationToken)
    {
        List<CommitChange> changes = [new CommitChange.Delete(_names.Log, note.Id)];
        var renewed = turn.Parked is { IsExhausted: true } exhausted ? exhausted.Renewed() : null;
        if (renewed is not null)
            changes.Add(new CommitChange.PutState(_names.Parked(renewed.Key), renewed.Write()));
        for (var failures = 1; _queue.IsAsked(turn, parkings, note); failures++)
        {
            try
            {
                await CommitAsync(changes, cancellationToken).ConfigureAwait(false);
                if (_queue.TryAnswer(turn, parkings, note, renewed))
                    LogMessages.KeyResumed(_logger, _plan.Stream, _plan.Group, turn.Entry.Id, note.By);
            }
            catch (Exception exception)
            {
                // At the end of the tenure either the note is still there, for the next one, or what it asks for is done.
                cancellationToken.ThrowIfCancellationRequested();
                if (_turnFailures.Allows())
                    LogMessages.TurnFailed(_logger, exception, _plan.Stream, _plan.Group, turn.Entry.Id);
                await Backoff.WaitForStoreAsync(failures, _time, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private async Task CommitAsync(IReadOnlyList<CommitChange> changes, CancellationToken cancellationToken)
    {
        var commit = new Commit { Conditions = [Fence], Changes = changes, IsUpkeep = true };
        var result = await _store.CommitAsync(commit, cancellationToken).ConfigureAwait(false);
        if (!result.IsApplied)
            Lose();
    }

    private void WakeLater(Turn turn, TimeSpan delay)
    {
        var (parkings, isTimed) = (turn.Parkings, delay != Timeout.InfiniteTimeSpan);
        var wakesAt = isTimed ? _time.GetTimestamp() + (long)(delay.TotalSeconds * _time.TimestampFrequency) : long.MaxValue;
        if (isTimed)
            _ = WakeAsync(turn, parkings, delay);
        _queue.SetWake(turn, parkings, wakesAt);
    }

    private async Task WakeAsync(Turn turn, int parkings, TimeSpan delay)
    {
        await Task.Delay(delay, _time, Over).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _queue.Wake(turn, parkings);
        Start();
    }

    /// <summary>It runs on under its lease. The others have waited long enough: a handler that never ends must not keep them for ever.</summary>
    private async Task LetSuspectsGoAsync(Turn turn)
    {
        await Task.Delay(_plan.Options.Lease, _time, Over).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _queue.LetSuspectsGo(turn);
        Start();
    }
}
