using Microsoft.Extensions.Logging;
using Millrace.Hosting;
using Millrace.Registry;
using Millrace.Streams;

namespace Millrace.Recovery;

/// <summary>
/// Makes a group, and makes it again where it belongs when the store has forgotten it: behind what it had settled, or at the beginning when
/// the stream was forgotten, too; never at the end, which would skip entries without a word. For that it notes where the group stands, in a
/// state document and in memory, which is what remains when everything was flushed. What it notes also shows entries that vanished.
/// </summary>
/// <remarks>Costs seven reads and a commit, once a second while the group moves; nothing while it does not.</remarks>
internal sealed class RecoveryLedger(MillraceCore core, IStreamStore store, GroupPlan plan, OwnPresence presence, ILogger logger)
{
    // So much may be handled again after a loss.
    private static readonly TimeSpan MinInterval = TimeSpan.FromSeconds(1);

    // Each means that another process has noted something in this very moment.
    private const int MaxConflicts = 10;

    private readonly StateKey _key = KeyOf(plan.Stream, plan.Group);
    private readonly SemaphoreSlim _checking = new(1);
    private readonly SemaphoreSlim _wake = new(0);

    private GroupLedger? _known;

    // The group was gone: what was known and noted then, until that is told, here or by another. What others note since is of the group made again.
    private (GroupLedger Known, GroupLedger? Noted)? _gone;

    // A loss that was found, until it is told, here or by another: the note of it may be written after it was asked for.
    private StreamLossEventArgs? _untold;
    private int _hasMoved;
    private bool _isFailing;    // So that an outage is logged once.

    /// <summary>The document of a group.</summary>
    public static StateKey KeyOf(string stream, string group) => new(stream, $"millrace/ledger/{group}");

    /// <summary>Something was delivered to this process, or settled by it.</summary>
    public void Moved()
    {
        if (Volatile.Read(ref _hasMoved) == 0 && Interlocked.Exchange(ref _hasMoved, 1) == 0)
            _wake.Release();
    }

