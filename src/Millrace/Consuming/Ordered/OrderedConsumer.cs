using Millrace.Streams;

namespace Millrace.Consuming.Ordered;

/// <summary>
/// Reads a group in the order of its keys: messages of one key one after the other, different keys side by side. One process at a time does,
/// tenure after tenure; the others stand by.
/// </summary>
internal sealed class OrderedConsumer(
    OrderedParts parts, Func<Exception, int, CancellationToken, Task> waitAfterFailure, CancellationToken abort)
{
    private readonly ReaderLease _lease = new(parts.Store, parts.Plan, parts.Plan.OrderNames!, parts.Time, parts.Logger);
    private Tenure? _tenure;
    private Task _keeping = Task.CompletedTask;
    private CancellationTokenSource? _endKeeping;

    /// <summary>Ends when no handler runs any more, after <see cref="Close"/>.</summary>
    public Task Ended => _tenure?.Ended ?? Task.CompletedTask;

    /// <summary>See <see cref="KeyQueue.CountParked"/>.</summary>
    public (int Entries, bool IsFull) Parked => _tenure?.Parked ?? default;

    private void StandBy(StateDocument? noted)
    {
        parts.Status.StandingBy();
        parts.Ledger.Remember(noted);
    }

    /// <summary>Takes the lease and reads, again and again, until cancelled.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        for (var failures = 0; ;)
        {
            try
            {
                var fence = await _lease.AcquireAsync(StandBy, cancellationToken).ConfigureAwait(false);
                LogMessages.ReaderTookLease(parts.Logger, parts.Plan.Stream, parts.Plan.Group, parts.Plan.Consumer);
                failures = 0;
                await ReadAsync(fence, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
            {
                var isOver = _tenure?.Over.IsCancellationRequested ?? false;
                await LeaveTenureAsync(cancellationToken).ConfigureAwait(false);
                if (!isOver)
                    await waitAfterFailure(exception, ++failures, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>No handler starts any more. The lease is kept for those that run.</summary>
    public void Close() => _tenure?.Close();

    /// <summary>Gives the lease up, once the handlers are through; not when the token is cancelled.</summary>
    public async Task EndAsync(CancellationToken cancellationToken)
    {
        await EndKeepingAsync().ConfigureAwait(false);
        cancellationToken.ThrowIfCancellationRequested();
        if (_tenure is { IsLost: false } tenure)
            await _lease.ReleaseAsync(tenure.Fence, cancellationToken).ConfigureAwait(false);
    }

    private async Task ReadAsync(CommitCondition.State fence, CancellationToken cancellationToken)
    {
        _tenure = new Tenure(parts, _lease, fence);
        _endKeeping = CancellationTokenSource.CreateLinkedTokenSource(abort);
        _keeping = KeepAsync(_tenure, _endKeeping.Token);
        await _tenure.RunAsync(waitAfterFailure, cancellationToken).ConfigureAwait(false);
    }

    private async Task KeepAsync(Tenure tenure, CancellationToken cancellationToken)
    {
        try
        {
            await _lease.KeepAsync(tenure.Fence, cancellationToken).ConfigureAwait(false);
            tenure.Lose();
        }
        catch (Exception) when (cancellationToken.IsCancellationRequested)
        {
            // The end of the tenure, also when the store failed in the same moment.
        }
    }

    /// <summary>
    /// Before the next tenure what runs in this one should end: its effects cannot be written any more, but others may. A handler that ignores
    /// its token is left behind after a lease.
    /// </summary>
    private async Task LeaveTenureAsync(CancellationToken cancellationToken)
    {
        if (_tenure is not { } tenure)
            return;
        tenure.Close();
        await EndKeepingAsync().ConfigureAwait(false);
        await tenure.Ended.WaitAsync(parts.Plan.Options.Lease, parts.Time, cancellationToken)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        cancellationToken.ThrowIfCancellationRequested();
        _tenure = null;
    }

    private async Task EndKeepingAsync()
    {
        if (_endKeeping is not { } end)
            return;
        await end.CancelAsync().ConfigureAwait(false);
        await _keeping.ConfigureAwait(false);
        end.Dispose();
        _endKeeping = null;
    }
}
