namespace Millrace.Embedded;

/// <summary>
/// The store's time in Unix milliseconds: IDs, times to live, idle times and schedules all go by it. It never goes back, whatever the wall clock
/// does, and passes also while that stands still.
/// </summary>
/// <remarks>
/// <para>Between two readings it advances by the monotonic clock; the wall clock, read once in a millisecond, corrects it. Behind the wall clock it
/// catches up at once. Ahead of it, which is where a wall clock that was set back leaves it, it passes by an eighth slower until both agree: an
/// hour back takes eight hours, in which a wait of a minute takes 69 s.</para>
/// <para>A wall clock that moved ahead by a second or more beyond what the monotonic clock says has jumped, or the machine slept:
/// <see cref="SkippedMs"/> tells how far, so that this time is not taken for idleness.</para>
/// <para>Not thread-safe: for whoever holds the store's lock. Costs one reading of the monotonic clock, the second once in a millisecond.</para>
/// </remarks>
internal sealed class StoreClock
{
    /// <summary>How much slower it passes while it is ahead, as a power of two: slow enough to agree in a time, fast enough for who waits by it.</summary>
    private const int SlewShift = 3;

    /// <summary>Less is what busy machines do to two readings, one after the other; no lease is so short.</summary>
    private const long JumpTicks = TimeSpan.TicksPerSecond;

    private readonly TimeProvider _time;

    /// <summary>The monotonic reading at which <see cref="_ticks"/> was right.</summary>
    private long _readAt;

    /// <summary>The monotonic reading from which on the next millisecond may have begun.</summary>
    private long _nextAt;

    /// <summary>Ticks of 100 ns since the Unix epoch.</summary>
    private long _ticks;

    private long _skippedTicks;

    private long _nowMs;

    /// <summary>Starts with the wall clock.</summary>
    /// <param name="time">Both clocks.</param>
    public StoreClock(TimeProvider time)
    {
        _time = time;
        _readAt = time.GetTimestamp();
        SetNow(WallTicks(), _readAt);
    }

    /// <summary>By how much time jumped ahead since somebody last took note of it.</summary>
    public long SkippedMs => _skippedTicks / TimeSpan.TicksPerMillisecond;

    /// <summary>The jumps so far have been taken note of.</summary>
    public void ClearSkipped() => _skippedTicks = 0;

    /// <summary>Time goes on from a moment of the past, or from now if that is later: what a journal tells was written before now.</summary>
    public void StartFrom(long newestMs)
    {
        ReadMs();
        _skippedTicks = 0;
        if (newestMs > _nowMs)
            SetNow(newestMs * TimeSpan.TicksPerMillisecond, _readAt);
    }

    /// <summary>The moment, never below an earlier one.</summary>
    public long ReadMs()
    {
        var timestamp = _time.GetTimestamp();
        return timestamp < _nextAt ? _nowMs : ReadMsSlow(timestamp);
    }

    private long ReadMsSlow(long timestamp)
    {
        var elapsed = ElapsedTicks(timestamp);
        var ahead = _ticks + elapsed - WallTicks();
        if (ahead <= -JumpTicks)
        {
            // A pause of this thread between the two readings looks like a jump. With a reading after it, it does not.
            timestamp = _time.GetTimestamp();
            ahead += ElapsedTicks(timestamp) - elapsed;
            elapsed = ElapsedTicks(timestamp);
            if (ahead <= -JumpTicks)
                _skippedTicks -= ahead;
        }

        SetNow(_ticks + elapsed - (ahead > 0 ? Math.Min(ahead, elapsed >> SlewShift) : ahead), timestamp);
        return _nowMs;
    }

    private void SetNow(long ticks, long timestamp)
    {
        (_ticks, _readAt) = (ticks, timestamp);
        _nowMs = ticks / TimeSpan.TicksPerMillisecond;
        var ticksLeft = ((_nowMs + 1) * TimeSpan.TicksPerMillisecond) - ticks;
        _nextAt = timestamp + Math.Max(1, (long)((double)ticksLeft * _time.TimestampFrequency / TimeSpan.TicksPerSecond));
    }

    private long ElapsedTicks(long timestamp) => _time.GetElapsedTime(_readAt, timestamp).Ticks;

    /// <summary>A wall clock before the epoch counts as at it: IDs have no times before.</summary>
    private long WallTicks() => Math.Max(0, (_time.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks);
}
