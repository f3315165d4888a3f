using Microsoft.Extensions.Logging;
using Millrace.Consuming.Ordered;
using Millrace.Hosting;
using Millrace.Recovery;
using Millrace.Registry;
using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>One consumer group of one stream in this process: reads, dispatches and settles until it is told to stop.</summary>
internal sealed class ConsumerWorker
{
    // A conflict means another writer got through, so a few reruns settle almost anything; beyond that the message waits like a failed one.
    private const int MaxReruns = 25;

    // What a cancelled handler may take to notice, and a store to take entries back, when the process has to end.
    private static readonly TimeSpan CancelTimeout = TimeSpan.FromSeconds(2);
    private static readonly TimeSpan HandBackTimeout = TimeSpan.FromSeconds(5);

    private readonly GroupPlan _plan;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly ReadGate _gate;
    private readonly RecoveryLedger _ledger;
    private readonly HeldDeliveries _held;
    private readonly GroupReader _reader;
    private readonly PendingRecovery _recovery;
    private readonly LeaseKeeper _leases;
    private readonly DeliveryPipeline _pipeline;
    private readonly Settlement _settlement;
    private readonly Deduplication _deduplication;
    private readonly CircuitBreaker _breaker;
    private readonly Admission _admission;
    private readonly HandlerSlots _handlers;

    // In the place of the recovery and the slots, when the group is ordered.
    private readonly OrderedConsumer? _ordered;
    private readonly CancellationTokenSource _stopReading = new();
    private readonly CancellationTokenSource _cutShort = new();
    private readonly CancellationTokenSource _abort = new();
    private readonly TimeSpan _drainTimeout;
    private readonly LogLimit _readFailures;

    public ConsumerWorker(
        MillraceCore core, IStreamStore store, GroupPlan plan, WorkerStatus status, HandlerInvoker invoker, ILogger logger)
    {
        (_plan, _time, _logger, _drainTimeout, _readFailures) = (plan, core.Time, logger, core.Options.DrainTimeout, new(core.Time));
        (Status, _gate) = (status, status.Gate);
        _stopReading.Token.UnsafeRegister(static gate => ((ReadGate)gate!).End(), _gate);
        Presence = new(core, store, plan, () => Load);
        _ledger = new(core, store, plan, Presence, logger);
        var ahead = new ReadAhead(plan.Options);
        _held = new(plan.HeldPlaces, ahead, _ledger.Moved);
        _reader = new(store, plan, _held, ahead, core, logger);
        _handlers = new(plan.Slots, HandleAsync);
        _recovery = new(_reader, plan, _gate, WaitAtGateAsync, core.Time, logger, Start);
        _leases = new(store, plan, _held, core.Time, logger);
        _settlement = new(core, store, plan, _held, logger, _abort.Token, SettleRefusedAsync);
        _breaker = new(plan, _gate, core.Time, core.Meter, logger);
        _admission = new(_gate, plan.Lane, new(store, plan, core.Time, logger), _breaker);
        _deduplication = new(core, store, plan, logger, _abort.Token);
        var undecodable = new UndecodableEntries(plan, _gate, core.Meter, logger);
        var batches = new BatchHandlers(invoker, plan.Options, core.Time, _admission);
        _pipeline = new(core, plan, invoker, batches, _settlement, undecodable, _deduplication, logger);
        if (plan.OrderKeys is not null)
            _ordered = new(OrderedParts(store), WaitAfterFailureAsync, _abort.Token);
        status.Parked = () => _ordered?.Parked ?? default;
        status.BegunCount = () => _held.Snapshot().Count(IsBegun);
    }

    /// <summary>How its reading goes, for the health check.</summary>
    public WorkerStatus Status { get; }

    public GroupPlan Plan => _plan;

    /// <summary>How it makes itself known.</summary>
    public OwnPresence Presence { get; }

    /// <summary>How many deliveries it holds, and how many of them run.</summary>
    public (int Held, int Running) Load
    {
        get
        {
            var held = _held.Snapshot();
            return (held.Count, held.Count(static delivery => delivery.IsRunning));
        }
    }

    /// <summary>Whether it was told to stop as a killed process would.</summary>
    public bool IsAborted => _abort.IsCancellationRequested;

    /// <summary>Whether something is to come of a delivery by itself; of what halted the group, nothing.</summary>
    private bool IsBegun(Delivery delivery) =>
        (delivery.IsRunning || _breaker.IsTried(delivery)) && delivery.Cause != CancelCause.Halted;

