using System.Diagnostics.Metrics;
using Millrace.Consuming;
using Millrace.Monitoring;

namespace Millrace;

/// <summary>
/// Pauses and resumes the consumers of this process while it runs, and says how they do. A singleton service. What one process pauses the
/// others of the group take over; a pause ends with the process.
/// </summary>
public sealed class ConsumerControl
{
    private readonly Dictionary<(string Stream, string Group), WorkerStatus> _consumers;

    internal ConsumerControl(MillraceCore core)
    {
        core.Meter.Meter.CreateObservableGauge(
            "millrace.consumer.state", ObserveStates, "{consumer}", "1 for the state the consumer is in, in this process.");
        _consumers = core.Groups.ToDictionary(plan => (plan.Stream, plan.Group), plan => new WorkerStatus(plan, new(core.Time), core.Time));
    }

    /// <summary>Every consumer of this process and what it is at. Costs no round trip.</summary>
    public IReadOnlyList<ConsumerReport> Consumers => [.. _consumers.Values.Select(Report)];

    /// <summary>
    /// Stops reading, lanes included, and begins no other message until <see cref="Resume"/>; handlers that run go on and settle. What the process holds and
    /// has not begun is handed back, uncounted, for other processes of the group; in an ordered group it keeps its place and waits here.
    /// A message that arrives in this very moment may still begin. Before the host has started: it starts paused. Returns at once.
    /// </summary>
    /// <param name="stream">The stream.</param>
    /// <param name="group">The group.</param>
    /// <returns>Whether it was not paused already.</returns>
    /// <exception cref="ArgumentException">This process has no such consumer.</exception>
    public bool Pause(string stream, string group) => ForEach(stream, group, static gate => gate.Close(WorkerState.Paused));

    /// <summary>Goes on after <see cref="Pause"/>. Returns at once.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="group">The group.</param>
    /// <returns>Whether it was paused.</returns>
    /// <exception cref="ArgumentException">This process has no such consumer.</exception>
    public bool Resume(string stream, string group) => ForEach(stream, group, static gate => gate.Open(WorkerState.Paused));

    internal WorkerStatus Find(string stream, string group) => _consumers.TryGetValue((stream, group), out var consumer)
        ? consumer
        : throw new ArgumentException($"This process has no consumer of '{stream}' in group '{group}'.");

    /// <summary>Does it to the gates of a stream and its lanes, or of one lane.</summary>
    private bool ForEach(string stream, string group, Func<ReadGate, bool> change)
    {
        Find(stream, group);
        var consumers = _consumers.Values.Where(consumer =>
            consumer.Plan.Group == group && (consumer.Plan.Stream == stream || consumer.Plan.Home == stream));
        return consumers.Aggregate(false, (isChanged, consumer) => change(consumer.Gate) || isChanged);
    }

    private IEnumerable<Measurement<long>> ObserveStates()
    {
        foreach (var consumer in _consumers.Values)
        {
            var tags = MessageMeter.GroupTags(consumer.Plan);
            tags.Add(TelemetryNames.ConsumerState, consumer.Current.State.ToString().ToLowerInvariant());
            yield return new(1, tags);
        }
    }

    private static ConsumerReport Report(WorkerStatus status)
    {
        var (state, since, detail) = status.Current;
        return new() { Stream = status.Plan.Stream, Group = status.Plan.Group, State = state, Since = since, Detail = detail };
    }
}
