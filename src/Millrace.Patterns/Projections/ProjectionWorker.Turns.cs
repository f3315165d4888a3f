using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.Projections;

internal sealed partial class ProjectionWorker
{
    private const int BuildingSteps = 4;

    private ProjectionHead _head = null!;
    private long _headVersion;
    private EntryId _lastNote;
    private Cursor _live = null!;

    // As last known; read anew when it has its turn, as a target that fails there must not stop the live generation.
    private Cursor? _building;
    private bool _isBuildingRead;

    /// <summary>Reads the plan and the checkpoints.</summary>
    /// <returns>Whether the lease is still this process's.</returns>
    private async ValueTask<bool> RefreshAsync(CancellationToken cancellationToken)
    {
        // Before the head, so that no note about a later change is missed.
        var info = await _store.GetStreamInfoAsync(_definition.Names.Notes, cancellationToken).ConfigureAwait(false);
        _lastNote = info?.LastGeneratedId ?? EntryId.Zero;
        if (info?.Length > 2 * NotesKept)
            await _store.TrimAsync(_definition.Names.Notes, StreamTrim.ToLength(NotesKept), cancellationToken).ConfigureAwait(false);
        if (await _plan.ReadAsync(cancellationToken).ConfigureAwait(false) is not { } known || known.Head.Owner != _lease.Owner)
            return false;
        (_head, _headVersion) = known;
        _live = await LoadAsync(_head.Live, _folding, _live, _building, cancellationToken).ConfigureAwait(false);
        _isBuildingRead = false;
        _status.Change(Describe);
        return true;
    }

    private async ValueTask<Cursor> LoadAsync(
        Generation generation, ProjectionChore chore, Cursor? first, Cursor? second, CancellationToken cancellationToken)
    {
        var saved = await _target.LoadAsync(generation.Number, cancellationToken).ConfigureAwait(false);
        var earlier = first?.Generation.Number == generation.Number ? first : second?.Generation.Number == generation.Number ? second : null;
        var isSame = earlier?.Saved.Position == saved.Position;

        // The batch whose answer was lost was saved: that is progress, and the next failure is a first one.
        if (earlier?.Saved.Position < saved.Position)
            chore.Succeed();
        return new(generation, saved) { Entries = isSame ? earlier!.Entries : saved.Entries, Poison = earlier?.Poison };
    }

    private ProjectionReport Describe(ProjectionReport report) => report with
    {
        State = _head.IsPaused ? ProjectionState.Paused
            : _head.Live.Failure is not null ? ProjectionState.Stopped
            : _folding.Failure is not null ? ProjectionState.Failing
            : report.State == ProjectionState.Live ? ProjectionState.Live : ProjectionState.CatchingUp,
        Detail = _head.Live.Failure ?? _folding.Failure,
        Generation = _live.Generation.Number,
        Checkpoint = _live.Saved,
        BuildingGeneration = _head.Building?.Number,
        BuildingCheckpoint = _building is { } known && known.Generation.Number == _head.Building?.Number ? known.Saved : default,
        BuildingFailure = _head.Building is { } building ? building.Failure ?? _rebuilding.Failure : null,
    };

    /// <summary>One part of all that is to be done, or a wait for something to do.</summary>
    private async ValueTask<Turn> TakeTurnAsync(CancellationToken cancellationToken)
    {
        var turn = _folding.Left > TimeSpan.Zero
            ? await StandAsync(_live, cancellationToken).ConfigureAwait(false)
            : await TryAsync(_folding, Turn.Idle, token => StepAsync(_live, token), cancellationToken).ConfigureAwait(false);
        turn = await TryAsync(_rebuilding, turn, BuildAsync, cancellationToken).ConfigureAwait(false);
        turn = await TryAsync(_removing, turn, RemoveAsync, cancellationToken).ConfigureAwait(false);
        return turn == Turn.Idle ? await WaitAsync(cancellationToken).ConfigureAwait(false) : turn;
    }

    /// <summary>Does one thing, unless it failed and is not to be tried yet.</summary>
    /// <returns>What the turn has come to with it; <see cref="Turn.Stale"/> when it failed, or does so no longer.</returns>
    private async ValueTask<Turn> TryAsync(
        ProjectionChore chore, Turn before, Func<CancellationToken, ValueTask<Turn>> work, CancellationToken cancellationToken)
    {
        if (before == Turn.Stale || chore.Left > TimeSpan.Zero)
            return before;
        try
        {
            var turn = await work(cancellationToken).ConfigureAwait(false);
            return chore.Succeed() ? Turn.Stale : turn > before ? turn : before;
        }
        catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
        {
            if (chore.Fail(exception))
                LogMessages.ProjectionFailing(_logger, exception, _definition.Name, _definition.Source);
            return Turn.Stale;
        }
    }

