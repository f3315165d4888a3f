using Millrace.Streams;

namespace Millrace.Embedded;

/// <summary>One write that waits for memory. Every member but the task is called under the store's lock.</summary>
internal abstract class WaitingWrite
{
    /// <summary>Ends the wait when its time is over; null until it is set.</summary>
    public ITimer? Timer { get; set; }

    /// <summary>There is room: writes, and ends the wait with the result or an error.</summary>
    public abstract void Serve(long nowMs);

    public abstract void Cancel(CancellationToken cancellationToken);

    public abstract void Fail(StreamException error);
}

/// <inheritdoc/>
/// <param name="write">Applies what it writes at a moment.</param>
/// <typeparam name="TResult">What comes of it.</typeparam>
internal sealed class WaitingWrite<TResult>(Func<long, TResult> write) : WaitingWrite
{
    /// <summary>
    /// Completed under the lock, but its continuation runs on the thread pool. A cancellation comes either before anything is written or too late.
    /// </summary>
    private readonly TaskCompletionSource<TResult> _answer = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task<TResult> Answer => _answer.Task;

    public override void Serve(long nowMs)
    {
        try
        {
            _answer.SetResult(write(nowMs));
        }
        catch (Exception e)
        {
            // Whatever it is, it is for who writes: not for who made room.
            _answer.SetException(e);
        }
    }

    public override void Cancel(CancellationToken cancellationToken) => _answer.SetCanceled(cancellationToken);

    public override void Fail(StreamException error) => _answer.SetException(error);
}
