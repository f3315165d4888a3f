using System.Diagnostics;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;
using Millrace.Monitoring;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// Applies the policies of the application in the background. Of several processes one does it, for each stream: the one that finds no
/// document of another run, which expires shortly before the next is due (<see cref="ExpiryWatch"/>). That spares work; runs of two at once do
/// no harm, since <see cref="Retention"/> never drops more than its policy says, whoever else is at it.
/// </summary>
/// <remarks>Costs one round trip a stream and interval in each process, and in one of them another and what <see cref="Retention"/> says.</remarks>
internal sealed class RetentionLoop
{
    // So that a timer which is a little early still finds the document of its own last run gone.
    private const double LeasePart = 0.9;

    private readonly MillraceCore _core;
    private readonly IStreamStore _store;
    private readonly Retention _retention;
    private readonly ILogger _logger;
    private readonly Counter<long> _dropped;

    // The document of the last run, by stream.
    private readonly Dictionary<string, ExpiryWatch> _lastRuns;

    // What was logged already: abandoned groups, and streams that fail.
    private readonly HashSet<(string Stream, string? Group)> _logged = [];

    public RetentionLoop(MillraceCore core, IStreamStore store, Retention retention, ILogger logger)
    {
        (_core, _store, _retention, _logger) = (core, store, retention, logger);
        _lastRuns = retention.Policies.Keys.ToDictionary(static stream => stream, _ => new ExpiryWatch(core.Time));
        _dropped = core.Meter.Meter.CreateCounter<long>(
            "millrace.retention.dropped", "{message}", "Entries that retention has dropped from the stream.");
    }

    /// <summary>Runs until cancelled. Never throws.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        while (_retention.Policies.Count > 0 && !cancellationToken.IsCancellationRequested)
        {
            foreach (var (stream, retention) in _retention.Policies)
                await TryApplyAsync(stream, retention, cancellationToken).ConfigureAwait(false);
            await Task.Delay(_core.Options.RetentionInterval, _core.Time, cancellationToken)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    private async Task TryApplyAsync(string stream, StreamRetention retention, CancellationToken cancellationToken)
    {
        try
        {
            if (await IsOursAsync(stream, cancellationToken).ConfigureAwait(false))
                Tell(await _retention.ApplyAsync(stream, retention, dryRun: false, cancellationToken).ConfigureAwait(false));
            _logged.Remove((stream, null));
        }
        catch (Exception exception)
        {
            // The next round tries again; an outage is logged once.
            if (!cancellationToken.IsCancellationRequested && _logged.Add((stream, null)))
                LogMessages.RetentionFailed(_logger, exception, stream);
        }
    }

    private async ValueTask<bool> IsOursAsync(string stream, CancellationToken cancellationToken)
    {
        var lease = new StateKey(stream, "millrace/retention");
        var found = await _store.GetStateAsync(lease, cancellationToken).ConfigureAwait(false);
        if (!_lastRuns[stream].IsOver(found))
            return false;
        var commit = new Commit
        {
            Conditions = [found is null ? CommitCondition.StateAbsent(lease) : CommitCondition.StateIs(lease, found.Version)],
            Changes = [ExpiryWatch.Put(lease, _core.Options.RetentionInterval * LeasePart, _core.Options.InstanceName!)],
            IsUpkeep = true,
        };
        return (await _store.CommitAsync(commit, cancellationToken).ConfigureAwait(false)).IsApplied;
    }

    private void Tell(RetentionResult result)
    {
        if (result.Entries > 0)
        {
            LogMessages.RetentionDropped(_logger, result.Entries, result.Stream, result.KeptFrom);
            _dropped.Add(result.Entries, new TagList
            {
                { TelemetryNames.System, TelemetryNames.SystemValue },
                { TelemetryNames.Destination, result.Stream },
            });
        }

        _logged.RemoveWhere(entry => entry.Stream == result.Stream && entry.Group is { } group && !result.AbandonedGroups.Contains(group));
        foreach (var group in result.AbandonedGroups)
        {
            if (_logged.Add((result.Stream, group)))
                LogMessages.GroupAbandoned(_logger, result.Stream, group);
        }

        foreach (var letters in result.DeadLetterStreams)
            Tell(letters);
    }
}
