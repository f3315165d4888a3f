namespace Millrace.Testing;

/// <summary>Counts what is under way that may change what is in flight, and tells who waits when something of it has ended.</summary>
internal sealed class Changes
{
    private readonly Lock _lock = new();
    private int _underWay;
    private long _version;
    private TaskCompletionSource _next = NewSource();

    /// <summary>
    /// What is known now: two looks at the same version, with nothing under way at the first, have nothing between them.
    /// </summary>
    public (long Version, bool IsStill, Task Next) Current
    {
        get
        {
            lock (_lock)
                return (_version, _underWay == 0, _next.Task);
        }
    }

    public Change Begin()
    {
        lock (_lock)
        {
            _underWay++;
            _version++;
        }

        return new(this);
    }

    private void End()
    {
        TaskCompletionSource ended;
        lock (_lock)
        {
            _underWay--;
            _version++;
            (ended, _next) = (_next, NewSource());
        }

        ended.TrySetResult();
    }

    private static TaskCompletionSource NewSource() => new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Ends with its disposal; once.</summary>
    internal readonly struct Change(Changes changes) : IDisposable
    {
        public void Dispose() => changes.End();
    }
}
