namespace Millrace.Consuming;

/// <summary>
/// The handlers' places of a group, which its lanes share by their weights: start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996), where a
/// message begins at the virtual time at which the one before it of its lane ended, and takes one by its weight. A lane that had nothing saves
/// nothing up.
/// </summary>
internal sealed class LaneBudget
{
    private readonly Lock _lock = new();
    private readonly Queue[] _lanes;
    private readonly TimeSpan _maxWait;
    private readonly TimeProvider _time;
    private int _free;
    private double _virtualTime;

    /// <summary>Shares places among lanes of these weights.</summary>
    public LaneBudget(int places, IEnumerable<int> weights, TimeSpan maxWait, TimeProvider time)
    {
        _lanes = [.. weights.Select(static weight => new Queue(weight))];
        (_free, _maxWait, _time) = (places, maxWait, time);
    }

    /// <summary>Waits for a place; <see langword="false"/>: it was told to stop.</summary>
    public ValueTask<bool> EnterAsync(int lane, CancellationToken stop)
    {
        Waiter waiter;
        lock (_lock)
        {
            if (_free > 0)
            {
                // Nobody waits while there are places.
                _free--;
                ChargeNeedsLock(_lanes[lane]);
                return new(true);
            }

            waiter = new(_time.GetTimestamp());
            _lanes[lane].Waiting.Enqueue(waiter);
        }

        return WaitAsync(waiter, stop);
    }

    /// <summary>Gives a place back.</summary>
    public void Leave()
    {
        lock (_lock)
        {
            while (NextNeedsLock() is { } lane)
            {
                ChargeNeedsLock(lane);
                if (lane.Waiting.Dequeue().TrySetResult(true))
                    return;
            }

            _free++;
        }
    }

    private static async ValueTask<bool> WaitAsync(Waiter waiter, CancellationToken stop)
    {
        await using var registration = stop.UnsafeRegister(static waiter => ((Waiter)waiter!).TrySetResult(false), waiter).ConfigureAwait(false);
        return await waiter.Task.ConfigureAwait(false);
    }

    /// <summary>The lane whose first message is next: one that waited too long, or the one with the earliest virtual start.</summary>
    private Queue? NextNeedsLock()
    {
        Queue? next = null;
        Queue? oldest = null;
        foreach (var lane in _lanes)
        {
            while (lane.Waiting.TryPeek(out var first) && first.Task.IsCompleted)
                lane.Waiting.Dequeue(); // Told to stop.
            if (lane.Waiting.Count == 0)
                continue;
            if (next is null || StartNeedsLock(lane) < StartNeedsLock(next))
                next = lane;
            if (oldest is null || lane.Waiting.Peek().Since < oldest.Waiting.Peek().Since)
                oldest = lane;
        }

        return oldest is not null && _time.GetElapsedTime(oldest.Waiting.Peek().Since) >= _maxWait ? oldest : next;
    }

    private double StartNeedsLock(Queue lane) => Math.Max(lane.End, _virtualTime);

    private void ChargeNeedsLock(Queue lane)
    {
        // One that went ahead for its age must not take the others' time with it.
        var start = StartNeedsLock(lane);
        _virtualTime = _lanes.Where(static other => other.Waiting.Count > 0).Select(StartNeedsLock).Append(start).Min();
        lane.End = start + (1.0 / lane.Weight);
    }

    private sealed class Queue(int weight)
    {
        public int Weight => weight;

        public Queue<Waiter> Waiting { get; } = [];

        /// <summary>The virtual time at which its last message ends.</summary>
        public double End { get; set; }
    }

    private sealed class Waiter(long since) : TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously)
    {
        /// <summary>When it began to wait.</summary>
        public long Since => since;
    }
}

/// <summary>The lane of a group in one stream, and its share of the group's places.</summary>
/// <param name="Name">The name, or <see langword="null"/>: the stream itself.</param>
/// <param name="Budget">The places.</param>
/// <param name="Index">Which of them.</param>
internal sealed record LaneShare(string? Name, LaneBudget Budget, int Index);
