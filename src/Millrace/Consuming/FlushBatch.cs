namespace Millrace.Consuming;

/// <summary>
/// Group commit without a timer: the first item is flushed at once, and what arrives while a flush is in flight leaves together in the next
/// one. Idle, it adds no delay; busy, the batches grow by themselves.
/// </summary>
/// <param name="flush">Sends a batch. Must not throw: each item learns its own fate.</param>
internal sealed class FlushBatch<TItem>(Func<List<TItem>, Task> flush)
{
    // What a flush costs besides its items is little among so many. None waits for a thread of the pool any longer: handlers may keep all of them.
    private const int FullCount = 128;

    private readonly Lock _lock = new();
    private List<TItem> _gathering = [];
    private List<TItem> _spare = [];

    // A flush is in flight; or the thread pool is to begin one.
    private bool _isFlushing;
    private bool _isQueued;
    private TaskCompletionSource? _idle;

    /// <param name="item">What is to be flushed.</param>
    /// <param name="isFirstOfMany">Whether others are likely to follow in a moment, for whom it can wait for a thread of the pool.</param>
    public void Add(TItem item, bool isFirstOfMany = false)
    {
        lock (_lock)
        {
            _gathering.Add(item);
            if (_isFlushing || (_isQueued && _gathering.Count < FullCount))
                return;
            if (isFirstOfMany && _gathering.Count < FullCount)
            {
                QueueNeedsLock();
                return;
            }

            _isFlushing = true;
        }

        _ = FlushAllAsync();
    }

    /// <summary>Ends when everything added so far has been flushed.</summary>
    public Task WhenIdleAsync()
    {
        lock (_lock)
            return _isFlushing || _isQueued ? (_idle ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task : Task.CompletedTask;
    }

    private void QueueNeedsLock()
    {
        _isQueued = true;
        ThreadPool.UnsafeQueueUserWorkItem(static batch => batch.FlushQueued(), this, preferLocal: false);
    }

    private void FlushQueued()
    {
        lock (_lock)
        {
            _isQueued = false;
            if (_isFlushing)
                return;
            _isFlushing = true;
        }

        _ = FlushAllAsync();
    }

    private async Task FlushAllAsync()
    {
        while (TryTake(out var batch))
        {
            var flushing = flush(batch);
            var isCallers = flushing.IsCompleted;
            await flushing.ConfigureAwait(false);
            if (Recycle(batch, isCallers))
                return;
        }
    }

    private bool TryTake(out List<TItem> batch)
    {
        lock (_lock)
        {
            (batch, _gathering) = (_gathering, _spare);
            if (batch.Count > 0)
                return true;
            (_gathering, _isFlushing) = (batch, false);
            if (!_isQueued)
                TellIdleNeedsLock();
            return false;
        }
    }

    /// <summary>
    /// Keeps the list for a later batch. The first batch is the caller's own and worth its time; the others' go on without it, and so the flushing
    /// ends here, which is what it returns.
    /// </summary>
    private bool Recycle(List<TItem> batch, bool isCallers)
    {
        batch.Clear();
        lock (_lock)
        {
            _spare = batch;
            if (!isCallers || _gathering.Count == 0)
                return false;
            _isFlushing = false;
            if (!_isQueued)
                QueueNeedsLock();
            return true;
        }
    }

    private void TellIdleNeedsLock()
    {
        _idle?.TrySetResult();
        _idle = null;
    }
}
