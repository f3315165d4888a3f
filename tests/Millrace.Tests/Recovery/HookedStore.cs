using System.Reflection;
using Millrace.Streams;

namespace Millrace.Tests.Recovery;

/// <summary>A real store where a test does something of its own, or waits, before a call arrives. What it throws is thrown in place of the call.</summary>
public class HookedStore : DispatchProxy
{
    private static readonly MethodInfo Call = typeof(HookedStore).GetMethod(nameof(CallAsync), BindingFlags.NonPublic | BindingFlags.Instance)!;

    private IStreamStore _store = null!;
    private Func<string, object?[], Task> _before = null!;

    /// <param name="store">The store behind.</param>
    /// <param name="before">Told the name of each member called that has an answer, and with what; ends when the call may go on.</param>
    public static IStreamStore Wrap(IStreamStore store, Func<string, object?[], Task> before)
    {
        var proxy = Create<IStreamStore, HookedStore>();
        (((HookedStore)(object)proxy)._store, ((HookedStore)(object)proxy)._before) = (store, before);
        return proxy;
    }

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) =>
        targetMethod!.ReturnType is { IsGenericType: true } type && type.GetGenericTypeDefinition() == typeof(ValueTask<>)
            ? Call.MakeGenericMethod(type.GenericTypeArguments).Invoke(this, [targetMethod, args])
            : targetMethod.Invoke(_store, BindingFlags.DoNotWrapExceptions, null, args, null);

    private async ValueTask<T> CallAsync<T>(MethodInfo method, object?[] args)
    {
        await _before(method.Name, args);
        return await (ValueTask<T>)method.Invoke(_store, BindingFlags.DoNotWrapExceptions, null, args, null)!;
    }
}
