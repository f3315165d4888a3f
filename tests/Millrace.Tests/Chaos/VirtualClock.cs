using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Chaos;

/// <summary>A virtual machine's clock: the wall clock can be set, the other one cannot.</summary>
internal sealed class VirtualClock(ManualTimeProvider time) : TimeProvider
{
    private long _jumpedTicks;

    public override long TimestampFrequency => time.TimestampFrequency;

    public override long GetTimestamp() => time.GetTimestamp();

    public override DateTimeOffset GetUtcNow() => time.GetUtcNow().AddTicks(Volatile.Read(ref _jumpedTicks));

    public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
        time.CreateTimer(callback, state, dueTime, period);

    public void Jump(TimeSpan by) => Interlocked.Add(ref _jumpedTicks, by.Ticks);
}
