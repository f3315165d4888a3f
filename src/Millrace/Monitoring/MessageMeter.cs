using System.Diagnostics;
using System.Diagnostics.Metrics;
using System.Runtime.CompilerServices;
using Millrace.Consuming;
using Millrace.Hosting;
using Millrace.Messages;
using Millrace.Streams;

namespace Millrace.Monitoring;

/// <summary>
/// What this process does with messages, counted and timed. Nothing is allocated while nobody listens, and no clock is read; tags are
/// built on the stack and only of names the application declared. The figures about groups are <see cref="GroupSampler"/>'s.
/// </summary>
internal sealed class MessageMeter : IDisposable
{
    // What the convention advises for durations, in seconds.
    private static readonly InstrumentAdvice<double> DurationBuckets = new()
    {
        HistogramBucketBoundaries = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10],
    };

    private readonly TimeProvider _time;
    private readonly Histogram<double> _operationDuration;
    private readonly Histogram<double> _processDuration;
    private readonly Counter<long> _sent;
    private readonly Counter<long> _consumed;
    private readonly Counter<long> _redeliveries;
    private readonly Counter<long> _claims;
    private readonly Counter<long> _retries;
    private readonly Counter<long> _deadLetters;
    private readonly Counter<long> _losses;
    private readonly Counter<long> _ignored;
    private readonly Counter<long> _duplicates;
    private readonly Counter<long> _trips;

    /// <param name="time">The clock of the durations.</param>
    /// <param name="factory">Where the host makes its meters; without one the meter is of nobody in particular.</param>
    public MessageMeter(TimeProvider time, IMeterFactory? factory = null)
    {
        _time = time;
        Meter = factory?.Create(MillraceTelemetry.MeterName) ?? new Meter(MillraceTelemetry.MeterName);
        _operationDuration = Meter.CreateHistogram(
            "messaging.client.operation.duration", "s", "Time until the store took what was published, or failed.", null, DurationBuckets);
        _processDuration = Meter.CreateHistogram(
            "messaging.process.duration", "s", "Time of one run of a handler.", null, DurationBuckets);
        _sent = Meter.CreateCounter<long>(
            "messaging.client.sent.messages", "{message}", "Messages published, or with an error those that failed.");
        _consumed = Meter.CreateCounter<long>(
            "messaging.client.consumed.messages", "{message}", "Deliveries that arrived here, each one counted.");
        _redeliveries = Meter.CreateCounter<long>(
            "millrace.redeliveries", "{message}", "Deliveries among them that were not their message's first to the group.");
        _claims = Meter.CreateCounter<long>(
            "millrace.claims", "{message}", "Pending entries taken over: idle ones, and this consumer's own of a previous run.");
        _retries = Meter.CreateCounter<long>(
            "millrace.retries", "{message}", "Messages put back for another attempt of the group.");
        _deadLetters = Meter.CreateCounter<long>(
            "millrace.dead_letters", "{message}", "Messages moved to the dead letters of the group.");
        _losses = Meter.CreateCounter<long>(
            "millrace.losses", "{loss}", "Times the store was found to have forgotten a group, entries or IDs.");
        _ignored = Meter.CreateCounter<long>(
            "millrace.ignored", "{message}", "Entries that cannot be decoded, acknowledged unread as the group's policy says.");
        _duplicates = Meter.CreateCounter<long>(
            "millrace.duplicates", "{message}", "Messages acknowledged without a handler: the group had handled their IDs already.");
        _trips = Meter.CreateCounter<long>(
            "millrace.breaker.trips", "{trip}", "Times the breaker of the group has opened in this process, its pauses not counted.");
    }

    public Meter Meter { get; }

    /// <summary>Begins to measure a publish.</summary>
    public SendMeasurement StartSend(string stream, int count, bool isScheduled) =>
        new(this, stream, count, isScheduled, _operationDuration.Enabled ? _time.GetTimestamp() : 0);

    /// <summary>The moment a handler begins, or 0 when nobody wants to know.</summary>
    public long StartProcess() => _processDuration.Enabled ? _time.GetTimestamp() : 0;

    /// <summary>A handler has ended.</summary>
    /// <param name="started">What <see cref="StartProcess"/> gave.</param>
    /// <param name="plan">Its group.</param>
    /// <param name="type">The registered type of its message.</param>
    /// <param name="failure">What it threw, if it did.</param>
    public void EndProcess(long started, GroupPlan plan, MessageType type, Exception? failure)
    {
        if (started == 0)
            return;
        var tags = GroupTags(plan);
        tags.Add(TelemetryNames.OperationName, "process");
        tags.Add(TelemetryNames.MessageType, type.Name);
        if (failure is not null)
            tags.Add(TelemetryNames.ErrorType, ErrorType(failure));
        _processDuration.Record(_time.GetElapsedTime(started).TotalSeconds, tags);
    }

    /// <summary>Entries have arrived in this process.</summary>
    public void Received(GroupPlan plan, bool isAgain, bool isRecovered, IReadOnlyList<DeliveredEntry> entries)
    {
        if (_consumed.Enabled || _redeliveries.Enabled || _claims.Enabled)
            ReceivedSlow(plan, isAgain, isRecovered, entries);
    }

    /// <summary>The commit was applied that settles a message.</summary>
    /// <param name="plan">Its group.</param>
    /// <param name="action">What became of it.</param>
    /// <param name="outputs">What left with it.</param>
    public void Settled(GroupPlan plan, SettleAction action, CommitOutputs? outputs)
    {
        if (action is SettleAction.Retry && _retries.Enabled)
            Add(_retries, plan);
        else if (action is SettleAction.DeadLetter dead && _deadLetters.Enabled)
            AddDeadLetter(plan, dead.Reason);
        if (outputs is not null)
            Sent(outputs);
    }

    /// <summary>An entry is acknowledged that cannot be decoded.</summary>
    public void Ignored(GroupPlan plan, string reason)
    {
        var tags = GroupTags(plan);
        tags.Add(TelemetryNames.OperationName, "settle");
        tags.Add(TelemetryNames.DeadLetterReason, BoundedReason(reason));
        _ignored.Add(1, tags);
    }

    /// <summary>A message is acknowledged that the group has handled already.</summary>
    public void Duplicate(GroupPlan plan) => Add(_duplicates, plan);

    /// <summary>A breaker has opened.</summary>
    public void Tripped(GroupPlan plan) => Add(_trips, plan);

    /// <summary>A commit with these was applied, or failed.</summary>
    public void Sent(CommitOutputs outputs, Exception? failure = null)
    {
        if (!_sent.Enabled)
            return;
        foreach (var change in outputs.Published())
        {
            if (change is CommitChange.Append append)
                _sent.Add(1, SendTags(append.Stream, isScheduled: false, failure));
            else if (change is CommitChange.Schedule schedule)
                _sent.Add(1, SendTags(schedule.Stream, isScheduled: true, failure));
        }
    }

    /// <summary>The store has forgotten something.</summary>
    public void Lost(GroupPlan plan, StreamLossKind kind)
    {
        if (!_losses.Enabled)
            return;
        var tags = GroupTags(plan);
        tags.Add(TelemetryNames.LossKind, kind switch
        {
            StreamLossKind.GroupVanished => "group",
            StreamLossKind.EntriesVanished => "entries",
            _ => "pending",
        });
        _losses.Add(1, tags);
    }

    public void Dispose() => Meter.Dispose();

    /// <summary>Of few values: the code of a store's refusal, the class of any other exception.</summary>
    public static string ErrorType(Exception exception) =>
        exception is StreamException refusal ? refusal.Code.ToString() : exception.GetType().FullName ?? exception.GetType().Name;

    internal static TagList GroupTags(GroupPlan plan) => new()
    {
        { TelemetryNames.System, TelemetryNames.SystemValue },
        { TelemetryNames.Destination, plan.Stream },
        { TelemetryNames.Group, plan.Group },
    };

    private void EndSend(in SendMeasurement send, Exception? failure)
    {
        if (!_sent.Enabled && send.Started == 0)
            return;
        var tags = SendTags(send.Stream, send.IsScheduled, failure);
        _sent.Add(send.Count, tags);
        if (send.Started == 0)
            return;
        tags.Add(TelemetryNames.OperationType, "send");
        _operationDuration.Record(_time.GetElapsedTime(send.Started).TotalSeconds, tags);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private void ReceivedSlow(GroupPlan plan, bool isAgain, bool isRecovered, IReadOnlyList<DeliveredEntry> entries)
    {
        // In the private stream a copy says where it is from; a saga's time-out is published there, and is new.
        var again = 0;
        for (var i = 0; i < entries.Count; i++)
            again += entries[i].DeliveryCount > 1 || (isAgain && entries[i].Fields.TryGet(EnvelopeFieldNames.SourceId, out _)) ? 1 : 0;

        var tags = GroupTags(plan);
        tags.Add(TelemetryNames.OperationName, "receive");
        _consumed.Add(entries.Count, tags);
        if (again > 0)
            _redeliveries.Add(again, tags);
        if (isRecovered)
            _claims.Add(entries.Count, tags);
    }

    private void AddDeadLetter(GroupPlan plan, string reason)
    {
        var tags = GroupTags(plan);
        tags.Add(TelemetryNames.OperationName, "settle");
        tags.Add(TelemetryNames.DeadLetterReason, BoundedReason(reason));
        _deadLetters.Add(1, tags);
    }

    private static void Add(Counter<long> counter, GroupPlan plan)
    {
        var tags = GroupTags(plan);
        tags.Add(TelemetryNames.OperationName, "settle");
        counter.Add(1, tags);
    }

    private static TagList SendTags(string stream, bool isScheduled, Exception? failure)
    {
        var tags = new TagList
        {
            { TelemetryNames.System, TelemetryNames.SystemValue },
            { TelemetryNames.Destination, stream },
            { TelemetryNames.OperationName, isScheduled ? "schedule" : "send" },
        };
        if (failure is not null)
            tags.Add(TelemetryNames.ErrorType, ErrorType(failure));
        return tags;
    }

    /// <summary>What a handler gives as its reason may be different each time.</summary>
    private static string BoundedReason(string reason) => reason switch
    {
        DeadLetterReasons.AttemptsExhausted or DeadLetterReasons.NotRetried or DeadLetterReasons.DeliveryLimit or DeadLetterReasons.Skipped
            or DeadLetterReasons.TooLarge or DeadLetterReasons.UnknownType or DeadLetterReasons.UnknownVersion or DeadLetterReasons.UndecodableData => reason,
        _ => "rejected",
    };

    /// <summary>One publish on its way.</summary>
    /// <param name="Meter">Where it counts.</param>
    /// <param name="Stream">Where it goes.</param>
    /// <param name="Count">How many messages it has.</param>
    /// <param name="IsScheduled">Whether they have a delay.</param>
    /// <param name="Started">When it began; 0: nobody wants to know.</param>
    internal readonly record struct SendMeasurement(MessageMeter Meter, string Stream, int Count, bool IsScheduled, long Started)
    {
        public void End(Exception? failure = null) => Meter.EndSend(this, failure);
    }
}
