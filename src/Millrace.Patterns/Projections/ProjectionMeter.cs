using System.Diagnostics;
using System.Diagnostics.Metrics;

namespace Millrace.Projections;

/// <summary>What this process does with projections. The gauges are told by the process that runs a projection, and by no other.</summary>
internal sealed class ProjectionMeter
{
    private readonly Counter<long> _folded;
    private readonly Counter<long> _skipped;
    private readonly Counter<long> _losses;

    public ProjectionMeter(ProjectionControl control, IMeterFactory? factory)
    {
        var meter = factory?.Create(MillraceTelemetry.MeterName) ?? new Meter(MillraceTelemetry.MeterName);
        _folded = meter.CreateCounter<long>("millrace.projection.events", "{event}", "Events folded into read models, those of rebuilds included.");
        _skipped = meter.CreateCounter<long>("millrace.projection.skipped", "{event}", "Events passed over because they cannot be folded in.");
        _losses = meter.CreateCounter<long>("millrace.projection.losses", "{loss}", "Times the source was found to lack entries that were not folded in.");
        meter.CreateObservableGauge(
            "millrace.projection.lag", () => Observe(control, static report => report.Lag), "{event}", "Entries of the source not folded in yet, where known.");
        meter.CreateObservableGauge(
            "millrace.projection.time_lag", () => Observe(control, static report => report.TimeLag?.TotalSeconds), "s", "Age of the oldest of them.");
        meter.CreateObservableGauge(
            "millrace.projection.state", () => ObserveStates(control), "{projection}", "1 for the state the projection is in, in this process.");
    }

    public void Folded(ProjectionDefinition projection, int count)
    {
        if (_folded.Enabled)
            _folded.Add(count, Tags(projection.Name, projection.Source));
    }

    public void Skipped(ProjectionDefinition projection) => _skipped.Add(1, Tags(projection.Name, projection.Source));

    public void Lost(ProjectionDefinition projection) => _losses.Add(1, Tags(projection.Name, projection.Source));

    // What is unknown is not told: a gauge would stand still.
    private static IEnumerable<Measurement<T>> Observe<T>(ProjectionControl control, Func<ProjectionReport, T?> value)
        where T : struct
    {
        foreach (var one in control.Runtimes)
        {
            if (one.Status.IsRunning && value(one.Status.Report) is { } known)
                yield return new(known, Tags(one.Definition.Name, one.Definition.Source));
        }
    }

    private static IEnumerable<Measurement<long>> ObserveStates(ProjectionControl control)
    {
        foreach (var report in control.Local)
        {
            var tags = Tags(report.Name, report.Source);
            tags.Add("millrace.projection.state", report.State.ToString().ToLowerInvariant());
            yield return new(1, tags);
        }
    }

    private static TagList Tags(string projection, string source) => new()
    {
        { "messaging.system", "millrace" },
        { "messaging.destination.name", source },
        { "millrace.projection.name", projection },
    };
}
