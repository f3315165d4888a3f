using System.Diagnostics.Metrics;
using Microsoft.Extensions.Logging;
using Millrace.Hosting;
using Millrace.Messages;
using Millrace.Streams;

namespace Millrace.Monitoring;

/// <summary>
/// The figures about groups: a background loop asks the store every <see cref="MillraceOptions.SampleInterval"/> while somebody listens, and
/// gauges tell what it found last. So a scrape waits for no store and fails with none; a group the store did not answer for has no figures.
/// </summary>
/// <remarks>
/// Costs two round trips for each stream and six or seven for each group and interval, one more where it is ordered; nothing while nobody listens.
/// </remarks>
internal sealed class GroupSampler
{
    // A round that takes longer ends without the groups it did not come to; a longer interval gives it more.
    private static readonly TimeSpan MinDeadline = TimeSpan.FromSeconds(5);

    private readonly MillraceCore _core;
    private readonly IStreamStore _store;
    private readonly ILogger _logger;
    private readonly Instrument[] _gauges;
    private readonly SemaphoreSlim _wake = new(0);
    private GroupSample[] _samples = [];
    private int _isAsleep;
    private bool _isFailing;    // So that an outage is logged once.

    public GroupSampler(MillraceCore core, IStreamStore store, ILogger logger)
    {
        (_core, _store, _logger) = (core, store, logger);
        _gauges =
        [
            Gauge<long>("millrace.group.lag", "{message}", "Entries not yet delivered to the group. Nothing while the store cannot know.",
                static sample => sample.Lag),
            Gauge<double>("millrace.group.time_lag", "s", "Age of the oldest entry not yet delivered to the group.",
                static sample => sample.TimeLag.TotalSeconds),
            Gauge<long>("millrace.group.pending", "{message}", "Entries delivered and not yet settled.",
                static sample => sample.Pending),
            Gauge<double>("millrace.group.oldest_unsettled_age", "s", "Age of the oldest message the group has not settled, waiting retries left out.",
                static sample => sample.OldestUnsettledAge?.TotalSeconds),
            Gauge<long>("millrace.group.dead_letters", "{message}", "Dead letters of the group.",
                static sample => sample.DeadLetters),
            Gauge<long>("millrace.group.scheduled", "{message}", "Messages that wait for their time: delayed ones, the group's retries and a saga's time-outs.",
                static sample => sample.Scheduled),
            Gauge<long>("millrace.group.parked_keys", "{key}", "Keys of an ordered group whose first message failed and waits.",
                static sample => sample.ParkedKeys),
        ];
    }

    /// <summary>Samples until cancelled. Never throws.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        if (_core.Groups.Count == 0)
            return;
        try
        {
            await SampleWhileWantedAsync(cancellationToken).ConfigureAwait(false);
        }
        catch (Exception) when (cancellationToken.IsCancellationRequested)
        {
            // The host stops: there is nothing left to tell, whether the wait ended or the store under it.
        }

