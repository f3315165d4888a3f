using System.Buffers.Binary;
using Microsoft.Extensions.Logging;
using Millrace.Hosting;
using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>
/// Handlers begun within a period, over all processes of the group. The period is cut into short windows with a few tokens each; the store
/// counts the tokens taken in the current one.
/// </summary>
/// <remarks>
/// <code>
/// rate/&lt;group&gt;         with a window's length to live: while it is there the window runs
/// rate/&lt;group&gt;/taken   tokens taken in it, 32 bits little endian; written on the condition that neither document has changed
/// </code>
/// Only durations cross the contract, so the end of a window is a document that the store forgets, by its own clock, and clocks of processes
/// do not matter; one that a process has seen for twice its length is over, too (<see cref="ExpiryWatch"/>). A window has t = ⌈limit / 10⌉ tokens and lasts
/// t⁄limit of the period or longer; a token is used within a window's length of having been asked for, or thrown away, and so within two lengths of its
/// window's begin. Tokens used within one period come from windows that began within a period and two lengths, at most ⌈limit ⁄ t⌉ + 2 of them: no more than
/// limit + 3 t, and the limit on average. A process takes a quarter of a window's tokens, or as many as it has handlers waiting, in one commit.
/// </remarks>
internal sealed class RateLimiter
{
    private readonly IStreamStore _store;
    private readonly GroupPlan _plan;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly LogLimit _failures;
    private readonly StateKey _window;
    private readonly StateKey _taken;
    private readonly int _tokensPerWindow;
    private readonly TimeSpan _length;
    private readonly SemaphoreSlim _taking = new(1);
    private readonly Lock _lock = new();

    // For who asks the store, one at a time.
    private readonly ExpiryWatch _running;
    private int _tokens;
    private long _takenAt;
    private int _waiting;

    public RateLimiter(IStreamStore store, GroupPlan plan, TimeProvider time, ILogger logger)
    {
        (_store, _plan, _time, _logger, _failures, _running) = (store, plan, time, logger, new(time), new(time));
        (_window, _taken) = KeysOf(plan.Home, plan.Group);
        var (limit, period) = (Math.Max(1, plan.Options.RateLimit), plan.Options.RatePeriod);
        _tokensPerWindow = (limit + 9) / 10;
        _length = TimeSpan.FromMilliseconds(Math.Ceiling(period.TotalMilliseconds * _tokensPerWindow / limit));
    }

    public bool IsOn => _plan.Options.RateLimit > 0;

    public static (StateKey Window, StateKey Taken) KeysOf(string home, string group) =>
        (new(home, $"rate/{group}"), new(home, $"rate/{group}/taken"));

    /// <summary>Waits for a token. Not when cancelled: then there is none.</summary>
    /// <param name="isWanted">Asked before a token is used, which may be much later: whether it still is of use.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>Whether there is one.</returns>
    public async ValueTask<bool> TakeAsync(Func<bool> isWanted, CancellationToken cancellationToken)
    {
        if (!IsOn || TryUse())
            return true;
        Interlocked.Increment(ref _waiting);
        try
        {
            // One asks the store for all that wait.
            await _taking.WaitAsync(cancellationToken).ConfigureAwait(false);
            try
            {
                while (isWanted())
                {
                    if (TryUse())
                        return true;
                    await RefillAsync(cancellationToken).ConfigureAwait(false);
                }

                return false;
            }
            finally
            {
                _taking.Release();
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            return false;
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    private bool TryUse()
    {
        lock (_lock)
        {
            if (_tokens == 0 || _time.GetElapsedTime(_takenAt) >= _length)
                return false;
            _tokens--;
            return true;
        }
    }

    /// <summary>Takes tokens of the current window or begins the next one; waits for a part of a window where there are none.</summary>
    private async Task RefillAsync(CancellationToken cancellationToken)
    {
        for (var failures = 1; ; failures++)
        {
            try
            {
                var asked = _time.GetTimestamp(); // Before the store counts them, so that they are not used for too long.
                var tokens = await TryTakeAsync(cancellationToken).ConfigureAwait(false);
                lock (_lock)
                    (_tokens, _takenAt) = (tokens, asked);
                if (tokens == 0)
                    await Task.Delay(_length * (0.125 + (Random.Shared.NextDouble() / 8)), _time, cancellationToken).ConfigureAwait(false);
                return;
            }
            catch (StreamException exception) when (!cancellationToken.IsCancellationRequested)
            {
                if (_failures.Allows())
                    LogMessages.RateLimitFailed(_logger, exception, _plan.Stream, _plan.Group);
                await Backoff.WaitForStoreAsync(failures, _time, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>None when the window has none left, or somebody else was faster.</summary>
    private async Task<int> TryTakeAsync(CancellationToken cancellationToken)
    {
        var found = await _store.GetStatesAsync([_window, _taken], cancellationToken).ConfigureAwait(false);
        var (window, taken) = (found[0], found[1]);
        var isOver = _running.IsOver(window);
        var used = !isOver && taken is not null && BinaryPrimitives.TryReadInt32LittleEndian(taken.Payload.Span, out var count) ? count : 0;
        var wanted = Math.Max(Volatile.Read(ref _waiting), (_tokensPerWindow + 3) / 4);
        var tokens = Math.Min(wanted, _tokensPerWindow - used);
        if (tokens <= 0)
            return 0;

        var payload = new byte[sizeof(int)];
        BinaryPrimitives.WriteInt32LittleEndian(payload, used + tokens);
        var commit = new Commit
        {
            Conditions = [Unchanged(_window, window), Unchanged(_taken, taken)],
            Changes = isOver
                ? [ExpiryWatch.Put(_window, _length, _plan.Consumer), new CommitChange.PutState(_taken, payload)]
                : [new CommitChange.PutState(_taken, payload)],
            IsUpkeep = true,
        };
        return (await _store.CommitAsync(commit, cancellationToken).ConfigureAwait(false)).IsApplied ? tokens : 0;
    }

    private static CommitCondition Unchanged(StateKey key, StateDocument? document) =>
        document is null ? CommitCondition.StateAbsent(key) : CommitCondition.StateIs(key, document.Version);
}
