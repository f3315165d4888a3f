using System.Text;
using Microsoft.Extensions.Logging;
using Millrace.Redis.Connections;
using Millrace.Redis.Scripts;
using Millrace.Streams;

namespace Millrace.Redis.Schedules;

/// <summary>
/// Moves scheduled entries to their streams when they are due by the clock of Redis: one timer for all streams of this process. Any number
/// of processes may do so for the same stream; the script moves each entry in one step.
/// </summary>
/// <remarks>
/// A stream is watched from its first read, and from when this process schedules into it. It learns the time to the next entry from the
/// script, and of earlier ones that other processes schedule from a channel on which the commit script names the stream. Messages of a
/// channel can be lost, so all watched streams are also looked at regularly: one round trip for all of them.
/// <para>Our own server moves its entries itself. Once it is known to be at the other end, nothing is watched.</para>
/// </remarks>
internal sealed class SchedulePromoter : IAsyncDisposable
{
    public const string Channel = "millrace:scheduled";

    // What one script call moves bounds how long Redis serves nobody else: to about a millisecond by the number of small entries, to
    // about five by the bytes of large ones. One entry is moved whatever its size.
    private const int MaxEntriesPerCall = 100;
    private const int MaxBytesPerCall = 1024 * 1024;

    // How late an entry can be whose message was lost. Costs a script call of some microseconds for each watched stream.
    private static readonly TimeSpan CheckInterval = TimeSpan.FromSeconds(5);

    // Between attempts to subscribe while the server cannot be reached.
    private static readonly TimeSpan SubscribeAgainAfter = TimeSpan.FromSeconds(1);

    // Longer than any single blocked read, which renews the watch.
    private static readonly TimeSpan ForgetAfter = TimeSpan.FromMinutes(2);

    private readonly RedisClient _client;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly CancellationTokenSource _closing = new();
    private readonly SemaphoreSlim _wake = new(0);
    private readonly ITimer _timer;

    private readonly Lock _lock = new();
    private readonly Dictionary<string, Watched> _watched = [];
    private long _nextWake = long.MaxValue;     // When the timer is set to fire.
    private long _nextCheck;                    // When all streams are looked at.
    private Task? _running;                     // Started with the first stream.
    private bool _isFailing;                    // So that an outage is logged once.

