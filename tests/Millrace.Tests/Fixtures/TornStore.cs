using System.Reflection;
using Millrace.Streams;

namespace Millrace.Tests.Fixtures;

/// <summary>
/// A store that is busy with others in the middle of a read of several documents, as Redis may be: something happens after the first of them.
/// </summary>
public class TornStore : DispatchProxy
{
    private IStreamStore _store = null!;
    private Func<Task> _between = null!;

    public static IStreamStore Wrap(IStreamStore store, Func<Task> between)
    {
        var proxy = Create<IStreamStore, TornStore>();
        ((TornStore)(object)proxy)._store = store;
        ((TornStore)(object)proxy)._between = between;
        return proxy;
    }

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args) =>
        targetMethod!.Name == nameof(IStreamStore.GetStatesAsync) && args![0] is IReadOnlyList<StateKey> { Count: > 1 } keys
            ? ReadAsync(keys)
            : targetMethod.Invoke(_store, BindingFlags.DoNotWrapExceptions, null, args, null);

    private async ValueTask<IReadOnlyList<StateDocument?>> ReadAsync(IReadOnlyList<StateKey> keys)
    {
        var first = await _store.GetStatesAsync([keys[0]]);
        await _between();
        return [.. first, .. await _store.GetStatesAsync([.. keys.Skip(1)])];
    }
}
