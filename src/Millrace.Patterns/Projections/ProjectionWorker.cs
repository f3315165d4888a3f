using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.Projections;

/// <summary>
/// Runs a projection in this process whenever the lease is its own. One loop does everything in turns, a batch of the live generation, a batch of the
/// rebuilt one, a part of a removal, so that nothing has to be agreed upon but with other processes, and those the commits keep off. One of them that
/// fails keeps nothing from the others.
/// </summary>
internal sealed partial class ProjectionWorker
{
    // Long enough to cost nothing, short enough that a server which forgot us is noticed.
    private static readonly TimeSpan Block = TimeSpan.FromSeconds(30);

    // How often the lag is looked at while nothing is folded.
    private static readonly TimeSpan StandingBlock = TimeSpan.FromSeconds(5);

    // Notes are for people afterwards; who waits for one is told at once.
    private const int NotesKept = 1_000;

    private readonly ProjectionDefinition _definition;
    private readonly IProjectionTarget _target;
    private readonly IStreamStore _store;
    private readonly EntryPages _pages;
    private readonly PriorityLanes _lanes;
    private readonly MessageCodec _codec;
    private readonly TimeProvider _time;
    private readonly ProjectionStatus _status;
    private readonly ProjectionMeter _meter;
    private readonly ILogger _logger;
    private readonly ProjectionPlan _plan;
    private readonly ProjectionLease _lease;
    private readonly ProjectionChore _folding;
    private readonly ProjectionChore _rebuilding;
    private readonly ProjectionChore _removing;
    private readonly LogLimit _failures;

    public ProjectionWorker(
        ProjectionRuntime runtime, IStreamStore store, PriorityLanes lanes, MessageCodec codec, TimeProvider time, ProjectionMeter meter, ILogger logger)
    {
        (_definition, _target, _status) = (runtime.Definition, runtime.Target, runtime.Status);
        (_store, _lanes, _codec, _time, _meter, _logger) = (store, lanes, codec, time, meter, logger);
        _pages = new(store);
        (_folding, _rebuilding, _removing, _failures) = (new(time), new(time), new(time), new(time));
        _plan = new(store, _definition.Names);
        _lease = new(store, _definition.Names, _plan, _definition.Options, time, logger);
    }

    private ProjectionOptions Options => _definition.Options;

    /// <summary>Runs until cancelled. Never throws.</summary>
    /// <param name="stop">Ends it.</param>
    /// <param name="release">Whether to give the lease up then, or to leave it as a killed process would.</param>
    public async Task RunAsync(CancellationToken stop, Func<bool> release)
    {
        for (var failures = 0; !stop.IsCancellationRequested;)
        {
            try
            {
                await _lease.AcquireAsync(StandBy, stop).ConfigureAwait(false);
                failures = 0;
                LogMessages.ProjectionTaken(_logger, _definition.Name, _definition.Source);
                await RunLeasedAsync(stop).ConfigureAwait(false);
                if (!stop.IsCancellationRequested)
                    LogMessages.ProjectionLost(_logger, _definition.Name, _definition.Source);
            }
            catch (Exception) when (stop.IsCancellationRequested)
            {
                break;
            }
            catch (Exception exception)
            {
                await FailAsync(exception, ++failures, stop).ConfigureAwait(false);
            }
        }

        _status.Become(ProjectionState.Stopping);
        if (release())
            await ReleaseAsync().ConfigureAwait(false);
        _status.Become(ProjectionState.Idle);
    }

    private void StandBy(string? owner)
    {
        if (_status.Report.State != ProjectionState.StandingBy)
            _status.Become(ProjectionState.StandingBy, owner);
    }

    /// <summary>Runs the projection while the lease is kept.</summary>
    private async Task RunLeasedAsync(CancellationToken stop)
    {
        using var leased = CancellationTokenSource.CreateLinkedTokenSource(stop);
        var keeping = _lease.KeepAsync(leased.Token);
        var running = ProcessAsync(leased.Token);
        await Task.WhenAny(keeping, running).ConfigureAwait(false);
        await leased.CancelAsync().ConfigureAwait(false);
        await running.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await keeping.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    /// <summary>Turn after turn until the lease is another's.</summary>
    private async Task ProcessAsync(CancellationToken cancellationToken)
    {
        var turn = Turn.Stale;
        for (var failures = 0; ;)
        {
            try
            {
                if (turn == Turn.Stale && !await RefreshAsync(cancellationToken).ConfigureAwait(false))
                    return;
                turn = await TakeTurnAsync(cancellationToken).ConfigureAwait(false);
                failures = 0;
            }
            catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
            {
                turn = Turn.Stale;
                await FailAsync(exception, ++failures, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Says what failed, and waits: longer each time.</summary>
    private async Task FailAsync(Exception exception, int failures, CancellationToken cancellationToken)
    {
        if (_failures.Allows())
            LogMessages.ProjectionFailing(_logger, exception, _definition.Name, _definition.Source);
        _status.Become(ProjectionState.Failing, exception.Message);
        await Task.Delay(ProjectionChore.WaitAfter(failures), _time, cancellationToken).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
    }

    private async Task ReleaseAsync()
    {
        try
        {
            using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(2), _time);
            await _lease.ReleaseAsync(deadline.Token).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            // It ends by itself, a lease later.
            LogMessages.ProjectionRenewalFailed(_logger, exception, _definition.Name);
        }
    }

    /// <summary>What a turn came to.</summary>
    private enum Turn
    {
        /// <summary>Nothing was left to do.</summary>
        Idle,

        /// <summary>Something was done; there may be more.</summary>
        Progress,

        /// <summary>The plan or a checkpoint is another than thought: both are to be read anew.</summary>
        Stale,
    }
}
