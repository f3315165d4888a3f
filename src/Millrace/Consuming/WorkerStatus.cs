using Millrace.Hosting;
using Millrace.Monitoring;

namespace Millrace.Consuming;

/// <summary>How the reading of one group goes, and the gate it stands at. Written by its worker, read by anybody.</summary>
internal sealed class WorkerStatus(GroupPlan plan, ReadGate gate, TimeProvider time)
{
    private readonly Lock _lock = new();
    private WorkerState _state = WorkerState.Starting;
    private DateTimeOffset _since = time.GetUtcNow();

    // Since the last read that succeeded: a store that answers and then fails the next read again has not recovered in between.
    private DateTimeOffset? _failingSince;
    private Exception? _failure;

    public GroupPlan Plan => plan;

    public ReadGate Gate => gate;

    /// <summary>Counts the pending entries of the parked keys of an ordered group, and says whether these alone keep it from reading.</summary>
    public Func<(int Entries, bool IsFull)> Parked { get; set; } = static () => default;

    /// <summary>Counts the entries whose handler has begun, or is about to, and that are not settled.</summary>
    public Func<int> BegunCount { get; set; } = static () => 0;

    /// <summary>The state, since when, and what people should know of it: what failed last, why the gate is closed.</summary>
    public (WorkerState State, DateTimeOffset Since, string? Detail) Current
    {
        get
        {
            lock (_lock)
            {
                if (_state < WorkerState.Stopping && gate.Current is { } closure)
                    return (closure.State, closure.Since, closure.Detail);
                var failure = _state == WorkerState.Failing ? _failure : null;
                return (_state, _since, failure is null ? null : $"{MessageMeter.ErrorType(failure)}: {failure.Message}");
            }
        }
    }

    /// <summary>The store has answered, and the next read may block for long.</summary>
    public void Answered() => Set(WorkerState.Reading);

    /// <summary>Another process reads the ordered group.</summary>
    public void StandingBy() => Set(WorkerState.StandingBy);

    /// <summary>A limit of the ordered group is reached.</summary>
    public void Full() => Set(WorkerState.Full);

    /// <summary>A read has succeeded.</summary>
    public void Read()
    {
        lock (_lock)
            _failingSince = null;
    }

    public void Failed(Exception exception)
    {
        lock (_lock)
        {
            _failure = exception;
            _failingSince ??= time.GetUtcNow();
        }

        Set(WorkerState.Failing);
    }

    public void Stopping() => Set(WorkerState.Stopping);

    public void Ended() => Set(WorkerState.Died);

    private void Set(WorkerState state)
    {
        lock (_lock)
        {
            // Once told to stop, nothing that still happens on the way out is news.
            if (_state == state || _state is WorkerState.Stopping or WorkerState.Died)
                return;
            _state = state;
            _since = state == WorkerState.Failing ? _failingSince ?? time.GetUtcNow() : time.GetUtcNow();
        }
    }
}
