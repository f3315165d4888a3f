namespace Millrace.Consuming;

/// <summary>
/// The handlers' places of a group, which its lanes share by their weights: start-time fair queueing (Goyal, Vin and Cheng, SIGCOMM 1996), where a
/// message begins at the virtual time at which the one before it of its lane ended, and takes one by its weight. A lane that had nothing saves
/// nothing up. But one whose messages are on their way from the store has something: places wait for them for a moment, or short handlers
/// would let every lane go as fast as it is read, whatever it weighs. A lane whose first message has waited too long gets the next place whatever its
/// weight, but few places go that way: under overload all that waits is old.
/// </summary>
internal sealed class LaneBudget
{
    // Of so many places one at most goes by age: where handlers are so slow that every lane waits too long, weights still decide.
    private const int PlacesPerAged = 20;

    // Many times what a read takes, and the settlements that make room for it. Where the store refuses those, there may be no room for hours.
    private static readonly TimeSpan MaxHeldBack = TimeSpan.FromMilliseconds(100);

    private readonly Lock _lock = new();
    private readonly Queue[] _lanes;
    private readonly TimeSpan _maxWait;
    private readonly TimeProvider _time;
    private readonly ITimer _lapse;
    private int _free;

    // Since when a place is free that waits for messages on their way, while there are others.
    private long? _heldBackSince;

    // Places that go by weight before one may go by age again.
    private int _untilAged;
    private double _virtualTime;

    /// <summary>Shares places among lanes of these weights.</summary>
    public LaneBudget(int places, IEnumerable<int> weights, TimeSpan maxWait, TimeProvider time)
    {
        _lanes = [.. weights.Select(static weight => new Queue(weight))];
        (_free, _maxWait, _time) = (places, maxWait, time);
        _lapse = time.CreateTimer(static budget => ((LaneBudget)budget!).Lapse(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Waits for a place; <see langword="false"/>: it was told to stop.</summary>
    public ValueTask<bool> EnterAsync(int lane, CancellationToken stop)
    {
        TaskCompletionSource<bool> waiter;
        lock (_lock)
        {
            var queue = _lanes[lane];
            if (_free > 0 && _lanes.All(static other => other.Waiting.Count == 0) && !IsAwaitedNeedsLock(before: queue))
            {
                _free--;
                ChargeNeedsLock(queue);
                return new(true);
            }

            waiter = new(TaskCreationOptions.RunContinuationsAsynchronously);
            if (queue.Waiting.Count == 0)
                queue.Since = _time.GetTimestamp();
            queue.Waiting.Enqueue(waiter);
            GrantNeedsLock();
        }

        return WaitAsync(waiter, stop);
    }

    /// <summary>Gives a place back.</summary>
    public void Leave()
    {
        lock (_lock)
        {
            _free++;
            GrantNeedsLock();
        }
    }

    /// <summary>
    /// Says whether more messages of a lane are on their way: the store has them, and they are asked for as soon as there is room. Places wait for them, so it
    /// must not be said of a read that blocks; where none come for too long, it is forgotten.
    /// </summary>
    public void Expect(int lane, bool isMore)
    {
        lock (_lock)
        {
            if (_lanes[lane].IsExpected == isMore)
                return;
            _lanes[lane].IsExpected = isMore;
            GrantNeedsLock();
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

    /// <summary>Gives away what places there are.</summary>
    private void GrantNeedsLock()
    {
        while (_free > 0 && NextNeedsLock() is { } lane)
        {
            ChargeNeedsLock(lane);
            lane.Since = _time.GetTimestamp();
            if (lane.Waiting.Dequeue().TrySetResult(true))
                _free--;
        }
    }

    /// <summary>
    /// The lane whose first message is next: the one with the earliest virtual start, or now and then one that waited too long. None, for a while, where the
    /// earliest start is that of messages on their way.
    /// </summary>
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

        if (next is not null && IsAwaitedNeedsLock(before: next))
        {
            HoldBackNeedsLock();
            return null;
        }

        _heldBackSince = null;
        if (next is null)
            return null;
        if (_untilAged == 0 && oldest != next && _time.GetElapsedTime(oldest!.Since) >= _maxWait)
        {
            _untilAged = PlacesPerAged - 1;
            return oldest;
        }

        _untilAged = Math.Max(0, _untilAged - 1);
        return next;
    }

    /// <summary>Whether a lane would be next whose messages are on their way.</summary>
    private bool IsAwaitedNeedsLock(Queue before)
    {
        foreach (var lane in _lanes)
        {
            if (lane.IsExpected && lane.Waiting.Count == 0 && lane != before && StartNeedsLock(lane) < StartNeedsLock(before))
                return true;
        }

        return false;
    }

    private void HoldBackNeedsLock()
    {
        if (_heldBackSince is not null)
            return;
        _heldBackSince = _time.GetTimestamp();
        _lapse.Change(MaxHeldBack, Timeout.InfiniteTimeSpan);
    }

    /// <summary>Places wait no longer for what does not come; the lane is given its share again when it does.</summary>
    private void Lapse()
    {
        lock (_lock)
        {
            if (_heldBackSince is not { } since)
                return;
            var left = MaxHeldBack - _time.GetElapsedTime(since);
            if (left > TimeSpan.Zero)
            {
                // Set for an earlier place, or the timer's clock is the coarser one.
                _lapse.Change(left + TimeSpan.FromMilliseconds(1), Timeout.InfiniteTimeSpan);
                return;
            }

            foreach (var lane in _lanes)
                lane.IsExpected &= lane.Waiting.Count > 0;
            GrantNeedsLock();
        }
    }

    private double StartNeedsLock(Queue lane) => Math.Max(lane.End, _virtualTime);

    private void ChargeNeedsLock(Queue lane)
    {
        // One that went ahead for its age must not take the others' time with it.
        var start = StartNeedsLock(lane);
        _virtualTime = _lanes.Where(static other => other.Waiting.Count > 0 || other.IsExpected).Select(StartNeedsLock).Append(start).Min();
        lane.End = start + (1.0 / lane.Weight);
    }

    private sealed class Queue(int weight)
    {
        public int Weight => weight;

        public Queue<TaskCompletionSource<bool>> Waiting { get; } = [];

        /// <summary>Whether more are on their way from the store.</summary>
        public bool IsExpected { get; set; }

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
