using Millrace.Streams;

namespace Millrace.Tests.Incidents;

/// <summary>
/// Watches whether this process, or the store, got no processor for a while: on a machine that others use, the one excuse there is for a
/// lease that could not be kept.
/// </summary>
internal static class StallWatch
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(10);

    /// <summary>Asks the store again and again for a time, and counts the gaps between answers that were longer than a limit.</summary>
    public static async Task<int> CountAsync(IStreamStore store, TimeSpan duration, TimeSpan limit)
    {
        var time = TimeProvider.System;
        var (start, last) = (time.GetTimestamp(), time.GetTimestamp());
        var count = 0;
        using var timer = new PeriodicTimer(Pause);
        while (time.GetElapsedTime(start) < duration)
        {
            await store.GetStreamInfoAsync("stall-watch");
            if (time.GetElapsedTime(last) > limit)
                count++;
            last = time.GetTimestamp();
            await timer.WaitForNextTickAsync();
        }

        return count;
    }
}
