using System.Security.Cryptography;
using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.Projections;

/// <summary>
/// The right to run a projection, which one process has at a time: its name is in the head, and a second document, the pulse, is over unless it is renewed
/// (<see cref="ExpiryWatch"/>). That only says when another may begin; what keeps the two apart is that each commit demands an unchanged head.
/// </summary>
internal sealed class ProjectionLease(
    IStreamStore store, ProjectionNames names, ProjectionPlan plan, ProjectionOptions options, TimeProvider time, ILogger logger)
{
    // Who stands by looks at least as often, whatever lease another process has.
    private static readonly TimeSpan LongestLook = TimeSpan.FromSeconds(5);

    private readonly LogLimit _failures = new(time);
    private readonly ExpiryWatch _pulse = new(time);

    /// <summary>What this process writes when it takes the lease: nobody else has it. The same each time, so that a lost answer is known again.</summary>
    public string Owner { get; } =
        $"{Environment.MachineName}-{Environment.ProcessId} {RandomNumberGenerator.GetHexString(16, lowercase: true)}";

    /// <summary>
    /// Waits until the lease is this process's: another one gave it up or gave no sign of life, and nobody has begun with a newer version. Whoever
    /// takes it tries again what had stopped, and begins a rebuild if its own version is newer.
    /// </summary>
    /// <param name="standingBy">Called whenever another process has it, with its name.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    public async Task AcquireAsync(Action<string?> standingBy, CancellationToken cancellationToken)
    {
        var look = options.Lease / 3 < LongestLook ? options.Lease / 3 : LongestLook;
        while (true)
        {
            // Before the documents, so that a note about what happens after they were read ends the wait.
            var last = (await store.GetStreamInfoAsync(names.Notes, cancellationToken).ConfigureAwait(false))?.LastGeneratedId ?? EntryId.Zero;
            var documents = await store.GetStatesAsync([names.Head, names.Pulse], cancellationToken).ConfigureAwait(false);
            var known = ProjectionPlan.Parse(documents[0]);
            var isFree = _pulse.IsOver(documents[1]);
            if (known?.Head.Owner == Owner && documents[1] is not null)
                return;
            if (isFree && (known is null || known.Value.Head.Version <= options.Version))
            {
                await TakeAsync(known, documents[1], cancellationToken).ConfigureAwait(false);
                continue; // The documents say who was first.
            }

            standingBy(known?.Head.Owner);
            await store.ReadAsync([new(names.Notes, last)], 1, look, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Renews the lease each third of it. Ends when it is lost, or may be: no renewal has succeeded for a whole lease.</summary>
    public async Task KeepAsync(CancellationToken cancellationToken)
    {
        var renewedAt = time.GetTimestamp();
        using var timer = new PeriodicTimer(options.Lease / 3, time);
        while (time.GetElapsedTime(renewedAt) is var silent && silent < options.Lease)
        {
            using var deadline = new CancellationTokenSource(options.Lease - silent, time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
            try
            {
                await timer.WaitForNextTickAsync(either.Token).ConfigureAwait(false);
                var now = time.GetTimestamp();
                if (!await RenewAsync(either.Token).ConfigureAwait(false))
                    return;
                renewedAt = now;
            }
            catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
            {
                if (_failures.Allows())
                    LogMessages.ProjectionRenewalFailed(logger, exception, names.Projection);
            }
        }
    }

    /// <summary>Gives the lease up, for the next process to take at once. Nothing happens when it is another's already.</summary>
    public async Task ReleaseAsync(CancellationToken cancellationToken)
    {
        if (await plan.ReadAsync(cancellationToken).ConfigureAwait(false) is not { } known || known.Head.Owner != Owner)
            return;
        var release = new Commit
        {
            Conditions = [plan.Unchanged(known.Version)],
            Changes = [plan.Put(known.Head with { Owner = null }), new CommitChange.DeleteState(names.Pulse), plan.Tell("left")],
            IsUpkeep = true,
        };
        await store.CommitAsync(release, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask TakeAsync((ProjectionHead Head, long Version)? known, StateDocument? pulse, CancellationToken cancellationToken)
    {
        var head = known?.Head ?? ProjectionHead.First(options.Version);
        if (head.Version < options.Version)
            head = head.Rebuild(options.Version);
        var take = new Commit
        {
            Conditions =
            [
                plan.Unchanged(known?.Version),
                pulse is null ? CommitCondition.StateAbsent(names.Pulse) : CommitCondition.StateIs(names.Pulse, pulse.Version),
            ],
            Changes = [plan.Put(head.WithoutFailures() with { Owner = Owner }), Pulse(), plan.Tell($"taken by {Owner}")],
            IsUpkeep = true,
        };
        await store.CommitAsync(take, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Whether the lease is still ours, and renewed. Again, when somebody changes the head meanwhile.</summary>
    private async ValueTask<bool> RenewAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            if (await plan.ReadAsync(cancellationToken).ConfigureAwait(false) is not { } known || known.Head.Owner != Owner)
                return false;
            var renewal = new Commit { Conditions = [plan.Unchanged(known.Version)], Changes = [Pulse()], IsUpkeep = true };
            if ((await store.CommitAsync(renewal, cancellationToken).ConfigureAwait(false)).IsApplied)
                return true;
        }
    }

    private CommitChange Pulse() => ExpiryWatch.Put(names.Pulse, options.Lease, Owner);
}
