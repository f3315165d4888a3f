namespace Millrace.Streams.Engine;

/// <summary>A delivery that is not yet acknowledged.</summary>
/// <param name="Owner">Who holds it, or null when it was handed back (XNACK): then anyone may claim it at once.</param>
/// <param name="DeliveredMs">Unix milliseconds of the last delivery; 0 when it was handed back.</param>
/// <param name="DeliveryCount">How often it was delivered.</param>
internal readonly record struct Pending(Consumer? Owner, long DeliveredMs, long DeliveryCount)
{
    /// <summary>Time since the delivery; zero when the clock went back. What was handed back is idle since 1970.</summary>
    public long IdleMs(long nowMs) => Math.Max(0, nowMs - DeliveredMs);

    /// <summary>Whether it may be claimed from its owner. What was handed back may be claimed whatever the least idle time is.</summary>
    public bool IsIdle(long nowMs, long minIdleMs) => Owner is null || IdleMs(nowMs) >= minIdleMs;
}
