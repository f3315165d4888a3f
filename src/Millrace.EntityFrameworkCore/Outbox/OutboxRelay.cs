using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.EntityFrameworkCore;

/// <summary>
/// Relays an outbox while the host runs: when this process committed rows, when another says that it did, and every now and then. Stops after the
/// consumers have, whose last rows it still sees.
/// </summary>
internal sealed class OutboxRelay<TDbContext>(
    OutboxSource source, IStreamStore store, IServiceScopeFactory scopes, OutboxMeter meter, TimeProvider time, ILogger logger) : BackgroundService
    where TDbContext : DbContext
{
    // Another relay is at work, and may have read the table just before our rows came.
    private static readonly TimeSpan BusyWait = TimeSpan.FromMilliseconds(100);

    // Counting rows and cleaning up costs more than looking for one.
    private static readonly TimeSpan CareInterval = TimeSpan.FromSeconds(10);

    private readonly OutboxOptions _options = source.Options;
    private readonly RelayLease _lease = new(store, source.Options, time);
    // How long the host waits at its start for the database to say under which name the table is relayed.
    private static readonly TimeSpan ClaimTimeout = TimeSpan.FromSeconds(5);

    private readonly OutboxDrain _drain = new(source.Options, store, meter, time, logger);
    private readonly LogLimit _relayFailures = new(time);
    private readonly LogLimit _careFailures = new(time);
    private readonly LogLimit _listeningFailures = new(time);
    private long _cared;

    // Whether the table is known to be relayed under our name. A failure may be that of a database that was replaced.
    private bool _isClaimed;

    // Whether rows were relayed since, or nobody could count them.
    private bool _isStatusOld;

    protected override async Task ExecuteAsync(CancellationToken stoppingToken)
    {
        var listening = _options.WakeUp is { } wakeUp ? ListenAsync(wakeUp, stoppingToken) : Task.CompletedTask;
        try
        {
            await RelayAsync(stoppingToken).ConfigureAwait(false);
        }
        catch (OperationCanceledException) when (stoppingToken.IsCancellationRequested)
        {
            // The host stops. What is not relayed waits in the database.
        }

        await listening.ConfigureAwait(false);
        await TryReleaseAsync().ConfigureAwait(false);
    }

    /// <exception cref="MillraceConfigurationException">The table is relayed under another name.</exception>
    public override async Task StartAsync(CancellationToken cancellationToken)
    {
        using var patience = new CancellationTokenSource(ClaimTimeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancellationToken);
        try
        {
            var scope = scopes.CreateAsyncScope();
            await using (scope.ConfigureAwait(false))
                await ClaimAsync(new(scope.ServiceProvider.GetRequiredService<TDbContext>()), either.Token).ConfigureAwait(false);
        }
        catch (Exception exception) when (exception is not MillraceConfigurationException && !cancellationToken.IsCancellationRequested)
        {
            // A database that is away keeps no application from starting; it is asked again before the first row is relayed.
            if (_relayFailures.Allows())
                LogMessages.RelayFailed(logger, exception, _options.Name!);
        }

        await base.StartAsync(cancellationToken).ConfigureAwait(false);
    }

    private async Task ClaimAsync(OutboxTable table, CancellationToken cancellationToken)
    {
        if (!_isClaimed)
            await table.ClaimAsync(_options.Name!, cancellationToken).ConfigureAwait(false);
        _isClaimed = true;
    }

    private async Task RelayAsync(CancellationToken stoppingToken)
    {
        for (var failures = 0; ;)
        {
            try
            {
                var wait = await DrainAsync(stoppingToken).ConfigureAwait(false);
                failures = 0;
                await source.Signal.WaitAsync(wait, time, stoppingToken).ConfigureAwait(false);
            }
            catch (Exception exception) when (exception is not OperationCanceledException || !stoppingToken.IsCancellationRequested)
            {
                _isClaimed = false;

                // Whatever failed, the rows are where they were; nothing but a later try can help, and the log and the health check say so.
                if (_relayFailures.Allows())
                    LogMessages.RelayFailed(logger, exception, _options.Name!);
                await CareAsync(stoppingToken).ConfigureAwait(false);
                await Task.Delay(OutboxDrain.Wait(++failures, _options), time, stoppingToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>Relays until nothing is left, and says how long to wait if nobody wakes us.</summary>
    private async Task<TimeSpan> DrainAsync(CancellationToken cancellationToken)
    {
        var scope = scopes.CreateAsyncScope();
        await using (scope.ConfigureAwait(false))
        {
            var table = new OutboxTable(scope.ServiceProvider.GetRequiredService<TDbContext>());
            await ClaimAsync(table, cancellationToken).ConfigureAwait(false);
            while (await _lease.TryTakeAsync(cancellationToken).ConfigureAwait(false))
            {
                var outcome = await _drain.RelayPageAsync(table, cancellationToken).ConfigureAwait(false);
                if (outcome == OutboxDrain.Outcome.Overtaken)
                    break;
                if (outcome == OutboxDrain.Outcome.Empty)
                {
                    await _lease.ReleaseAsync(cancellationToken).ConfigureAwait(false);
                    await CareAsync(cancellationToken).ConfigureAwait(false);
                    return IdleWait();
                }

                // In the loop: under steady load it does not end.
                _isStatusOld = true;
                await CareAsync(cancellationToken).ConfigureAwait(false);
            }

            await CareAsync(cancellationToken).ConfigureAwait(false);
            return BusyWait;
        }
    }

    private TimeSpan IdleWait()
    {
        var wait = _options.PollInterval;
        if (_drain.NextRetry() is { } retry && retry < wait)
            wait = retry;

        // A figure of rows that are gone does not stand until the next poll.
        if (_isStatusOld && meter.IsStatusWanted && CareInterval < wait)
            wait = CareInterval;
        return wait;
    }

    /// <summary>Never keeps rows from being relayed: counting many may take longer than the database allows.</summary>
    private async Task CareAsync(CancellationToken cancellationToken)
    {
        if (_cared != 0 && time.GetElapsedTime(_cared) < CareInterval)
            return;
        _cared = time.GetTimestamp();
        OutboxStatus? status = null;
        try
        {
            var scope = scopes.CreateAsyncScope();
            await using (scope.ConfigureAwait(false))
            {
                var table = new OutboxTable(scope.ServiceProvider.GetRequiredService<TDbContext>());
                if (meter.IsStatusWanted)
                    status = await table.GetStatusAsync(cancellationToken).ConfigureAwait(false);
                (meter.Status, _isStatusOld) = (status, false);
                if (_options.KeepRelayed > TimeSpan.Zero)
                    await table.CleanAsync(_options.KeepRelayed, cancellationToken).ConfigureAwait(false);
            }
        }
        catch (Exception exception) when (exception is not OperationCanceledException || !cancellationToken.IsCancellationRequested)
        {
            // What cannot be counted is told by no old figure, and asked for again before the next poll.
            (meter.Status, _isStatusOld) = (status, status is null);
            _drain.Distrust();
            if (_careFailures.Allows())
                LogMessages.CareFailed(logger, exception, _options.Name!);
        }
    }

    private async Task ListenAsync(OutboxWakeUp wakeUp, CancellationToken stoppingToken)
    {
        for (var failures = 0; !stoppingToken.IsCancellationRequested;)
        {
            try
            {
                var scope = scopes.CreateAsyncScope();
                await using (scope.ConfigureAwait(false))
                {
                    var db = scope.ServiceProvider.GetRequiredService<TDbContext>();
                    await wakeUp.ListenAsync(db, () => { failures = 0; source.Signal.Wake(); }, stoppingToken).ConfigureAwait(false);
                }
            }
            catch (Exception) when (stoppingToken.IsCancellationRequested)
            {
                // The connection is closed while it waits.
            }
            catch (Exception exception)
            {
                if (_listeningFailures.Allows())
                    LogMessages.ListeningFailed(logger, exception, _options.Name!);
                await Task.Delay(OutboxDrain.Wait(++failures, _options), time, stoppingToken)
                    .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private async Task TryReleaseAsync()
    {
        try
        {
            await _lease.ReleaseAsync(CancellationToken.None).ConfigureAwait(false);
        }
        catch (StreamException exception)
        {
            // It is over by itself soon.
            LogMessages.RelayFailed(logger, exception, _options.Name!);
        }
    }
}