    public SchedulePromoter(RedisClient client, TimeProvider time, ILogger logger)
    {
        _client = client;
        _time = time;
        _logger = logger;
        _timer = time.CreateTimer(
            static wake => ((SemaphoreSlim)wake!).Release(), _wake, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>A stream whose schedule this process looks after. Times are timestamps of the time provider.</summary>
    private sealed class Watched
    {
        public long LastUse;
        public long Due = long.MaxValue;    // When its next entry is due; MaxValue: none that we know of.
    }

    /// <summary>Looks after a stream from now on, because it is being read.</summary>
    public void Watch(string stream)
    {
        if (_client.IsMillrace)
            return;
        lock (_lock)
        {
            var now = _time.GetTimestamp();
            if (_watched.TryGetValue(stream, out var watched))
                watched.LastUse = now;
            else if (StreamNames.CanDerive(stream))
                AddDueNeedsLock(stream, now, now);
        }
    }

    /// <summary>Says that this process has scheduled an entry.</summary>
    public void Expect(string stream, TimeSpan delay)
    {
        if (_client.IsMillrace)
            return;
        lock (_lock)
        {
            var now = _time.GetTimestamp();
            AddDueNeedsLock(stream, now + Ticks(delay), now);
        }
    }

    public async ValueTask DisposeAsync()
    {
        await _closing.CancelAsync().ConfigureAwait(false);
        Task? running;
        lock (_lock)
            running = _running;
        if (running is not null)
            await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await _timer.DisposeAsync().ConfigureAwait(false);
    }

    private void AddDueNeedsLock(string stream, long due, long now)
    {
        if (!_watched.TryGetValue(stream, out var watched))
            _watched.Add(stream, watched = new());
        watched.LastUse = now;
        watched.Due = Math.Min(watched.Due, due);

        // A timer cannot be set for more than some weeks; the loop has regular checks in between.
        WakeAtNeedsLock(Math.Min(due, now + Ticks(CheckInterval)), now);

        // A store that was closed meanwhile looks after nothing.
        if (!_closing.IsCancellationRequested)
            _running ??= Task.WhenAll(RunAsync(), SubscribeAsync());
    }

    private void WakeAtNeedsLock(long wake, long now)
    {
        if (wake >= _nextWake)
            return;
        _nextWake = wake;
        _timer.Change(_time.GetElapsedTime(now, Math.Max(now, wake)), Timeout.InfiniteTimeSpan);
    }

    private async Task RunAsync()
    {
        // Off the lock and the thread of the caller.
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        while (true)
        {
            await _wake.WaitAsync(_closing.Token).ConfigureAwait(false);
            try
            {
                await PromoteAsync(TakeDue()).ConfigureAwait(false);
                _isFailing = false;
            }
            catch (Exception exception) when (!_closing.IsCancellationRequested)
            {
                // Whatever was due is still in the schedule, and the next regular check finds it. No mistake may end this loop unseen.
                if (!_isFailing)
                    _logger.PromotionFailed(exception.Message);
                _isFailing = true;
            }
        }
    }

    /// <summary>The streams to look at now. They have no due time until the script answers. Sets the timer for what comes next.</summary>
    private List<string> TakeDue()
    {
        lock (_lock)
        {
            var now = _time.GetTimestamp();
            var isCheck = now >= _nextCheck;
            if (isCheck)
                _nextCheck = now + Ticks(CheckInterval);

            var taken = new List<string>();
            var next = _nextCheck;
            foreach (var (stream, watched) in _watched)
            {
                if (isCheck || watched.Due <= now)
                {
                    watched.Due = long.MaxValue;
                    taken.Add(stream);
                }

                next = Math.Min(next, watched.Due);
            }

            // Without watched streams the timer rests until there is one.
            _nextWake = long.MaxValue;
            if (_watched.Count > 0)
                WakeAtNeedsLock(next, now);
            return taken;
        }
    }

    private async ValueTask PromoteAsync(List<string> streams)
    {
        if (streams.Count == 0)
            return;
        await _client.ConnectAsync(_closing.Token).ConfigureAwait(false);
        if (_client.IsMillrace)
        {
            lock (_lock)
                _watched.Clear();
            return;
        }

        var calls = streams.ConvertAll(static stream => (
            LuaScript.Promote, LuaScript.Promote.Call(StreamNames.Schedule(stream), stream).Add(MaxEntriesPerCall).Add(MaxBytesPerCall)));
        var replies = await _client.CallManyAsync(calls, _closing.Token).ConfigureAwait(false);
        StreamException? failure = null;
        lock (_lock)
        {
            var now = _time.GetTimestamp();
            for (var i = 0; i < streams.Count; i++)
            {
                if (replies[i].IsError)
                    failure = RedisErrors.ToException($"to promote the schedule of '{streams[i]}'", replies[i]);
                else
                    NoteNextNeedsLock(streams[i], replies[i].Integer, now);
            }
        }

        if (failure is not null)
            throw failure;
    }

    private void NoteNextNeedsLock(string stream, long nextInMs, long now)
    {
        var watched = _watched[stream];
        if (nextInMs >= 0)
            AddNextNeedsLock(watched, now + Ticks(TimeSpan.FromMilliseconds(nextInMs)), now);

        // Nothing is scheduled here, and nobody reads it any more.
        else if (watched.Due == long.MaxValue && _time.GetElapsedTime(watched.LastUse, now) > ForgetAfter)
            _watched.Remove(stream);
    }

    private void AddNextNeedsLock(Watched watched, long due, long now)
    {
        watched.Due = Math.Min(watched.Due, due);
        WakeAtNeedsLock(due, now);
    }

    // Beside the loop, which must not wait for it. Ends with the client: it closes the subscription, and renews it until then.
    private async Task SubscribeAsync()
    {
        await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
        for (var isLogged = false; ; isLogged = true)
        {
            try
            {
                await _client.ConnectAsync(_closing.Token).ConfigureAwait(false);
                if (_client.IsMillrace)
                    return;
                await _client.SubscribeAsync(Channel, OnScheduled, _closing.Token).ConfigureAwait(false);
                CheckNow();
                return;
            }
            catch (Exception exception) when (!_closing.IsCancellationRequested)
            {
                // The regular check has to do: it is late by seconds at most.
                if (!isLogged)
                    _logger.NoSubscription(Channel, CheckInterval, exception.Message);
                if (exception is not StreamException { IsTransient: true })
                    return;
            }

            // The server was away when the first stream was watched; it will be back.
            await Task.Delay(SubscribeAgainAfter, _time, _closing.Token).ConfigureAwait(false);
        }
    }

    // What was scheduled before the subscription began has sent no message here.
    private void CheckNow()
    {
        lock (_lock)
        {
            var now = _time.GetTimestamp();
            _nextCheck = now;
            WakeAtNeedsLock(now, now);
        }
    }

    private void OnScheduled(ReadOnlyMemory<byte> message)
    {
        var stream = Encoding.UTF8.GetString(message.Span);
        lock (_lock)
        {
            if (_watched.TryGetValue(stream, out var watched))
            {
                var now = _time.GetTimestamp();
                AddNextNeedsLock(watched, now, now);
            }
        }
    }

    private long Ticks(TimeSpan duration) => (long)(duration.TotalSeconds * _time.TimestampFrequency);
}