        Volatile.Write(ref _samples, []);
    }

    private bool IsWanted => Array.Exists(_gauges, static gauge => gauge.Enabled);

    private async Task SampleWhileWantedAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            if (!IsWanted)
            {
                Volatile.Write(ref _samples, []);
                Volatile.Write(ref _isAsleep, 1);
                await _wake.WaitAsync(cancellationToken).ConfigureAwait(false);
            }

            Volatile.Write(ref _samples, await SampleAsync(cancellationToken).ConfigureAwait(false));
            await Task.Delay(_core.Options.SampleInterval, _core.Time, cancellationToken).ConfigureAwait(false);
        }
    }

    /// <summary>Looks at every group once; those the store does not answer for in time are left out.</summary>
    private async Task<GroupSample[]> SampleAsync(CancellationToken cancellationToken)
    {
        var interval = _core.Options.SampleInterval;
        using var deadline = new CancellationTokenSource(interval > MinDeadline ? interval : MinDeadline, _core.Time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(deadline.Token, cancellationToken);
        var samples = new List<GroupSample>();
        Exception? failure = null;
        foreach (var stream in _core.Groups.GroupBy(static plan => plan.Stream))
        {
            try
            {
                await AddSamplesAsync([.. stream], samples, either.Token).ConfigureAwait(false);
            }
            catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
            {
                failure ??= exception;
            }
        }

        if (failure is not null && !_isFailing)
            LogMessages.SamplingFailed(_logger, failure);
        _isFailing = failure is not null;
        return [.. samples];
    }

    private async Task AddSamplesAsync(GroupPlan[] plans, List<GroupSample> samples, CancellationToken cancellationToken)
    {
        if (await _store.GetStreamInfoAsync(plans[0].Stream, cancellationToken).ConfigureAwait(false) is not { } stream)
            return;
        var groups = await _store.GetGroupsAsync(plans[0].Stream, cancellationToken).ConfigureAwait(false);
        foreach (var plan in plans)
        {
            if (groups.FirstOrDefault(group => group.Name == plan.Group) is { } group)
                samples.Add(await SampleAsync(plan, stream, group, cancellationToken).ConfigureAwait(false));
        }
    }

    private async Task<GroupSample> SampleAsync(
        GroupPlan plan, StreamInfo stream, GroupInfo group, CancellationToken cancellationToken)
    {
        var unread = group.LastDeliveredId < stream.LastGeneratedId
            ? await _store.RangeAsync(plan.Stream, new() { Start = group.LastDeliveredId.Next(), Count = 1 }, cancellationToken)
                .ConfigureAwait(false)
            : [];
        var pending = await _store.PendingSummaryAsync(plan.Stream, plan.Group, cancellationToken).ConfigureAwait(false);
        var again = await _store.GetStreamInfoAsync(plan.Again, cancellationToken).ConfigureAwait(false);
        var pendingAgain = again is null
            ? PendingSummary.None
            : await _store.PendingSummaryAsync(plan.Again, plan.Group, cancellationToken).ConfigureAwait(false);
        var delayed = await _store.GetScheduleAsync(plan.Stream, cancellationToken).ConfigureAwait(false);
        var retries = await _store.GetScheduleAsync(plan.Again, cancellationToken).ConfigureAwait(false);

        // Lanes share their stream's.
        var dead = plan.Stream == plan.Home
            ? await _store.GetStreamInfoAsync(plan.DeadLetters, cancellationToken).ConfigureAwait(false)
            : null;

        EntryId? firstUnread = unread is [var entry] ? entry.Id : null;
        EntryId?[] unsettled = [firstUnread, pending.MinId, FirstOrigin(again)];
        return new()
        {
            Plan = plan,
            Lag = group.Lag,
            TimeLag = Age(firstUnread),
            Pending = pending.Count + pendingAgain.Count,
            OldestUnsettledAge = retries.Count > 0 && Array.TrueForAll(unsettled, static id => id is null) ? null : unsettled.Max(Age),
            DeadLetters = dead?.Length ?? 0,
            Scheduled = delayed.Count + retries.Count,
            ParkedKeys = plan.OrderKeys is null
                ? null
                : await new GroupParkedKeys(_store, plan.Stream, plan.Group).CountAsync(cancellationToken).ConfigureAwait(false),
        };
    }

    /// <summary>
    /// What is settled leaves the private stream, so its first entry is unsettled, or kept for a dead letter that somebody has to see to
    /// (<see cref="DeadLetter.Omitted"/>); it knows the entry it once was.
    /// </summary>
    private static EntryId? FirstOrigin(StreamInfo? again) => again?.FirstEntry is not { } first ? null
        : EntryId.TryParse(first.Fields.GetText(EnvelopeFieldNames.SourceId), null, out var origin) ? origin
        : first.Id;

    /// <summary>By this process's clock against the store's ID; clocks that differ make no negative age.</summary>
    private TimeSpan Age(EntryId? id)
    {
        if (id is not { Milliseconds: var madeAt })
            return TimeSpan.Zero;
        var now = (ulong)_core.Time.GetUtcNow().ToUnixTimeMilliseconds();
        return TimeSpan.FromMilliseconds(now > madeAt ? now - madeAt : 0);
    }

    private ObservableGauge<T> Gauge<T>(string name, string unit, string description, Func<GroupSample, T?> read)
        where T : struct => _core.Meter.Meter.CreateObservableGauge(name, () => Observe(read), unit, description);

    private IEnumerable<Measurement<T>> Observe<T>(Func<GroupSample, T?> read)
        where T : struct
    {
        if (Interlocked.Exchange(ref _isAsleep, 0) == 1)
            _wake.Release();
        foreach (var sample in Volatile.Read(ref _samples))
        {
            if (read(sample) is { } value)
                yield return new(value, MessageMeter.GroupTags(sample.Plan));
        }
    }
}
