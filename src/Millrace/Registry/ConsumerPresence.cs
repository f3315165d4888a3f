using Microsoft.Extensions.Logging;
using Millrace.Consuming;
using Millrace.Hosting;
using Millrace.Streams;

namespace Millrace.Registry;

/// <summary>
/// Says in the store that the consumers of this process live, and clears away those that do not: a consumer without a document that holds
/// nothing any more is deleted from its group. What it held is claimed by the living first (<see cref="PendingRecovery"/>); that it holds
/// nothing is asked by the very commit that deletes it.
/// </summary>
/// <remarks>Costs one round trip every 10 s, and every 30 s two or three more a group.</remarks>
internal sealed class ConsumerPresence(MillraceCore core, IStreamStore store, IReadOnlyList<ConsumerWorker> workers, ILogger logger)
{
    public static readonly TimeSpan Interval = TimeSpan.FromSeconds(10);

    // The dead are looked for as often as documents expire.
    private const int RoundsPerCleaning = 3;

    // Deleted in one go.
    private const int MaxCleaned = 1_000;

    // What a store may take to note that we are gone, when the process has to end.
    private static readonly TimeSpan LeaveTimeout = TimeSpan.FromSeconds(5);

    private bool _isFailing;    // So that an outage is logged once.

    /// <summary>Writes and clears until cancelled. Never throws.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        if (workers.Count == 0)
            return;
        for (var round = 1; !cancellationToken.IsCancellationRequested; round++)
        {
            try
            {
                await CommitAsync(workers.Select(static worker => worker.Presence.ToCommit()), cancellationToken).ConfigureAwait(false);
                if (round == 1)
                    await JoinAsync(cancellationToken).ConfigureAwait(false);
                if (round % RoundsPerCleaning == 2)
                    await CleanAsync(cancellationToken).ConfigureAwait(false);
                _isFailing = false;
            }
            catch (Exception exception)
            {
                core.Refusals.Note(exception);
                if (!_isFailing && !cancellationToken.IsCancellationRequested)
                    LogMessages.PresenceFailed(logger, exception);
                _isFailing = true;
            }

            await Task.Delay(Interval, core.Time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>
    /// Takes the documents away, and the consumers that hold nothing, when all is drained. After <see cref="RunAsync"/>. Never throws.
    /// </summary>
    /// <param name="cancellationToken">There is no time left for it.</param>
    public async Task LeaveAsync(CancellationToken cancellationToken)
    {
        if (workers.Count == 0 || cancellationToken.IsCancellationRequested)
            return;
        using var timeout = new CancellationTokenSource(LeaveTimeout, core.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeout.Token, cancellationToken);
        try
        {
            await CommitAsync(workers.Select(static worker => worker.Plan).Select(plan => new Commit
            {
                Changes =
                [
                    new CommitChange.DeleteState(plan.Presence),
                    new CommitChange.DeleteConsumer(plan.Stream, plan.Group, plan.Consumer),
                    new CommitChange.DeleteConsumer(plan.Again, plan.Group, plan.Consumer),
                ],
            }), either.Token).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            // The documents expire by themselves, and the consumers are cleared away by others.
            LogMessages.PresenceFailed(logger, exception);
        }
    }

    /// <summary>Who stands by reads nothing, and is in its group all the same.</summary>
    private async Task JoinAsync(CancellationToken cancellationToken)
    {
        foreach (var worker in workers)
            await worker.Presence.JoinAsync(cancellationToken).ConfigureAwait(false);
    }

    private async Task CleanAsync(CancellationToken cancellationToken)
    {
        foreach (var worker in workers)
        {
            var plan = worker.Plan;
            var main = await ConsumerRegistry.FindConsumersAsync(store, plan.Stream, plan.Group, cancellationToken).ConfigureAwait(false);
            var again = await ConsumerRegistry.FindConsumersAsync(store, plan.Again, plan.Group, cancellationToken).ConfigureAwait(false);
            if (main.All(consumer => consumer.Name != plan.Consumer))
                await worker.Presence.JoinAsync(cancellationToken).ConfigureAwait(false);

            // Those that hold nothing in one of the two streams at least; what is left after a disaster waits for the next round.
            List<string> idle = [.. main.Concat(again)
                .Where(consumer => consumer.PendingCount == 0 && consumer.Name != plan.Consumer)
                .Select(static consumer => consumer.Name).Distinct().Take(MaxCleaned)];
            if (idle.Count == 0)
                continue;
            var documents = await store.GetStatesAsync([.. idle.Select(plan.PresenceOf)], cancellationToken).ConfigureAwait(false);
            var dead = idle.Where((_, i) => documents[i] is null).ToList();
            await CommitAsync(dead.Select(name => new Commit
            {
                Conditions = [CommitCondition.StateAbsent(plan.PresenceOf(name))],
                Changes =
                [
                    new CommitChange.DeleteConsumer(plan.Stream, plan.Group, name),
                    new CommitChange.DeleteConsumer(plan.Again, plan.Group, name),
                ],
            }), cancellationToken).ConfigureAwait(false);
            foreach (var name in dead)
                LogMessages.DeadConsumerDeleted(logger, plan.Stream, plan.Group, name);
        }
    }

    /// <exception cref="StreamException">The store could not be asked, or refused one.</exception>
    private async Task CommitAsync(IEnumerable<Commit> commits, CancellationToken cancellationToken)
    {
        foreach (var batch in commits.Chunk(1_000))
        {
            var results = await store.CommitAsync(batch, cancellationToken).ConfigureAwait(false);
            if (results.FirstOrDefault(static result => result.Failure is not null)?.Failure is { } refusal)
                throw refusal;
        }
    }
}
