namespace Millrace;

/// <summary>Keeps a redrive below its rate: even steps, never more than a tenth of a second's worth at once.</summary>
internal sealed class RedrivePace(int? maxPerSecond, TimeProvider time)
{
    // Without a rate: what one round trip carries.
    private const int MaxBatch = 100;

    // The moment before which nothing more may go, as time since the start.
    private readonly long _start = time.GetTimestamp();
    private TimeSpan _next;

    /// <summary>Letters to ask for at once.</summary>
    public int BatchSize { get; } = maxPerSecond is { } rate ? Math.Clamp(rate / 10, 1, MaxBatch) : MaxBatch;

    /// <summary>Waits until so many may go, and keeps their time.</summary>
    public async ValueTask WaitAsync(int count, CancellationToken cancellationToken)
    {
        if (maxPerSecond is not { } rate)
            return;

        // Time that was not used is lost: whoever paused does not catch up in a burst.
        var now = time.GetElapsedTime(_start);
        var wait = _next - now;
        _next = (_next > now ? _next : now) + TimeSpan.FromSeconds((double)count / rate);
        if (wait > TimeSpan.Zero)
            await Task.Delay(wait, time, cancellationToken).ConfigureAwait(false);
    }
}
