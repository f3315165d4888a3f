using System.Diagnostics.Metrics;

namespace Millrace.EntityFrameworkCore;

/// <summary>What this process relays, and how its outboxes stand. The names are in <c>docs/telemetry.md</c>.</summary>
internal sealed class OutboxMeter
{
    private const string StreamTag = "messaging.destination.name";
    private const string OutboxTag = "millrace.outbox.name";

    private readonly KeyValuePair<string, object?> _outbox;
    private readonly Counter<long> _relayed;
    private readonly Counter<long> _parked;
    private readonly ObservableGauge<long> _waiting;
    private readonly ObservableGauge<long> _parkedRows;
    private readonly ObservableGauge<double> _oldest;

    public OutboxMeter(IMeterFactory? factory, string outbox)
    {
        _outbox = new(OutboxTag, outbox);
        var meter = factory?.Create(MillraceTelemetry.MeterName) ?? new Meter(MillraceTelemetry.MeterName);
        _relayed = meter.CreateCounter<long>("millrace.outbox.relayed", "{message}", "Rows handed to the store.");
        _parked = meter.CreateCounter<long>("millrace.outbox.refused", "{message}", "Rows parked because the store refused them too often.");
        _waiting = meter.CreateObservableGauge(
            "millrace.outbox.waiting", () => Observe(static status => status.Waiting), "{message}", "Rows not relayed yet.");
        _parkedRows = meter.CreateObservableGauge(
            "millrace.outbox.parked", () => Observe(static status => status.Parked), "{message}", "Rows that are parked.");
        _oldest = meter.CreateObservableGauge(
            "millrace.outbox.oldest_age", () => Observe(static status => status.OldestAge.TotalSeconds), "s", "Age of the oldest row not relayed yet.");
    }

    /// <summary>How the outbox stood when it was last asked; unknown is not zero.</summary>
    public OutboxStatus? Status { get; set; }

    /// <summary>Whether somebody wants to know how it stands.</summary>
    public bool IsStatusWanted => _waiting.Enabled || _parkedRows.Enabled || _oldest.Enabled;

    public void Relayed(string stream, int count) => _relayed.Add(count, _outbox, new(StreamTag, stream));

    public void Parked(string stream) => _parked.Add(1, _outbox, new(StreamTag, stream));

    private IEnumerable<Measurement<T>> Observe<T>(Func<OutboxStatus, T> figure)
        where T : struct => Status is { } status ? [new(figure(status), _outbox)] : [];
}