    /// <summary>Ends when the worker was told to stop and has drained, or was aborted.</summary>
    public async Task RunAsync()
    {
        LogMessages.WorkerStarted(_logger, _plan.Stream, _plan.Group, _plan.Consumer);
        using var endLeases = CancellationTokenSource.CreateLinkedTokenSource(_abort.Token);
        var leases = Task.WhenAll(_leases.RunAsync(endLeases.Token), _ledger.RunAsync(endLeases.Token));

        await ReadUntilStoppedAsync().ConfigureAwait(false);
        Expect(false);
        _handlers.Complete();
        _ordered?.Close();
        if (_abort.IsCancellationRequested)
            await WaitForCancelledAsync().ConfigureAwait(false);
        else
            await DrainAsync().ConfigureAwait(false);

        await ReleaseAsync().ConfigureAwait(false);
        await endLeases.CancelAsync().ConfigureAwait(false);
        await leases.ConfigureAwait(false);
        LogMessages.WorkerStopped(_logger, _plan.Stream, _plan.Group);
    }

    /// <summary>Stops reading, hands back what is not begun and lets the running handlers end.</summary>
    public void Stop()
    {
        Status.Stopping();
        _stopReading.Cancel();
    }

    /// <summary>Ends a drain at once: what still runs is cancelled and handed back.</summary>
    public void CutDrainShort() => _cutShort.Cancel();

    /// <summary>Stops as a killed process would: handlers are cancelled, nothing is settled, nothing is handed back.</summary>
    public void Abort()
    {
        Status.Stopping();
        _abort.Cancel();
        _stopReading.Cancel();
        _cutShort.Cancel();
        foreach (var delivery in _held.Snapshot())
            delivery.Cancel(CancelCause.Abort);
    }

    /// <summary>
    /// Steps 6 and on: what was left pending, then idle entries and new ones side by side. Each goes to a handler.
    /// </summary>
    private async Task ReadUntilStoppedAsync()
    {
        try
        {
            if (_ordered is not null)
            {
                await _ordered.RunAsync(_stopReading.Token).ConfigureAwait(false);
                return;
            }

            await PrepareAsync(_stopReading.Token).ConfigureAwait(false);
            await Task.WhenAll(_recovery.RunAsync(_stopReading.Token), ReadAsync(_stopReading.Token)).ConfigureAwait(false);
        }
        catch (Exception) when (_stopReading.IsCancellationRequested)
        {
            // Told to stop. A line that breaks at this moment ends the wait with its own error, and that must not keep us from draining.
        }
    }

    private Task HandlersEnded => _ordered?.Ended ?? _handlers.Ended;

    private async Task DrainAsync()
    {
        await HandBackAsync().ConfigureAwait(false);
        try
        {
            await HandlersEnded.WaitAsync(_drainTimeout, _time, _cutShort.Token).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is TimeoutException or OperationCanceledException)
        {
            if (_abort.IsCancellationRequested)
            {
                await WaitForCancelledAsync().ConfigureAwait(false);
                return;
            }

            var running = _held.Snapshot().Where(delivery => delivery.IsRunning).ToList();
            LogMessages.DrainCutShort(_logger, _plan.Stream, _plan.Group, running.Count);
            foreach (var delivery in running)
                delivery.Cancel(CancelCause.DrainDeadline);
            await WaitForCancelledAsync().ConfigureAwait(false);
        }

        // What was cut short, and what an ordered group was still claiming.
        await HandBackAsync().ConfigureAwait(false);
        await WaitQuietlyAsync(_settlement.WhenIdleAsync(), HandBackTimeout).ConfigureAwait(false);
    }

    /// <summary>
    /// Handlers that ignore their token are left behind; what they do is not settled, and the lease gives their entries to others.
    /// </summary>
    private Task WaitForCancelledAsync() => WaitQuietlyAsync(HandlersEnded, CancelTimeout);

