using System.Reflection;
using Millrace.Streams;

namespace Millrace.ChaosWorker;

/// <summary>
/// A store that notes calls which take long, other than those that block: an answer to a claim or a renewal that comes late, for whatever reason of
/// the machine, may cost a lease, and a heartbeat beside it need not notice.
/// </summary>
public class TimedStore : DispatchProxy
{
    private static readonly MethodInfo CallOf = typeof(TimedStore).GetMethod(nameof(CallAsync), BindingFlags.NonPublic | BindingFlags.Instance)!;
    private static readonly string[] Blocking = [nameof(IStreamStore.ReadAsync), nameof(IStreamStore.ReadGroupAsync)];

    private IStreamStore _store = null!;
    private IHistory _history = null!;
    private Action<double> _stalled = null!;

    /// <summary>Makes one.</summary>
    /// <param name="store">Does the work.</param>
    /// <param name="history">Its clock.</param>
    /// <param name="stalled">Told when a call that took too long began.</param>
    public static IStreamStore Wrap(IStreamStore store, IHistory history, Action<double> stalled)
    {
        var proxy = Create<IStreamStore, TimedStore>();
        var timed = (TimedStore)(object)proxy;
        (timed._store, timed._history, timed._stalled) = (store, history, stalled);
        return proxy;
    }

    /// <inheritdoc/>
    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) =>
        targetMethod!.ReturnType.IsGenericType && !Blocking.Contains(targetMethod.Name)
            ? CallOf.MakeGenericMethod(targetMethod.ReturnType.GenericTypeArguments[0]).Invoke(this, [targetMethod, args])
            : targetMethod.Invoke(_store, BindingFlags.DoNotWrapExceptions, null, args, null);

    private async ValueTask<T> CallAsync<T>(MethodInfo method, object?[]? args)
    {
        var begun = _history.NowMs;
        try
        {
            return await (ValueTask<T>)method.Invoke(_store, BindingFlags.DoNotWrapExceptions, null, args, null)!;
        }
        finally
        {
            if (_history.NowMs - begun > ChaosWorkload.StallMs)
                _stalled(begun);
        }
    }
}
