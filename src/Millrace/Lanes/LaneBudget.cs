namespace Millrace.Consuming;

/// <summary>
/// The handlers' places of a group, which its lanes share by their weights: start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996), where a
/// message begins at the virtual time at which the one before it of its lane ended, and takes one by its weight. A lane that had nothing saves
/// nothing up. A lane whose first message has waited too long gets the next place whatever its weight, but few places go that way: under overload
/// all that waits is old.
/// </summary>
internal sealed class LaneBudget
{
    // Of so many places one at most goes by age: where handlers are so slow that every lane waits too long, weights still decide.
    private const int PlacesPerAged = 20;

    private readonly Lock _lock = new();
    private readonly Queue[] _lanes;
    private readonly TimeSpan _maxWait;
    private readonly TimeProvider _time;
    private int _free;

    // Places that go by weight before one may go by age again.
    private int _untilAged;
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
        TaskCompletionSource<bool> waiter;
        lock (_lock)
        {
            if (_free > 0)
            {
                // Nobody waits while there are places.
                _free--;
                ChargeNeedsLock(_lanes[lane]);
                return new(true);
            }

            waiter = new(TaskCreationOptions.RunContinuationsAsynchronously);
            if (_lanes[lane].Waiting.Count == 0)
                _lanes[lane].Since = _time.GetTimestamp();
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
                lane.Since = _time.GetTimestamp();
                if (lane.Waiting.Dequeue().TrySetResult(true))
                    return;
            }

            _free++;
        }
    }

    /// <summary>How many messages of a lane are in line; for tests, which must know that there is something to choose from.</summary>
    internal int CountWaiting(int lane)
    {
        lock (_lock)
            return _lanes[lane].Waiting.Count;
    }

    private static async ValueTask<bool> WaitAsync(TaskCompletionSource<bool> waiter, CancellationToken stop)
    {
        await using var registration = stop.UnsafeRegister(static waiter => ((TaskCompletionSource<bool>)waiter!).TrySetResult(false), waiter)
            .ConfigureAwait(false);
        return await waiter.Task.ConfigureAwait(false);
    }

    /// <summary>The lane whose first message is next: the one with the earliest virtual start, or now and then one that waited too long.</summary>
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
            if (oldest is null || lane.Since < oldest.Since)
                oldest = lane;
        }

        if (_untilAged > 0)
        {
            _untilAged--;
            return next;
        }

        if (oldest is null || oldest == next || _time.GetElapsedTime(oldest.Since) < _maxWait)
            return next;
        _untilAged = PlacesPerAged - 1;
        return oldest;
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

        public Queue<TaskCompletionSource<bool>> Waiting { get; } = [];

        /// <summary>When the first of them became the first.</summary>
        public long Since { get; set; }

        /// <summary>The virtual time at which its last message ends.</summary>
        public double End { get; set; }
    }
}

/// <summary>The lane of a group in one stream, and its share of the group's places.</summary>
/// <param name="Name">The name, or <see langword="null"/>: the stream itself.</param>
/// <param name="Budget">The places.</param>
/// <param name="Index">Which of them.</param>
internal sealed record LaneShare(string? Name, LaneBudget Budget, int Index);
