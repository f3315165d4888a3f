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
    private Cursor? _building;

    // What a target refused, and under which plan.
    private (ProjectionCheckpoint After, long HeadVersion)? _refused;

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
        _live = await LoadAsync(_head.Live, _live, _building, cancellationToken).ConfigureAwait(false);
        _building = _head.Building is { } building ? await LoadAsync(building, _building, null, cancellationToken).ConfigureAwait(false) : null;
        _status.Change(Describe);
        return true;
    }

    private async ValueTask<Cursor> LoadAsync(Generation generation, Cursor? first, Cursor? second, CancellationToken cancellationToken)
    {
        var saved = await _target.LoadAsync(generation.Number, cancellationToken).ConfigureAwait(false);
        var earlier = first?.Generation.Number == generation.Number ? first : second?.Generation.Number == generation.Number ? second : null;
        if (_refused == (saved, _headVersion))
        {
            _refused = null;
            throw new InvalidOperationException($"The target refused a batch after the checkpoint {saved}, which is the one it has.");
        }

        var isSame = earlier?.Saved.Position == saved.Position;
        return new(generation, saved) { Entries = isSame ? earlier!.Entries : saved.Entries, Poison = earlier?.Poison };
    }

    private ProjectionReport Describe(ProjectionReport report) => report with
    {
        State = _head.IsPaused ? ProjectionState.Paused
            : _head.Live.Failure is not null ? ProjectionState.Stopped
            : report.State == ProjectionState.Live ? ProjectionState.Live : ProjectionState.CatchingUp,
        Detail = _head.Live.Failure,
        Generation = _live.Generation.Number,
        Checkpoint = _live.Saved,
        BuildingGeneration = _building?.Generation.Number,
        BuildingCheckpoint = _building?.Saved ?? default,
        BuildingFailure = _building?.Generation.Failure,
    };

    /// <summary>One part of all that is to be done, or a wait for something to do.</summary>
    private async ValueTask<Turn> TakeTurnAsync(CancellationToken cancellationToken)
    {
        if (_head.Retired is [var oldest, ..] && await RemoveAsync(oldest, cancellationToken).ConfigureAwait(false))
            return Turn.Stale;
        var turn = await StepAsync(_live, cancellationToken).ConfigureAwait(false);
        if (turn != Turn.Stale && _building is { } building)
            turn = await BuildAsync(building, turn, cancellationToken).ConfigureAwait(false);
        return turn == Turn.Idle && _head.Retired.Count == 0 ? await WaitAsync(cancellationToken).ConfigureAwait(false) : turn;
    }

    private async ValueTask<Turn> BuildAsync(Cursor building, Turn turn, CancellationToken cancellationToken)
    {
        // More than one for each of the live generation: it has further to go, and would never overtake one that is busy.
        var built = Turn.Progress;
        for (var i = 0; i < BuildingSteps && built == Turn.Progress; i++)
            built = await StepAsync(building, cancellationToken).ConfigureAwait(false);
        if (built == Turn.Stale)
            return built;
        _status.Change(report => report with { BuildingCheckpoint = building.Saved });

        // Queries never see less than they saw, and a rebuild of what is behind is over as soon as it is no longer.
        if (!IsRunnable(building) || building.Saved.Position < _live.Saved.Position)
            return built == Turn.Idle ? turn : built;
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
    /// <returns>Whether that was the last part, and the plan has changed.</returns>
    private async ValueTask<bool> RemoveAsync(int generation, CancellationToken cancellationToken)
    {
        if (!await _target.RemoveAsync(generation, cancellationToken).ConfigureAwait(false))
            return false;
        await _store.DeleteStreamAsync(_definition.Names.Skipped(generation), cancellationToken).ConfigureAwait(false);
        await _plan.ChangeAsync(
            head => head.Owner == _lease.Owner && head.Retired.Contains(generation)
                ? head with { Retired = [.. head.Retired.Where(one => one != generation)] }
                : null,
            $"generation {generation} is removed",
            cancellationToken).ConfigureAwait(false);
        return true;
    }

    /// <summary>Waits for an entry, or for a note that the plan has changed. Real blocking, never polling.</summary>
    private async ValueTask<Turn> WaitAsync(CancellationToken cancellationToken)
    {
        List<StreamPosition> positions = [new(_definition.Names.Notes, _lastNote)];
        if (IsRunnable(_live))
        {
            positions.Add(new(_definition.Source, _live.Saved.Position));
            _status.Change(report => report with { State = ProjectionState.Live, Detail = null, Lag = 0, TimeLag = TimeSpan.Zero });
        }

        var batches = await _store.ReadAsync(positions, 1, Block, cancellationToken).ConfigureAwait(false);
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
