using Millrace.Streams;

namespace Millrace.Tests.Fixtures;

/// <summary>
/// Watches whether this process, or the store, got no processor for a while: on a machine that others use, the one excuse there is for what
/// should have been in time.
/// </summary>
internal static class StallWatch
{
    private static readonly TimeSpan Pause = TimeSpan.FromMilliseconds(10);

    /// <summary>Asks the store again and again for a time, and counts the gaps between answers that were longer than a limit.</summary>
    public static async Task<int> CountAsync(IStreamStore store, TimeSpan duration, TimeSpan limit)
    {
        using var stop = new CancellationTokenSource(duration);
        return (await WatchAsync(store, limit, stop.Token)).Count;
    }

    /// <summary>The same until told to stop.</summary>
    /// <param name="store">The store, or <see langword="null"/>: only this process is watched.</param>
    /// <param name="limit">The longest gap that is none.</param>
    /// <param name="stop">Ends the watch.</param>
    /// <returns>From when until when the gaps were, as timestamps of the system.</returns>
    public static async Task<IReadOnlyList<(long From, long Until)>> WatchAsync(IStreamStore? store, TimeSpan limit, CancellationToken stop)
    {
        var time = TimeProvider.System;
        var gaps = new List<(long, long)>();
        var last = time.GetTimestamp();
        using var timer = new PeriodicTimer(Pause);
        while (!stop.IsCancellationRequested)
        {
            if (store is not null)
                await store.GetStreamInfoAsync("stall-watch", CancellationToken.None);
            var now = time.GetTimestamp();
            if (time.GetElapsedTime(last, now) > limit)
                gaps.Add((last, now));
            last = now;
            await timer.WaitForNextTickAsync(CancellationToken.None);
        }

        return gaps;
    }
}
