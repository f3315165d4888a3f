using System.Diagnostics;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Hosting;

namespace Millrace.Testing;

/// <summary>Waiting until nothing is in flight, and letting time pass.</summary>
public sealed partial class MillraceTestHost
{
    // Most of what can end a wait tells so. The rest, such as a group that was paused, is looked at this often.
    private static readonly TimeSpan LookAgain = TimeSpan.FromMilliseconds(50);

    // After so long, by the real clock, without a handler that runs and without a change, what is left waits for the virtual clock: a key
    // that is parked, a rate limit, an entry whose lease must end. Rare, and long enough for a busy machine.
    private static readonly TimeSpan Stillness = TimeSpan.FromSeconds(1);

    // When that was the last outcome, it is again as long as nothing changes.
    private long? _stillVersion;

    /// <summary>
    /// Waits until nothing is in flight: no entry unread, due, queued, running or unsettled in any group of the application. What waits for
    /// its time, such as a retry, is not in flight; neither is what a group leaves lying that is paused, halted or has an open breaker, or what an
    /// ordered one has no room for because of parked keys.
    /// </summary>
    /// <remarks>
    /// By counts of the store, not by guessing from silence. Work that the application does outside of handlers is not seen. Ends at once
    /// while no consumers run.
    /// </remarks>
    /// <exception cref="TimeoutException">
    /// It took longer than <see cref="TestHostOptions.Deadline"/>; the message says what is in flight.
    /// </exception>
    public Task WhenIdleAsync() => WaitAsync(static work => work.IsNone, mayWaitForTime: false);

    /// <summary>
    /// Lets time pass: waits until nothing is in flight, moves the clock to the next moment at which anything is due, waits again, and so on.
    /// So no handler sees the clock jump while it runs, and no time limit or lease ends because a test was in a hurry.
    /// </summary>
    /// <remarks>Costs some microseconds for each moment at which something is due; consumers at rest have a few in a minute.</remarks>
    /// <param name="span">How much time.</param>
    /// <param name="whileHandlersRun">
    /// Whether it passes also while handlers run, for those that wait for the clock or for the test. A handler that really works then may see
    /// any time pass. Default: no.
    /// </param>
    /// <exception cref="TimeoutException">Something did not come to rest, see <see cref="WhenIdleAsync"/>.</exception>
    public Task AdvanceAsync(TimeSpan span, bool whileHandlersRun = false)
    {
        ArgumentOutOfRangeException.ThrowIfLessThan(span, TimeSpan.Zero);

        // On the thread pool, where what a timer sets in motion goes on at once: a test framework may have a context of its own.
        return Task.Run(() => AdvanceCoreAsync(Time.GetUtcNow() + span, whileHandlersRun));
    }

    private async Task AdvanceCoreAsync(DateTimeOffset end, bool whileHandlersRun)
    {
        Func<InFlight, bool> isAtRest = whileHandlersRun ? static work => work.IsNoneBesideHandlers : static work => work.IsNone;
        await WaitAsync(isAtRest, mayWaitForTime: true).ConfigureAwait(false);
        while (Time.NextTimer is { } due && due <= end)
        {
            Time.AdvanceTo(due);
            await WaitAsync(isAtRest, mayWaitForTime: true).ConfigureAwait(false);
        }

        // Whatever the steps before took for granted, what has begun by the end is waited for.
        Time.AdvanceTo(end);
        _stillVersion = null;
        await WaitAsync(isAtRest, mayWaitForTime: true).ConfigureAwait(false);
    }

    private async Task WaitAsync(Func<InFlight, bool> isAtRest, bool mayWaitForTime)
    {
        var started = TimeProvider.System.GetTimestamp();
        var (lastVersion, stillSince) = (-1L, started);
        while (true)
        {
            var (version, isStill, next) = _changes.Current;
            var work = await LookAsync().ConfigureAwait(false);
            if (isStill && isAtRest(work) && _changes.Current.Version == version)
                return;

            if (version != lastVersion)
                (lastVersion, stillSince) = (version, TimeProvider.System.GetTimestamp());
            if (mayWaitForTime && isStill && work.MayWaitForTime &&
                (version == _stillVersion || TimeProvider.System.GetElapsedTime(stillSince) >= Stillness))
            {
                _stillVersion = version;
                return;
            }

            if (TimeProvider.System.GetElapsedTime(started) >= Options.Deadline && !Debugger.IsAttached)
                throw new TimeoutException($"Not at rest within {Options.Deadline}:{work.Describe(Time.GetUtcNow())}");
            await next.WaitAsync(LookAgain, TimeProvider.System).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private ValueTask<InFlight> LookAsync() => _isRunning && Options.RunConsumers
        ? InFlight.LookAsync(_store, Services.GetRequiredService<MillraceService>(), _handlers)
        : new(InFlight.None);
}
