using System.Reflection;
using Millrace.Streams;

namespace Millrace.Tests.Fixtures;

/// <summary>
/// A real store on a bad line: a test decides, call by call, what goes wrong before the call arrives or after it was applied.
/// </summary>
public class FaultyStore : DispatchProxy
{
    private IStreamStore _store = null!;
    private Func<string, Fault> _faults = null!;

    public enum Fault
    {
        None,

        /// <summary>The call never arrives.</summary>
        Before,

        /// <summary>The call is applied and its answer is lost.</summary>
        After,
    }

    /// <param name="store">The store behind the line.</param>
    /// <param name="faults">Told the name of each member called; says what happens to the call.</param>
    public static IStreamStore Wrap(IStreamStore store, Func<string, Fault> faults)
    {
        var proxy = Create<IStreamStore, FaultyStore>();
        ((FaultyStore)(object)proxy)._store = store;
        ((FaultyStore)(object)proxy)._faults = faults;
        return proxy;
    }

    protected override object? Invoke(MethodInfo? targetMethod, object?[]? args)
    {
        var fault = _faults(targetMethod!.Name);
        if (fault == Fault.Before)
            throw new StreamException(StreamErrorCode.Unavailable, "The line is dead.");
        var result = targetMethod.Invoke(_store, BindingFlags.DoNotWrapExceptions, null, args, null);
        return fault == Fault.None ? result : result switch
        {
            ValueTask<IReadOnlyList<CommitResult>> commit => LoseAsync(commit),
            ValueTask<long> count => LoseAsync(count),
            ValueTask<IReadOnlyList<StreamBatch<DeliveredEntry>>> read => LoseAsync(read),
            _ => throw new NotSupportedException($"Losing the answer of {targetMethod.Name} is not prepared."),
        };
    }

    private static async ValueTask<T> LoseAsync<T>(ValueTask<T> call)
    {
        // A line that breaks under a cancelled wait takes the answer to the cancellation along.
        await call.AsTask().ContinueWith(_ => { }, CancellationToken.None, TaskContinuationOptions.ExecuteSynchronously, TaskScheduler.Default);
        throw new StreamException(StreamErrorCode.OutcomeUnknown, "The line broke.");
    }
}
