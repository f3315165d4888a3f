using Millrace.Streams;

namespace Millrace.EntityFrameworkCore;

/// <summary>
/// Lets one relay of an outbox work at a time: a state document that the store forgets by itself, or that another relay has seen unchanged for too long
/// (<see cref="ExpiryWatch"/>). It spares the database work done twice; that nothing is published twice does not depend on it: each commit of a relay demands
/// an unchanged memory of its stream (<see cref="RelayMemory"/>).
/// </summary>
internal sealed class RelayLease(IStreamStore store, OutboxOptions options, TimeProvider time)
{
    private readonly CommitChange.PutState _take = ExpiryWatch.Put(
        OutboxNames.Lease(options.Name!), options.Lease, $"{Environment.MachineName}/{Environment.ProcessId}/{Guid.NewGuid():N}");

    // Whether another relay has it.
    private readonly ExpiryWatch _other = new(time);

    // When it was taken or renewed, as far as that is certain, or zero.
    private long _taken;

    // Whether there may be a document of ours: an answer that was lost, or a wait that was cancelled, says nothing.
    private bool _mayBeOurs;

    /// <summary>Takes the lease, or renews it when it is ours. No round trip for the first third of a lease that is held, two otherwise.</summary>
    public async ValueTask<bool> TryTakeAsync(CancellationToken cancellationToken)
    {
        if (_taken != 0 && time.GetElapsedTime(_taken) < options.Lease / 3)
            return true;
        _taken = 0;
        var now = time.GetTimestamp();
        var held = await store.GetStateAsync(_take.Key, cancellationToken).ConfigureAwait(false);
        _mayBeOurs = held is not null && IsOurs(held);
        if (!_mayBeOurs && !_other.IsOver(held))
            return false;
        var commit = new Commit
        {
            Conditions = [held is null ? CommitCondition.StateAbsent(_take.Key) : CommitCondition.StateIs(_take.Key, held.Version)],
            Changes = [_take],
        };
        _mayBeOurs = true;
        if (!(await store.CommitAsync(commit, cancellationToken).ConfigureAwait(false)).IsApplied)
            return false;
        _taken = now;
        return true;
    }

    /// <summary>Gives the lease back, if it is still ours.</summary>
    public async ValueTask ReleaseAsync(CancellationToken cancellationToken)
    {
        if (!_mayBeOurs)
            return;
        _taken = 0;
        if (await store.GetStateAsync(_take.Key, cancellationToken).ConfigureAwait(false) is { } held && IsOurs(held))
        {
            var commit = new Commit { Conditions = [CommitCondition.StateIs(_take.Key, held.Version)], Changes = [new CommitChange.DeleteState(_take.Key)] };
            await store.CommitAsync(commit, cancellationToken).ConfigureAwait(false);
        }

        _mayBeOurs = false;
    }

    private bool IsOurs(StateDocument held) => held.Payload.Span.SequenceEqual(_take.Payload.Span);
}