    /// <summary>Notes where the group stands whenever it has moved, until cancelled. Never throws.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        while (!cancellationToken.IsCancellationRequested)
        {
            try
            {
                await _wake.WaitAsync(cancellationToken).ConfigureAwait(false);
                Volatile.Write(ref _hasMoved, 0);
                await CheckAsync(makeGroup: false, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception exception)
            {
                if (!cancellationToken.IsCancellationRequested)
                    Fail(exception);
            }

            await Task.Delay(MinInterval, core.Time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>
    /// Makes the group on the stream and on its private one where it is missing, tells what else is, and appears in the group: from here on it is not deleted
    /// as one that nobody reads.
    /// </summary>
    public async Task EnsureGroupsAsync(CancellationToken cancellationToken)
    {
        await store.CreateGroupAsync(plan.Again, plan.Group, GroupStart.Beginning, cancellationToken).ConfigureAwait(false);
        await CheckAsync(makeGroup: true, cancellationToken).ConfigureAwait(false);
        await presence.AppearAsync(cancellationToken).ConfigureAwait(false);
    }

    /// <summary>
    /// What others noted: a process that stands by sees nothing itself, and may be the only one left to tell. Where the store has forgotten what this
    /// process knows, it looks for itself: whoever reads may be new, and know of nothing that is missing.
    /// </summary>
    public void Remember(StateDocument? document)
    {
        // Whoever holds it is about to read a newer one.
        if (!_checking.Wait(0, CancellationToken.None))
            return;
        try
        {
            var noted = GroupLedger.Read(document);
            if (Learn(noted) != noted || _gone is not null)
                Moved();
        }
        finally
        {
            _checking.Release();
        }
    }

    private async Task CheckAsync(bool makeGroup, CancellationToken cancellationToken)
    {
        await _checking.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            for (var conflicts = 0; conflicts < MaxConflicts;)
            {
                var document = await store.GetStateAsync(_key, cancellationToken).ConfigureAwait(false);
                var noted = GroupLedger.Read(document);
                var known = Learn(noted);

                // If others have told more since, it was of this. And a note that is not the same any more may have been forgotten with the group.
                if (_gone is { } gone && (gone.Known.Losses != known?.Losses || gone.Noted != noted))
                    _gone = gone.Known.Losses == known?.Losses ? (gone.Known, null) : null;

                if (await LookAsync(cancellationToken).ConfigureAwait(false) is { } now)
                {
                    if (await TryNoteAsync(document, known, now, cancellationToken).ConfigureAwait(false))
                        return;
                    conflicts++;
                    continue;
                }

                if (known is not null)
                    _gone ??= (known, noted);
                if (!makeGroup)
                    return; // The reader finds out, too, and makes it again.
                await MakeGroupAsync(known, cancellationToken).ConfigureAwait(false);
            }
        }
        finally
        {
            _checking.Release();
        }
    }

    /// <summary>
    /// What is known with what is noted, and from here on, whatever becomes of the note: of an earlier life of the store, and of what it had then, only
    /// this process may know.
    /// </summary>
    private GroupLedger? Learn(GroupLedger? noted)
    {
        var known = noted is null || _known?.IsAhead(noted) == true ? _known : noted;
        TellUntold(known);
        return _known = known;
    }

    /// <summary>How the group stands, or <see langword="null"/>: it is gone.</summary>
    private async Task<GroupLedger?> LookAsync(CancellationToken cancellationToken)
    {
        // In this order: what is delivered or settled in between makes us place the group too far back, never too far ahead, and what is counted of it
        // afterwards is all behind that place.
        if (await FindGroupAsync(cancellationToken).ConfigureAwait(false) is not { LastDeliveredId: var delivered })
            return null;
        var pending = await store.PendingSummaryAsync(plan.Stream, plan.Group, cancellationToken).ConfigureAwait(false);
        if (await FindGroupAsync(cancellationToken).ConfigureAwait(false) is not { } group)
            return null;
        var scheduled = await store.GetScheduleAsync(plan.Again, cancellationToken).ConfigureAwait(false);
        var again = await store.GetStreamInfoAsync(plan.Again, cancellationToken).ConfigureAwait(false);
        if (await store.GetStreamInfoAsync(plan.Stream, cancellationToken).ConfigureAwait(false) is not { } stream)
            return null;

        return new()
        {
            SettledThrough = pending.MinId is { } first && first <= delivered ? first.Previous() : delivered,
            LastDelivered = group.LastDeliveredId,
            StreamLastId = stream.LastGeneratedId,
            EntriesAdded = stream.EntriesAdded,
            Unsettled = LagAt(group, stream) + group.PendingCount, // Both as of one reply: what is delivered meanwhile is not counted twice.
            Retries = scheduled.Count + (again?.Length ?? 0),
            AgainLastId = again?.LastGeneratedId ?? EntryId.Zero,
        };
    }

    private async Task<GroupInfo?> FindGroupAsync(CancellationToken cancellationToken)
    {
        var groups = await store.GetGroupsAsync(plan.Stream, cancellationToken).ConfigureAwait(false);
        return groups.FirstOrDefault(group => group.Name == plan.Group);
    }

    /// <summary>
    /// Entries not delivered to the group, of those that were in the stream when that was looked at, which is later: the last ID noted is of then.
    /// The rules are those of the engine (<see cref="GroupInfo.Lag"/>); unknown is what was appended behind a cursor of which the store knows no position.
    /// </summary>
    private static long? LagAt(GroupInfo group, StreamInfo stream)
    {
        var cursor = group.LastDeliveredId;
        if (stream.FirstEntry is not { Id: var first } || cursor >= stream.LastGeneratedId)
            return 0;
        if (cursor <= first && stream.MaxDeletedId < first)
            return cursor == first ? stream.Length - 1 : stream.Length;

        var hasHoleAhead = stream.MaxDeletedId != EntryId.Zero && cursor <= stream.MaxDeletedId;
        return group.Lag is not null && !hasHoleAhead ? stream.EntriesAdded - group.EntriesRead : null;
    }

    private async Task MakeGroupAsync(GroupLedger? known, CancellationToken cancellationToken)
    {
        var start = plan.Options.Start;
        if (known is not null)
        {
            // In a stream that is another one, or was set back, an entry of any ID may be new.
            var stream = await store.GetStreamInfoAsync(plan.Stream, cancellationToken).ConfigureAwait(false);
            start = stream is not null && known.CanBecome(stream.LastGeneratedId, stream.EntriesAdded)
                ? GroupStart.After(known.SettledThrough)
                : GroupStart.Beginning;
        }

        var isMade = await store.CreateGroupAsync(plan.Stream, plan.Group, start, cancellationToken).ConfigureAwait(false);
        if (isMade && known is not null)
            LogMessages.GroupRecreated(logger, plan.Stream, plan.Group, $"after {start.LastDelivered}");
    }

    /// <summary>Notes how the group stands, if nobody else has meanwhile, and tells what was lost since it was noted last.</summary>
    private async Task<bool> TryNoteAsync(StateDocument? document, GroupLedger? known, GroupLedger now, CancellationToken cancellationToken)
    {
        var noted = GroupLedger.Read(document);
        var loss = known is null ? null : _gone is { } gone
            ? await FindLossAsync(gone.Known, gone.Noted, now, isMadeAgain: true, cancellationToken).ConfigureAwait(false)
            : await FindLossAsync(known, noted, now, isMadeAgain: false, cancellationToken).ConfigureAwait(false);
        loss ??= _untold; // The stream may have grown as long again meanwhile.
        now = now with
        {
            Lives = known?.JoinLives(noted) is { Count: > 0 } lives ? lives : [Guid.NewGuid().ToString("N")[..8]],
            Losses = Math.Max(known?.Losses ?? 0, noted?.Losses ?? 0) + (loss is null ? 0 : 1),
            ToldBy = loss is null ? known?.ToldBy : plan.Consumer,
        };
        if (now != noted)
        {
            var commit = new Commit
            {
                Conditions = [document is null ? CommitCondition.StateAbsent(_key) : CommitCondition.StateIs(_key, document.Version)],
                Changes = [new CommitChange.PutState(_key, now.Write())],
                IsUpkeep = true,
            };
            _untold = loss;
            var result = (await store.CommitAsync([commit], cancellationToken).ConfigureAwait(false))[0];
            if (result.Conflict is not null)
                return false;

            // That it cannot be noted is no reason not to consume.
            if (result.Failure is { } refusal)
            {
                Fail(refusal);
                now = now with { Lives = noted?.Lives ?? [] }; // Nobody has seen a mark that was not written.
            }
            else
            {
                _isFailing = false;
            }
        }

        (_known, _gone, _untold) = (now, null, null);
        if (loss is not null)
            Report(loss);
        return true;
    }

    /// <summary>The commit of a note had no answer, or was not waited for, and was applied all the same: nobody else tells of it.</summary>
    private void TellUntold(GroupLedger? known)
    {
        if (_untold is not { } loss || known is null || known.Losses <= (_known?.Losses ?? 0))
            return;
        _untold = null;
        if (known.ToldBy == plan.Consumer)
            Report(loss);
    }

    private async Task<StreamLossEventArgs?> FindLossAsync(
        GroupLedger known, GroupLedger? noted, GroupLedger now, bool isMadeAgain, CancellationToken cancellationToken)
    {
        // In another life of the store, counts that are as high again say nothing. So it is where note and group are both gone.
        var isOfOneLife = noted?.IsOfOneLife(known) ?? !isMadeAgain;
        var canBecome = known.CanBecome(now.StreamLastId, now.EntriesAdded);
        IReadOnlyList<StreamEntry> left = [];
        if (!canBecome || (!isOfOneLife && known.EntriesAdded > 0))
        {
            // A stream that was set back still has its older entries; one that can be what it was and has them lost nothing.
            left = await store.RangeAsync(plan.Stream, new() { End = known.StreamLastId, Count = 1, IsReversed = true }, cancellationToken)
                .ConfigureAwait(false);
            isOfOneLife |= canBecome && left.Count > 0;
        }

        var retries = !isOfOneLife || now.AgainLastId < known.AgainLastId ? known.Retries : 0;
        if (canBecome && (isOfOneLife || known.EntriesAdded == 0))
            return isMadeAgain || retries > 0
                ? Loss(retries > 0 ? StreamLossKind.EntriesVanished : StreamLossKind.GroupVanished, known.StreamLastId, 0)
                : null;
        return left is [var newest] && newest.Id > known.SettledThrough
            ? Loss(StreamLossKind.EntriesVanished, newest.Id, null)
            : Loss(StreamLossKind.EntriesVanished, known.SettledThrough, known.Unsettled);

        StreamLossEventArgs Loss(StreamLossKind kind, EntryId missingAfter, long? count) => new()
        {
            Kind = kind,
            Stream = plan.Stream,
            Group = plan.Group,
            MissingAfter = missingAfter,
            MissingThrough = missingAfter > known.StreamLastId ? missingAfter : known.StreamLastId,
            MissingCount = count,
            MissingRetries = retries,
        };
    }

    private void Fail(Exception exception)
    {
        core.Refusals.Note(exception);
        if (!_isFailing)
            LogMessages.LedgerFailed(logger, exception, plan.Stream, plan.Group);
        _isFailing = true;
    }

    private void Report(StreamLossEventArgs loss)
    {
        if (loss.Kind == StreamLossKind.EntriesVanished)
            LogMessages.EntriesVanished(
                logger, plan.Stream, plan.Group, loss.MissingAfter, loss.MissingThrough, loss.MissingCount, loss.MissingRetries);
        core.Report(loss, plan, logger);
    }
}
