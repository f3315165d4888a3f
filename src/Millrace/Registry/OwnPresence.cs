using System.Reflection;
using Millrace.Hosting;
using Millrace.Streams;

namespace Millrace.Registry;

/// <summary>
/// How one consumer of this process makes itself known: its document says that it lives, its name is in the group. The document always first, so that
/// whoever finds the name, such as retention before it deletes a group, finds it alive.
/// </summary>
internal sealed class OwnPresence(MillraceCore core, IStreamStore store, GroupPlan plan, Func<(int Held, int Running)> load)
{
    // Two of the writes that ConsumerPresence makes may fail before a living consumer passes for dead.
    private static readonly TimeSpan TimeToLive = 3 * ConsumerPresence.Interval;

    // An embedded store without memory may let whoever adds to it wait for ever, and a consumer has to go on.
    private static readonly TimeSpan JoinTimeout = TimeSpan.FromSeconds(1);

    private static readonly string? Version = Assembly.GetEntryAssembly()?
        .GetCustomAttribute<AssemblyInformationalVersionAttribute>()?.InformationalVersion;

    private readonly DateTimeOffset _startedAt = core.Time.GetUtcNow();

    /// <summary>What writes the document.</summary>
    public Commit ToCommit() => new()
    {
        Changes = [new CommitChange.PutState(plan.Presence, ConsumerRegistry.Write(Describe()), TimeToLive)],
        IsUpkeep = true,
    };

    /// <summary>Writes the document and joins the group. Two round trips.</summary>
    /// <exception cref="StreamException">The store could not be asked.</exception>
    public async Task AppearAsync(CancellationToken cancellationToken)
    {
        // That the store refuses it is no reason not to consume; ConsumerPresence meets the same, and tells of it.
        if ((await store.CommitAsync([ToCommit()], cancellationToken).ConfigureAwait(false))[0].Failure is null)
            await JoinAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// Takes its place in the group, when the document is written: a read that waits makes no consumer on Redis 7.0. One round trip.
    /// </summary>
    /// <exception cref="StreamException">The store could not be asked.</exception>
    public async Task JoinAsync(CancellationToken cancellationToken)
    {
        using var timeout = new CancellationTokenSource(JoinTimeout, core.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            await store.CreateConsumerAsync(plan.Stream, plan.Group, plan.Consumer, either.Token).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (timeout.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            // As below, of a store that is full; one that is slow is asked again when the dead are cleared away.
        }
        catch (StreamException exception) when (exception.Code is StreamErrorCode.NoGroup or StreamErrorCode.OutOfMemory)
        {
            // The worker has yet to make its group, or to make it again. On a store that is full it appears with its first entry.
        }
    }

    private ConsumerInstance Describe()
    {
        var (held, running) = load();
        return new()
        {
            Name = plan.Consumer,
            Host = Environment.MachineName,
            ProcessId = Environment.ProcessId,
            Version = Version,
            StartedAt = _startedAt,
            SeenAt = core.Time.GetUtcNow(),
            Held = held,
            Running = running,
            Concurrency = plan.Options.Concurrency,
        };
    }
}
