namespace Millrace.Consuming;

/// <summary>
/// Group commit without a timer: the first item is flushed at once, and what arrives while a flush is in flight leaves together in the next
/// one. Idle, it adds no delay; busy, the batches grow by themselves.
/// </summary>
/// <param name="flush">Sends a batch. Must not throw: each item learns its own fate.</param>
internal sealed class FlushBatch<TItem>(Func<List<TItem>, Task> flush)
{
    private readonly Lock _lock = new();
    private List<TItem> _gathering = [];
    private List<TItem> _spare = [];
    private bool _isFlushing;
    private TaskCompletionSource? _idle;

    public void Add(TItem item)
    {
        lock (_lock)
        {
            _gathering.Add(item);
            if (_isFlushing)
                return;
            _isFlushing = true;
        }

        _ = FlushAllAsync();
    }

    /// <summary>Ends when everything added so far has been flushed.</summary>
    public Task WhenIdleAsync()
    {
        lock (_lock)
            return _isFlushing ? (_idle ??= new(TaskCreationOptions.RunContinuationsAsynchronously)).Task : Task.CompletedTask;
    }

    private async Task FlushAllAsync()
    {
        while (TryTake(out var batch))
        {
            await flush(batch).ConfigureAwait(false);
            if (Recycle(batch))
            {
                // The first batch is the caller's own and worth its time; the others' go on without it.
                await Task.CompletedTask.ConfigureAwait(ConfigureAwaitOptions.ForceYielding);
            }
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
            _idle?.TrySetResult();
            _idle = null;
            return false;
        }
    }

    /// <summary>Keeps the list for a later batch. Returns whether there is another one to flush.</summary>
    private bool Recycle(List<TItem> batch)
    {
        batch.Clear();
        lock (_lock)
        {
            _spare = batch;
            return _gathering.Count > 0;
        }
    }
}
