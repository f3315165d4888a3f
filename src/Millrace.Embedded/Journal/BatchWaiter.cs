using System.Threading.Tasks.Sources;

namespace Millrace.Embedded.Journal;

/// <summary>One who waits until a batch is durable.</summary>
internal abstract class BatchWaiter
{
    /// <summary>Runs what waits, on this thread unless its awaiter wants another.</summary>
    public abstract void Complete(Exception? failure);
}

/// <summary>With what it is told then: awaited as the call's own result, without a task or a state machine between.</summary>
internal sealed class BatchWaiter<TResult>(TResult result) : BatchWaiter, IValueTaskSource<TResult>, IValueTaskSource
{
    private ManualResetValueTaskSourceCore<TResult> _core;

    public ValueTask<TResult> Result => new(this, _core.Version);

    public ValueTask Completion => new(this, _core.Version);

    public override void Complete(Exception? failure)
    {
        if (failure is null)
            _core.SetResult(result);
        else
            _core.SetException(failure);
    }

    public TResult GetResult(short token) => _core.GetResult(token);

    void IValueTaskSource.GetResult(short token) => _core.GetResult(token);

    public ValueTaskSourceStatus GetStatus(short token) => _core.GetStatus(token);

    public void OnCompleted(Action<object?> continuation, object? state, short token, ValueTaskSourceOnCompletedFlags flags) =>
        _core.OnCompleted(continuation, state, token, flags);
}
