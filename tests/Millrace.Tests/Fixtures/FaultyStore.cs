using System.Reflection;
using Millrace.Streams;

namespace Millrace.Tests.Fixtures;

/// <summary>
/// A real store on a bad line: a test decides, call by call, what goes wrong before the call arrives or after it was applied.
/// </summary>
public class FaultyStore : DispatchProxy
{
    private IStreamStore _store = null!;
    private Func<string, object?[], Fault> _faults = null!;

    public enum Fault
    {
        None,

        /// <summary>The call never arrives.</summary>
        Before,

        /// <summary>The call is applied and its answer is lost.</summary>
        After,

        /// <summary>The line breaks as soon as the call is on it. The store goes on with the call: a read that waits there is still given entries.</summary>
        Behind,

        /// <summary>The line is half open: the call is applied, and no answer comes until the caller gives up.</summary>
        Silent,

        /// <summary>The call is applied, and its answer crosses with the caller giving up.</summary>
        Late,
    }

    /// <param name="store">The store behind the line.</param>
    /// <param name="faults">Told the name of each member called; says what happens to the call.</param>
    public static IStreamStore Wrap(IStreamStore store, Func<string, Fault> faults) => Wrap(store, (member, _) => faults(member));

    /// <param name="store">The store behind the line.</param>
    /// <param name="faults">Told the name of each member called, and with what; says what happens to the call.</param>
    public static IStreamStore Wrap(IStreamStore store, Func<string, object?[], Fault> faults)
    {
        var proxy = Create<IStreamStore, FaultyStore>();
        ((FaultyStore)(object)proxy)._store = store;
        ((FaultyStore)(object)proxy)._faults = faults;
        return proxy;
    }

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
    {
        var fault = _faults(targetMethod!.Name, args!);
        if (fault == Fault.Before)
            throw new StreamException(StreamErrorCode.Unavailable, "The line is dead.");
        if (fault is Fault.Silent or Fault.Late)
            return InvokeDeaf(targetMethod, args!, fault);
        var result = targetMethod.Invoke(_store, BindingFlags.DoNotWrapExceptions, null, args, null);
        if (fault == Fault.Behind)
            throw Broken();
        return fault == Fault.None ? result : result switch
        {
            ValueTask<IReadOnlyList<CommitResult>> commit => LoseAsync(commit),
            ValueTask<long> count => LoseAsync(count),
            ValueTask<IReadOnlyList<StreamBatch<DeliveredEntry>>> read => LoseAsync(read),
            _ => throw NotPrepared(targetMethod),
        };
    }

    /// <summary>A call whose cancellation does not reach the store.</summary>
    private object InvokeDeaf(MethodInfo method, object?[] args, Fault fault)
    {
        var cancellationToken = (CancellationToken)args[^1]!;
        args[^1] = CancellationToken.None;
        return method.Invoke(_store, BindingFlags.DoNotWrapExceptions, null, args, null) switch
        {
            ValueTask<IReadOnlyList<StreamBatch<DeliveredEntry>>> read => WaitForCallerAsync(read, fault, cancellationToken),
            ValueTask<ClaimResult> claim => WaitForCallerAsync(claim, fault, cancellationToken),
            ValueTask<IReadOnlyList<EntryId>> extend => WaitForCallerAsync(extend, fault, cancellationToken),
            _ => throw NotPrepared(method),
        };
    }

    private static async ValueTask<T> WaitForCallerAsync<T>(ValueTask<T> call, Fault fault, CancellationToken cancellationToken)
    {
        var answer = await call;
        await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        return fault == Fault.Late ? answer : throw new OperationCanceledException(cancellationToken);
    }

    private static StreamException Broken() => new(StreamErrorCode.OutcomeUnknown, "The line broke.");

    private static NotSupportedException NotPrepared(MethodInfo method) => new($"Losing the answer of {method.Name} is not prepared.");

    private static async ValueTask<T> LoseAsync<T>(ValueTask<T> call)
    {
        // A line that breaks under a cancelled wait takes the answer to the cancellation along.
        await call.AsTask().ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        throw Broken();
    }
}
