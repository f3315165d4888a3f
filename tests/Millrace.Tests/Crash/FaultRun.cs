using System.Globalization;
using Millrace.Tests.Clients;

namespace Millrace.Tests.Crash;

/// <summary>Tests that look at what a server does within a second or two: other tests would take its processors away.</summary>
[CollectionDefinition(nameof(AloneCollection), DisableParallelization = true)]
public sealed class AloneCollection;

/// <summary>What the tests of faults under load share.</summary>
internal static class FaultRun
{
    /// <summary>A fault that never gets its operations, because the server hangs, is a failure after so long.</summary>
    private static readonly TimeSpan Deadline = TimeSpan.FromMinutes(2);

    /// <summary>A number from the environment, or the default.</summary>
    public static int Number(string variable, int otherwise) =>
        Environment.GetEnvironmentVariable(variable) is { } given ? int.Parse(given, CultureInfo.InvariantCulture) : otherwise;

    /// <summary>
    /// Lets the writers work until they have this many acknowledgements between them, brings about the fault, and waits until all have ended.
    /// </summary>
    /// <exception cref="InvalidOperationException">The writers ended by themselves before, or do not get so far.</exception>
    public static async Task UntilAsync(MillraceServer server, IReadOnlyList<ServedWriter> writers, int operations, Func<Task> fault)
    {
        var reached = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var left = operations;
        var work = Task.WhenAll(writers.Select(writer => writer.RunAsync(server.Endpoint, () =>
        {
            if (Interlocked.Decrement(ref left) == 0)
                reached.SetResult();
        })));
        var first = await Task.WhenAny(reached.Task, work).WaitAsync(Deadline);
        if (!reached.Task.IsCompleted)
        {
            await first;
            throw new InvalidOperationException(
                $"The writers ended before the fault: {string.Join("; ", writers.Select(writer => writer.End))}\n{server.Output}");
        }

        await fault();
        await work.WaitAsync(Deadline);
    }
}