    private async ValueTask<Turn> BuildAsync(CancellationToken cancellationToken)
    {
        if (_head.Building is not { } generation)
            return Turn.Idle;
        if (!_isBuildingRead)
            _building = await LoadAsync(generation, _rebuilding, _building, null, cancellationToken).ConfigureAwait(false);
        _isBuildingRead = true;
        var building = _building!;

        // More than one for each of the live generation: it has further to go, and would never overtake one that is busy.
        var built = Turn.Progress;
        for (var i = 0; i < BuildingSteps && built == Turn.Progress; i++)
            built = await StepAsync(building, cancellationToken).ConfigureAwait(false);
        if (built == Turn.Stale)
            return built;
        _status.Change(report => report with { BuildingCheckpoint = building.Saved });
        if (!IsRunnable(building))
            return built;

        // Queries never see less than they saw, and a rebuild of what is behind is over as soon as it is no longer.
        if (building.Saved.Position >= _live.Saved.Position)
            return await SwapAsync(building, cancellationToken).ConfigureAwait(false);
        return built == Turn.Idle ? await EndAsync(building, cancellationToken).ConfigureAwait(false) : built;
    }

    /// <summary>Deals with a rebuild that has read all there is and is behind the live generation: entries that one has folded in are gone.</summary>
    private async ValueTask<Turn> EndAsync(Cursor building, CancellationToken cancellationToken)
    {
        var info = await _store.GetStreamInfoAsync(_definition.Source, cancellationToken).ConfigureAwait(false);
        if (info?.LastGeneratedId >= _live.Saved.Position)
        {
            // They were trimmed, and no others will come in their place.
            building.Entries = _live.Entries;
            return await SaveAsync(building, [], _live.Saved.Position, 0, cancellationToken).ConfigureAwait(false);
        }

        var loss = $"'{_definition.Source}' ends before the checkpoint {_live.Saved} of the generation that is to be replaced: it was deleted, or went back";
        return await LoseAsync(building, loss, mayGoOn: false, cancellationToken).ConfigureAwait(false)
            ?? await SwapAsync(building, cancellationToken).ConfigureAwait(false);
    }

    private async ValueTask<Turn> SwapAsync(Cursor building, CancellationToken cancellationToken)
    {
        var isSwapped = await _plan.ChangeAsync(
            head => head.Owner == _lease.Owner && head.Building is { Failure: null } next && next.Number == building.Generation.Number
                ? head.Swapped()
                : null,
            $"generation {building.Generation.Number} serves queries",
            cancellationToken).ConfigureAwait(false);
        if (isSwapped)
            LogMessages.ProjectionSwapped(_logger, _definition.Name, building.Generation.Number, building.Saved.Position);
        return Turn.Stale;
    }

    /// <summary>Removes a part of a generation.</summary>
    private async ValueTask<Turn> RemoveAsync(CancellationToken cancellationToken)
    {
        if (_head.Retired is not [var generation, ..])
            return Turn.Idle;
        if (!await _target.RemoveAsync(generation, cancellationToken).ConfigureAwait(false))
            return Turn.Progress;
        await _store.DeleteStreamAsync(_definition.Names.Skipped(generation), cancellationToken).ConfigureAwait(false);
        await _plan.ChangeAsync(
            head => head.Owner == _lease.Owner && head.Retired.Contains(generation)
                ? head with { Retired = [.. head.Retired.Where(one => one != generation)] }
                : null,
            $"generation {generation} is removed",
            cancellationToken).ConfigureAwait(false);
        return Turn.Stale;
    }

    /// <summary>
    /// Waits for an entry, or for a note that the plan has changed. Real blocking; only what failed, and the lag of a projection that stands still, are
    /// looked at again after a time.
    /// </summary>
    private async ValueTask<Turn> WaitAsync(CancellationToken cancellationToken)
    {
        List<StreamPosition> positions = [new(_definition.Names.Notes, _lastNote)];
        var isFolding = IsRunnable(_live) && _folding.Failure is null;
        if (isFolding)
        {
            positions.Add(new(_definition.Source, _live.Saved.Position));
            _status.Change(report => report with { State = ProjectionState.Live, Detail = null, Lag = 0, TimeLag = TimeSpan.Zero });
        }

        // A millisecond more than is left, as stores count in whole ones.
        var block = new[] { _folding, _rebuilding, _removing }.Where(static chore => chore.Failure is not null)
            .Select(static chore => chore.Left + TimeSpan.FromMilliseconds(1))
            .Append(isFolding ? Block : StandingBlock)
            .Min();
        var batches = await _store.ReadAsync(positions, 1, block, cancellationToken).ConfigureAwait(false);
        return batches.Any(batch => batch.Stream == _definition.Names.Notes) ? Turn.Stale : Turn.Progress;
    }

    /// <summary>Not one that is paused or stopped, nor one of another shape than this process folds.</summary>
    private bool IsRunnable(Cursor cursor) =>
        !_head.IsPaused && cursor.Generation.Failure is null && cursor.Generation.Version == Options.Version;

    /// <summary>Where a generation stands.</summary>
    private sealed class Cursor(Generation generation, ProjectionCheckpoint saved)
    {
        public Generation Generation => generation;

        /// <summary>The checkpoint as the target has it.</summary>
        public ProjectionCheckpoint Saved { get; set; } = saved;

        /// <summary>Entries the source was given up to there, better known than when it was saved.</summary>
        public long Entries { get; set; }

        /// <summary>An event the target could not fold in, to be dealt with when all before it are saved.</summary>
        public (EntryId Id, string Reason)? Poison { get; set; }
    }
}
