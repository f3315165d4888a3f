using System.Reflection;
using Millrace.Streams;

namespace Millrace.Tests.Chaos;

/// <summary>Stops one host of several in a process, as SIGSTOP stops a process: none of its timers fires and no answer of the store reaches it.</summary>
internal sealed class Freezer
{
    private readonly Lock _lock = new();
    private TaskCompletionSource? _frozen;

    public void Freeze()
    {
        lock (_lock)
            _frozen ??= new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    public void Thaw()
    {
        lock (_lock)
        {
            _frozen?.TrySetResult();
            _frozen = null;
        }
    }

    public TimeProvider Slow(TimeProvider time) => new FreezableTime(time, this);

    /// <param name="store">The store.</param>
    /// <param name="member">The only member whose calls wait. Default: every one.</param>
    public IStreamStore Slow(IStreamStore store, string? member = null) => FreezableStore.Wrap(store, this, member);

    /// <summary>Ends at once, or with the thaw.</summary>
    internal Task Running
    {
        get
        {
            lock (_lock)
                return _frozen?.Task ?? Task.CompletedTask;
        }
    }

    private sealed class FreezableTime(TimeProvider time, Freezer freezer) : TimeProvider
    {
        public override long TimestampFrequency => time.TimestampFrequency;

        public override long GetTimestamp() => time.GetTimestamp();

        public override DateTimeOffset GetUtcNow() => time.GetUtcNow();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) =>
            time.CreateTimer(value => FireWhenRunning(callback, value), state, dueTime, period);

        private void FireWhenRunning(TimerCallback callback, object? state)
        {
            if (freezer.Running is { IsCompleted: false } running)
                _ = running.ContinueWith(_ => callback(state), TaskScheduler.Default);
            else
                callback(state);
        }
    }
}

/// <summary>A store whose calls wait, on their way there and back, while their host is frozen.</summary>
public class FreezableStore : DispatchProxy
{
    private static readonly MethodInfo CallOf = typeof(FreezableStore).GetMethod(nameof(CallAsync), BindingFlags.NonPublic | BindingFlags.Instance)!;

    private IStreamStore _store = null!;
    private Freezer _freezer = null!;
    private string? _member;

    internal static IStreamStore Wrap(IStreamStore store, Freezer freezer, string? member)
    {
        var proxy = Create<IStreamStore, FreezableStore>();
        var freezable = (FreezableStore)(object)proxy;
        (freezable._store, freezable._freezer, freezable._member) = (store, freezer, member);
        return proxy;
    }

    /// <inheritdoc/>
    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) =>
        targetMethod!.ReturnType.IsGenericType && (_member is null || _member == targetMethod.Name)
        ? CallOf.MakeGenericMethod(targetMethod.ReturnType.GenericTypeArguments[0]).Invoke(this, [targetMethod, args])
        : targetMethod.Invoke(_store, BindingFlags.DoNotWrapExceptions, null, args, null);

    private async ValueTask<T> CallAsync<T>(MethodInfo method, object?[]? args)
    {
        await _freezer.Running;
        try
        {
            return await (ValueTask<T>)method.Invoke(_store, BindingFlags.DoNotWrapExceptions, null, args, null)!;
        }
        finally
        {
            await _freezer.Running;
        }
    }
}
