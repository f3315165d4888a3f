using System.Diagnostics;
using System.Runtime.CompilerServices;
using Millrace.Monitoring;
using Millrace.Streams;

namespace Millrace;

/// <summary>Spans by the OpenTelemetry messaging names. Tags are built only when somebody records them.</summary>
internal static class Telemetry
{
    private static readonly ActivitySource Source = new(MillraceTelemetry.ActivitySourceName);

    /// <summary>The trace context a message carries: of the send span, or of whatever is going on when nobody listens to ours.</summary>
    public static string? TraceParent => Activity.Current is { IdFormat: ActivityIdFormat.W3C } current ? current.Id : null;

    public static Activity? StartSend(string stream) => Source.HasListeners() ? StartSendSlow(stream) : null;

    public static Activity? StartProcess(string stream, string group, EntryFields fields) =>
        Source.HasListeners() ? StartProcessSlow(stream, group, fields) : null;

    public static void Fail(Activity? activity, Exception exception)
    {
        if (activity is not { IsAllDataRequested: true })
            return;
        activity.SetStatus(ActivityStatusCode.Error, exception.Message);
        activity.SetTag(TelemetryNames.ErrorType, MessageMeter.ErrorType(exception));
        activity.AddException(exception);
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Activity? StartSendSlow(string stream)
    {
        var activity = Source.StartActivity($"send {stream}", ActivityKind.Producer);
        if (activity is { IsAllDataRequested: true })
            AddTags(activity, stream, "send");
        return activity;
    }

    [MethodImpl(MethodImplOptions.NoInlining)]
    private static Activity? StartProcessSlow(string stream, string group, EntryFields fields)
    {
        // One entry, one process span: the producer is its parent, so that a trace reads from the request to the last handler.
        ActivityContext.TryParse(fields.GetText(EnvelopeFieldNames.TraceParent), null, isRemote: true, out var parent);
        var activity = Source.StartActivity($"process {stream}", ActivityKind.Consumer, parent);
        if (activity is { IsAllDataRequested: true })
        {
            AddTags(activity, stream, "process");
            activity.SetTag(TelemetryNames.Group, group);
        }

        return activity;
    }

    private static void AddTags(Activity activity, string stream, string operation)
    {
        activity.SetTag(TelemetryNames.System, TelemetryNames.SystemValue);
        activity.SetTag(TelemetryNames.Destination, stream);
        activity.SetTag(TelemetryNames.OperationName, operation);
    }
}