    private async Task WaitQuietlyAsync(Task task, TimeSpan timeout) =>
        await task.WaitAsync(timeout, _time).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);

    private async Task HandBackAsync()
    {
        using var timeout = new CancellationTokenSource(HandBackTimeout, _time);
        var waiting = _held.Snapshot().Where(delivery => delivery.TryHandBack()).ToList();
        await _settlement.HandBackAsync(waiting, timeout.Token).ConfigureAwait(false);
    }

    /// <summary>Lets the next reader of an ordered group begin at once. After an abort it finds out by itself.</summary>
    private async Task ReleaseAsync()
    {
        if (_ordered is null)
            return;
        using var deadline = new CancellationTokenSource(HandBackTimeout, _time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, _abort.Token);
        try
        {
            await _ordered.EndAsync(either.Token).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            if (!_abort.IsCancellationRequested)
                LogMessages.ReaderReleaseFailed(_logger, exception, _plan.Stream, _plan.Group);
        }
    }

    private OrderedParts OrderedParts(IStreamStore store) => new()
    {
        Store = store,
        Plan = _plan,
        Held = _held,
        Gate = _gate,
        Ledger = _ledger,
        Reader = _reader,
        Settlement = _settlement,
        Handle = HandleAsync,
        Status = Status,
        Time = _time,
        Logger = _logger,
    };

    /// <summary>Makes the group and takes over what a previous run left, for as long as it takes the store to answer.</summary>
    private async Task PrepareAsync(CancellationToken cancellationToken)
    {
        for (var failures = 1; ; failures++)
        {
            try
            {
                await _ledger.EnsureGroupsAsync(cancellationToken).ConfigureAwait(false);
                await _recovery.TakeOwnAsync(cancellationToken).ConfigureAwait(false);
                Status.Answered();
                return;
            }
            catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
            {
                await WaitAfterFailureAsync(exception, failures, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Reads new entries while the gate is open and there is room for them.</summary>
    private async Task ReadAsync(CancellationToken cancellationToken)
    {
        var failures = 0;
        var isMore = false;
        while (true)
        {
            await WaitAtGateAsync(cancellationToken).ConfigureAwait(false);
            var reading = _gate.Reading;
            try
            {
                var room = await _held.WaitForRoomAsync(reading).ConfigureAwait(false);
                if (failures > 0)
                    await RepairAsync(cancellationToken).ConfigureAwait(false);
                Status.Answered();
                var deliveries = await _reader.ReadNewAsync(room, waits: !isMore, reading).ConfigureAwait(false);
                failures = 0;
                Status.Read();
                isMore = Expect(_reader.MayHaveMore);
                _admission.Queue(deliveries);
                if (deliveries is [var only])
                    await _handlers.StartHere(only).ConfigureAwait(false);
                else
                    _handlers.Start(deliveries);
            }
            catch (OperationCanceledException) when (reading.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
            {
                // The gate was closed before there was room or anything came.
                isMore = Expect(false);
            }
            catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
            {
                isMore = Expect(false);
                await WaitAfterFailureAsync(exception, ++failures, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Tells the other lanes whether more of this one is on its way; without lanes it makes no difference, and a read may as well wait.</summary>
    private bool Expect(bool isMore)
    {
        _plan.Lane?.Budget.Expect(_plan.Lane.Index, isMore);
        return isMore && _plan.Lane is not null;
    }

    /// <summary>A pause hands back what has not begun; behind a gate that is closed for other reasons it waits here.</summary>
    private async ValueTask WaitAtGateAsync(CancellationToken cancellationToken)
    {
        while (!_gate.IsOpen)
        {
            Expect(false);
            if (_gate.IsClosedFor(WorkerState.Paused))
                await HandBackAsync().ConfigureAwait(false);
            await _gate.WhenChangedAsync(cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>After a failed read: the group may be gone, or entries may be ours whose answer never arrived.</summary>
    private async Task RepairAsync(CancellationToken cancellationToken)
    {
        await _ledger.EnsureGroupsAsync(cancellationToken).ConfigureAwait(false);
        await _recovery.TakeLostAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Gives deliveries to the handlers, in their order.</summary>
    private void Start(IReadOnlyList<Delivery> deliveries)
    {
        _admission.Queue(deliveries);
        _handlers.Start(deliveries);
    }

    /// <summary>
    /// Steps 7 to 9, of this delivery or, with lanes, of the first one in line. What has not begun when the worker stops is left to be handed back.
    /// </summary>
    private async Task HandleAsync(Delivery next)
    {
        var (delivery, hasBegun) = ((Delivery?)null, true);
        try
        {
            delivery = await _admission.EnterAsync(next, _stopReading.Token).ConfigureAwait(false);
            if (delivery is not null && !_leases.LoseIfOver(delivery) && delivery.TryStart())
                hasBegun = await ProcessAsync(delivery).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            // A mistake of ours must not take a handler's place away for good.
            var failed = delivery ?? _admission.TakeOut(next);
            if (!_abort.IsCancellationRequested)
                LogMessages.SettlementFailed(_logger, exception, _plan.Stream, _plan.Group, (failed ?? next).Id);
            if (failed is not null)
                await _settlement.SettleAsync(failed, null, SettleAction.Abandon.Instance).ConfigureAwait(false);
        }

        if (delivery is null)
            return;
        _admission.Leave(delivery);
        if (!hasBegun)
            await WaitAgainAsync(delivery).ConfigureAwait(false);
    }

    /// <summary>The gate closed while it waited for its batch: it waits there again, or goes back with the rest on a pause or in a drain.</summary>
    private async Task WaitAgainAsync(Delivery delivery)
    {
        delivery.ReturnToQueue();
        if (delivery.IsLost && delivery.TryHandBack())
            _held.Remove(delivery); // In this very moment, when there was no queue to take it out of.
        if ((_gate.IsClosedFor(WorkerState.Paused) || _stopReading.IsCancellationRequested) && !_abort.IsCancellationRequested)
            await HandBackAsync().ConfigureAwait(false);
        await StartLaterAsync(delivery, TimeSpan.Zero).ConfigureAwait(false);
    }

    /// <summary>Runs one delivery to its settlement, again where state it read has changed.</summary>
    /// <returns>Whether it began. Otherwise nothing is settled.</returns>
    private async Task<bool> ProcessAsync(Delivery delivery)
    {
        using var turn = await _deduplication.EnterAsync(delivery).ConfigureAwait(false);
        for (var run = 1; ; run++)
        {
            var (action, context, failure, hasBegun) = await _pipeline.RunAsync(delivery).ConfigureAwait(false);
            if (!hasBegun)
                return false;
            var result = failure is CommitConflictException conflict && action is not SettleAction.Abandon && run < MaxReruns
                ? new SettleResult { Conflict = conflict.Condition }
                : await SettleAsync(delivery, context, action).ConfigureAwait(false);

            if (result.Conflict is { } conflicted && run < MaxReruns)
            {
                LogMessages.CommitConflict(_logger, _plan.Stream, _plan.Group, delivery.Id, conflicted);
                await WaitAfterConflictAsync(run).ConfigureAwait(false);
                continue;
            }

            if ((result.Conflict is { } last ? new CommitConflictException(last) : (Exception?)result.Refusal) is { } refusal)
                await SettleRefusedAsync(delivery, refusal).ConfigureAwait(false);
            return true;
        }
    }

    /// <summary>The breaker only learns from handlers that ran.</summary>
    private ValueTask<SettleResult> SettleAsync(Delivery delivery, MessageContext? context, SettleAction action)
    {
        var judged = context is null ? action : _breaker.Judge(delivery, action, context.Batch);
        var settling = _settlement.SettleAsync(delivery, context, judged);
        return judged is SettleAction.Retry { IsCounted: false } putBack ? PutBackAsync(delivery, settling, putBack.Delay) : settling;
    }

    /// <summary>
    /// What the store refuses to put back, such as an entry too large for a copy, waits here, under its lease: a breaker that is open gives nothing up.
    /// </summary>
    private async ValueTask<SettleResult> PutBackAsync(Delivery delivery, ValueTask<SettleResult> settling, TimeSpan delay)
    {
        var result = await settling.ConfigureAwait(false);
        if (result.Refusal is null)
            return result;
        if (_ordered is not null || delivery.IsLost) // The tenure tries it again, or whoever has it.
            return await _settlement.SettleAsync(delivery, null, SettleAction.Abandon.Instance).ConfigureAwait(false);
        delivery.ReturnToQueue();
        _ = StartLaterAsync(delivery, delay);
        return SettleResult.Done;
    }

    /// <summary>When the worker stops meanwhile, or pauses, it is handed back with all that has not begun.</summary>
    private async Task StartLaterAsync(Delivery delivery, TimeSpan delay)
    {
        await Task.Delay(delay, _time, _stopReading.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        try
        {
            if (delivery.IsQueued && !_stopReading.IsCancellationRequested)
                Start([delivery]);
        }
        catch (Exception exception)
        {
            // A mistake of ours: the entry stays pending and is delivered again after the lease.
            LogMessages.SettlementFailed(_logger, exception, _plan.Stream, _plan.Group, delivery.Id);
            _held.Remove(delivery);
        }
    }

    /// <summary>The handler's effects will not be taken, so its message is treated as failed.</summary>
    private async Task SettleRefusedAsync(Delivery delivery, Exception failure)
    {
        var result = await _settlement.SettleAsync(delivery, null, _pipeline.Decide(delivery, failure)).ConfigureAwait(false);
        if (result.Refusal is null)
            return;

        // Not even the retry or dead letter can be written: the entry stays pending and comes back after the lease.
        LogMessages.SettlementFailed(_logger, result.Refusal, _plan.Stream, _plan.Group, delivery.Id);
        await _settlement.SettleAsync(delivery, null, SettleAction.Abandon.Instance).ConfigureAwait(false);
    }

    /// <summary>Two at once are untangled by the first rerun; only a crowd needs to spread out.</summary>
    private Task WaitAfterConflictAsync(int run) => run <= 2
        ? Task.CompletedTask
        : Task.Delay(Backoff.Next(run - 2, TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(64)), _time, _abort.Token);

    private Task WaitAfterFailureAsync(Exception exception, int failures, CancellationToken cancellationToken)
    {
        Status.Failed(exception);
        if (_readFailures.Allows())
            LogMessages.ReadFailed(_logger, exception, _plan.Stream, _plan.Group);
        return Backoff.WaitForStoreAsync(failures, _time, cancellationToken);
    }
}
