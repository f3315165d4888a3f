using System.Security.Cryptography;
using System.Text;
using Microsoft.Extensions.Logging;
using Millrace.Hosting;
using Millrace.Recovery;
using Millrace.Streams;

namespace Millrace.Consuming.Ordered;

/// <summary>
/// The right to read an ordered group, which one process has at a time. The others stand by: at once when it is given up, and otherwise when
/// its documents have not changed for a whole lease by the watch of the one who looks; clocks of machines are never compared.
/// </summary>
internal sealed class ReaderLease(IStreamStore store, GroupPlan plan, OrderNames names, TimeProvider time, ILogger logger)
{
    private readonly LogLimit _failures = new(time);

    // What this process wrote when it last took the lease: its name, and a number nobody else has.
    private byte[]? _mine;

    // What it wrote when it last tried to: the answer may have been lost.
    private byte[]? _tried;

    // The last moment at which it certainly began anew: taken or renewed.
    private long _renewedAt;

    // The versions of both documents as last seen, and since when they are the same.
    private (long? Reader, long? Pulse) _seen;
    private long _seenSince;

    /// <summary>Whether the lease was not renewed for its whole length: another process may read by now.</summary>
    public bool IsOver => Left <= TimeSpan.Zero;

    private TimeSpan Left => plan.Options.Lease - time.GetElapsedTime(Volatile.Read(ref _renewedAt));

    /// <summary>Waits until the lease is this process's.</summary>
    /// <param name="standingBy">Called whenever another process has it, with the note of where the group stands.</param>
    /// <param name="cancellationToken">Ends the wait.</param>
    /// <returns>The fence: a condition that holds for as long as nobody else takes the lease, or this process anew.</returns>
    public async Task<CommitCondition.State> AcquireAsync(Action<StateDocument?> standingBy, CancellationToken cancellationToken)
    {
        var mine = Encoding.UTF8.GetBytes($"{plan.Consumer}\n{RandomNumberGenerator.GetHexString(32, lowercase: true)}");
        while (true)
        {
            // Before the documents, so that a note about what happens after they were read ends the wait.
            var last = (await store.GetStreamInfoAsync(names.Log, cancellationToken).ConfigureAwait(false))?.LastGeneratedId ?? EntryId.Zero;
            StateKey[] keys = [names.Reader, names.Pulse, RecoveryLedger.KeyOf(plan.Stream, plan.Group)];
            var documents = await store.GetStatesAsync(keys, cancellationToken).ConfigureAwait(false);
            if (documents[0] is { } ours && ours.Payload.Span.SequenceEqual(mine))
            {
                _mine = mine;
                return (CommitCondition.State)CommitCondition.StateIs(names.Reader, ours.Version);
            }

            if (IsFree(documents[0], documents[1]))
            {
                _tried = mine;
                Volatile.Write(ref _renewedAt, time.GetTimestamp());
                await store.CommitAsync(Take(documents[0], documents[1], mine), cancellationToken).ConfigureAwait(false);
                continue; // The documents say who was first.
            }

            standingBy(documents[2]);
            await store.ReadAsync([new(names.Log, last)], 1, plan.Options.Lease / 3, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Renews the lease each third of it. Ends when it is lost, or may be: no renewal has succeeded for a whole lease.</summary>
    public async Task KeepAsync(CommitCondition fence, CancellationToken cancellationToken)
    {
        using var timer = new PeriodicTimer(plan.Options.Lease / 3, time);
        while (true)
        {
            var left = Left;
            if (left <= TimeSpan.Zero)
                return;
            using var deadline = new CancellationTokenSource(left, time);
            using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
            try
            {
                await timer.WaitForNextTickAsync(either.Token).ConfigureAwait(false);
                var now = time.GetTimestamp();
                var renewal = new Commit { Conditions = [fence], Changes = [new CommitChange.PutState(names.Pulse, _mine)], IsUpkeep = true };
                if (!(await store.CommitAsync(renewal, either.Token).ConfigureAwait(false)).IsApplied)
                    return;
                Volatile.Write(ref _renewedAt, now);
            }
            catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
            {
                if (_failures.Allows())
                    LogMessages.ReaderRenewalFailed(logger, exception, plan.Stream, plan.Group);
            }
        }
    }

    /// <summary>Gives the lease up, for the next process to take at once.</summary>
    public async Task ReleaseAsync(CommitCondition fence, CancellationToken cancellationToken)
    {
        await store.CommitAsync(
            new Commit
            {
                Conditions = [fence],
                Changes =
                [
                    new CommitChange.DeleteState(names.Reader),
                    new CommitChange.DeleteState(names.Pulse),
                    new CommitChange.Append(names.Log, OrderNote.Left(plan.Consumer)),
                ],
                IsUpkeep = true,
            },
            cancellationToken).ConfigureAwait(false);
        LogMessages.ReaderLeft(logger, plan.Stream, plan.Group);
    }

    /// <summary>
    /// Nobody has it; or this process had it last, which no other uses the name of; or who has it gave no sign of life for a lease. The name
    /// counts at the first take only: two processes of one name, a mistake, would take it from each other for ever.
    /// </summary>
    private bool IsFree(StateDocument? reader, StateDocument? pulse)
    {
        if (reader is null || IsOurs(reader.Payload.Span))
            return true;
        if (_seen != (reader.Version, pulse?.Version))
            (_seen, _seenSince) = ((reader.Version, pulse?.Version), time.GetTimestamp());
        return time.GetElapsedTime(_seenSince) >= plan.Options.Lease;
    }

    private bool IsOurs(ReadOnlySpan<byte> payload) => _mine is { } mine
        ? payload.SequenceEqual(mine) || payload.SequenceEqual(_tried)
        : payload.StartsWith(Encoding.UTF8.GetBytes($"{plan.Consumer}\n"));

    private Commit Take(StateDocument? reader, StateDocument? pulse, byte[] mine) => new()
    {
        Conditions = [Unchanged(names.Reader, reader), Unchanged(names.Pulse, pulse)],
        Changes = [new CommitChange.PutState(names.Reader, mine), new CommitChange.PutState(names.Pulse, mine)],
        IsUpkeep = true,
    };

    private static CommitCondition Unchanged(StateKey key, StateDocument? document) =>
        document is null ? CommitCondition.StateAbsent(key) : CommitCondition.StateIs(key, document.Version);
}
