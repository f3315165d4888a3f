using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Runtime.CompilerServices;
using Millrace.Streams;

namespace Millrace.EventSourcing;

/// <summary>
/// What this process does with events, counted, timed and traced. Streams of aggregates are too many for a tag of a metric: it names their category, if
/// that is kept. While nobody listens, no clock is read and no tag is built.
/// </summary>
internal sealed class EventStoreMeter
{
    // What the convention advises for durations, in seconds.
    private static readonly InstrumentAdvice<double> DurationBuckets = new()
    {
        HistogramBucketBoundaries = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
    };

    private static readonly ActivitySource Source = new(MillraceTelemetry.ActivitySourceName);

    private readonly TimeProvider _time;
    private readonly Histogram<double> _appendDuration;
    private readonly Histogram<double> _loadDuration;
    private readonly Counter<long> _loaded;
    private readonly Counter<long> _conflicts;
    private readonly Counter<long> _snapshots;

    public EventStoreMeter(TimeProvider time, IMeterFactory? factory)
    {
        _time = time;
        var meter = factory?.Create(MillraceTelemetry.MeterName) ?? new Meter(MillraceTelemetry.MeterName);
        _appendDuration = meter.CreateHistogram(
            "millrace.event_store.append.duration", "s", "Time until an append had its outcome, or failed.", null, DurationBuckets);
        _loadDuration = meter.CreateHistogram(
            "millrace.event_store.load.duration", "s", "Time until a state was loaded, or could not be.", null, DurationBuckets);
        _loaded = meter.CreateCounter<long>("millrace.event_store.events_loaded", "{event}", "Events folded into states by loads.");
        _conflicts = meter.CreateCounter<long>("millrace.event_store.conflicts", "{conflict}", "Times others had appended to the stream first.");
        _snapshots = meter.CreateCounter<long>("millrace.event_store.snapshots", "{snapshot}", "Snapshots taken, but those in commits of handlers.");
    }

    public Measured Append(string stream, string? category) => new(this, _appendDuration, "append", stream, category);

    public Measured Load(string stream, string? category) => new(this, _loadDuration, "load", stream, category);

    public void Conflicted(string? category)
    {
        if (_conflicts.Enabled)
            _conflicts.Add(1, Tags(category));
    }

    public void Snapshotted(string? category)
    {
        if (_snapshots.Enabled)
            _snapshots.Add(1, Tags(category));
    }

    private static TagList Tags(string? category)
    {
        var tags = new TagList { { "messaging.system", "millrace" } };
        if (category is not null)
            tags.Add("messaging.destination.name", category);
        return tags;
    }

    /// <summary>An append or a load that is under way; told when it is disposed of.</summary>
    public sealed class Measured : IDisposable
    {
        private readonly EventStoreMeter _meter;
        private readonly Histogram<double> _duration;
        private readonly string? _category;
        private readonly Activity? _activity;
        private readonly long _started;
        private string? _error;

        public Measured(EventStoreMeter meter, Histogram<double> duration, string operation, string stream, string? category)
        {
            (_meter, _duration, _category) = (meter, duration, category);
            _started = duration.Enabled ? meter._time.GetTimestamp() : 0;
            _activity = Source.HasListeners() ? Start(operation, stream) : null;
        }

        /// <summary>What became of an append.</summary>
        public AppendOutcome? Outcome { get; set; }

        /// <summary>How many events were folded.</summary>
        public long Events { get; set; }

        public void Fail(Exception exception)
        {
            _error = exception is StreamException { Code: var code } ? code.ToString() : exception.GetType().FullName;
            if (_activity is not { IsAllDataRequested: true })
                return;
            _activity.SetStatus(ActivityStatusCode.Error, exception.Message);
            _activity.SetTag("error.type", _error);
            _activity.AddException(exception);
        }

        public void Dispose()
        {
            if (_started != 0)
                Record();
            if (Events > 0 && _meter._loaded.Enabled)
                _meter._loaded.Add(Events, Tags(_category));
            _activity?.Dispose();
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private static Activity? Start(string operation, string stream)
        {
            var activity = Source.StartActivity($"{operation} {stream}", ActivityKind.Client);
            if (activity is { IsAllDataRequested: true })
            {
                activity.SetTag("messaging.system", "millrace");
                activity.SetTag("messaging.destination.name", stream);
                activity.SetTag("messaging.operation.name", operation);
            }

            return activity;
        }

        [MethodImpl(MethodImplOptions.NoInlining)]
        private void Record()
        {
            var tags = Tags(_category);
            if (Outcome is { } outcome)
                tags.Add("millrace.event_store.outcome", outcome.ToString().ToLowerInvariant());
            if (_error is not null)
                tags.Add("error.type", _error);
            _duration.Record(_meter._time.GetElapsedTime(_started).TotalSeconds, tags);
        }
    }
}
