using Microsoft.Extensions.Logging;
using Millrace.Hosting;
using Millrace.Monitoring;
using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>
/// Closes the group's gate when its handlers fail because something they need is down, and tries one message after each pause. What fails
/// while it is open, or opens it, is put back without using up an attempt: an outage must not fill the dead letters.
/// </summary>
/// <remarks>
/// One message alone never opens it, however often it fails: that is a bad message, which the retry policy takes to the dead letters. Nor does
/// one call of a batch handler that threw, which may be one bad message's doing: all that failed of it is one failure, and using up an attempt
/// each time brings the bad one to its end. What was put back waits for one to two pauses, so that the next try is another message's where there
/// is one.
/// </remarks>
internal sealed class CircuitBreaker
{
    private readonly GroupPlan _plan;
    private readonly ConsumerOptions _options;
    private readonly ReadGate _gate;
    private readonly TimeProvider _time;
    private readonly MessageMeter _meter;
    private readonly ILogger _logger;
    private readonly Lock _lock = new();
    private readonly FailureWindow _window;

    // Failures since the last success, where a call of a batch handler that threw is one, and whether they were of several messages.
    private int _failures;
    private EntryId _firstFailed;
    private bool _areSeveral;

    private BreakerState _state;
    private int _pauses;              // In a row, without a success between them.
    private TimeSpan _pause;          // The current one.
    private Delivery? _probe;
    private ITimer? _timer;           // Kept, so that it is not collected.

    public CircuitBreaker(GroupPlan plan, ReadGate gate, TimeProvider time, MessageMeter meter, ILogger logger)
    {
        (_plan, _options, _gate, _time, _meter, _logger) = (plan, plan.Options, gate, time, meter, logger);
        _window = new(_options.BreakerWindow, time);
    }

    public bool IsOn => _options.BreakerFailures > 0 || _options.BreakerFailureRatio > 0;

    /// <summary>Whether a message may begin: any while closed, one after a pause, none otherwise. Call it with the gate open.</summary>
    public bool TryEnter(Delivery delivery)
    {
        if (!IsOn)
            return true;
        lock (_lock)
        {
            if (_state == BreakerState.Closed)
                return true;
            if (_state != BreakerState.Trying)
                return false;
            (_state, _probe) = (BreakerState.Open, delivery);
            _gate.Close(WorkerState.Tripped, "one message is tried");
            return true;
        }
    }

    /// <summary>Whether this is the message that is tried, for which the gate is closed to all others.</summary>
    public bool IsTried(Delivery delivery)
    {
        lock (_lock)
            return ReferenceEquals(_probe, delivery);
    }

    /// <summary>A message that began is through, whatever became of it. A try that says nothing is made again with another message.</summary>
    public void Leave(Delivery delivery)
    {
        if (!IsOn)
            return;
        lock (_lock)
        {
            if (ReferenceEquals(_probe, delivery))
                TryNeedsLock();
        }
    }

    /// <summary>Counts what came of a handler's run, perhaps for a batch, and says what is to become of its message then.</summary>
    public SettleAction Judge(Delivery delivery, SettleAction action, BatchContext? batch = null)
    {
        if (!IsOn)
            return action;
        lock (_lock)
        {
            var isProbe = ReferenceEquals(_probe, delivery);
            switch (action)
            {
                case SettleAction.Ack:
                    SucceedNeedsLock(isProbe);
                    return action;
                case SettleAction.Retry retry:
                    return FailNeedsLock(delivery, isProbe, retry.Error, batch) ? PutBack(retry.Error) : action;
                case SettleAction.DeadLetter { Reason: DeadLetterReasons.AttemptsExhausted, Error: { } error }:
                    return FailNeedsLock(delivery, isProbe, error, batch) ? PutBack(error) : action;
                default:
                    return action; // Rejected, never retried or abandoned: the message's own fate, which says nothing of others.
            }
        }
    }

    private SettleAction.Retry PutBack(Exception error) =>
        new(_pause + (_pause * Random.Shared.NextDouble()), error, IsCounted: false);

    private void SucceedNeedsLock(bool isProbe)
    {
        if (_state != BreakerState.Closed && !isProbe)
            return; // It began before the outage.
        (_failures, _areSeveral, _pauses) = (0, false, 0);
        _window.Add(isFailure: false);
        if (_state == BreakerState.Closed)
            return;
        (_state, _probe) = (BreakerState.Closed, null);
        _window.Clear();
        _gate.Open(WorkerState.Tripped);
        LogMessages.BreakerClosed(_logger, _plan.Stream, _plan.Group);
    }

    /// <summary>Returns whether the breaker is open, perhaps because of this failure.</summary>
    private bool FailNeedsLock(Delivery delivery, bool isProbe, Exception error, BatchContext? batch)
    {
        if (_state == BreakerState.Closed)
        {
            var source = delivery.SourceId;
            var isNew = batch is null || batch.TryCount(error);
            if (isNew && _failures++ == 0)
                _firstFailed = source;
            _areSeveral |= _failures > 0 && source != _firstFailed;
            _window.Add(isFailure: true);
            if (!isNew || !_areSeveral || !IsTooMuchNeedsLock())
                return false;
            _meter.Tripped(_plan);
        }
        else if (!isProbe)
        {
            return true;
        }

        _pause = NextPause();
        (_state, _probe) = (BreakerState.Open, null);
        var kind = MessageMeter.ErrorType(error);
        if (!_gate.Close(WorkerState.Tripped, kind))
            _gate.Explain(WorkerState.Tripped, kind); // Closed for the message that was tried.
        LogMessages.BreakerOpened(_logger, error, _plan.Stream, _plan.Group, _pause);
        _timer?.Dispose();
        _timer = _time.CreateTimer(static breaker => ((CircuitBreaker)breaker!).EndPause(), this, _pause, Timeout.InfiniteTimeSpan);
        return true;
    }

    private bool IsTooMuchNeedsLock() =>
        (_options.BreakerFailures > 0 && _failures >= _options.BreakerFailures) ||
        (_options.BreakerFailureRatio > 0 && _window.Count >= _options.BreakerMinimum && _window.Ratio >= _options.BreakerFailureRatio);

    private TimeSpan NextPause()
    {
        // 2^40 times any pause is past every maximum.
        var milliseconds = _options.BreakerPause.TotalMilliseconds * (1L << Math.Min(_pauses++, 40));
        return TimeSpan.FromMilliseconds(Math.Min(milliseconds, _options.BreakerMaxPause.TotalMilliseconds));
    }

    private void EndPause()
    {
        lock (_lock)
            TryNeedsLock();
    }

    private void TryNeedsLock()
    {
        (_state, _probe) = (BreakerState.Trying, null);
        _gate.Open(WorkerState.Tripped);
    }

    private enum BreakerState
    {
        Closed,

        /// <summary>Nothing begins: a pause runs, or the one message that is tried.</summary>
        Open,

        /// <summary>The next message is tried.</summary>
        Trying,
    }
}
