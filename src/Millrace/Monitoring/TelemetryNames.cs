namespace Millrace.Monitoring;

/// <summary>Attribute names of the OpenTelemetry messaging conventions (1.44.0), and ours where there is none.</summary>
internal static class TelemetryNames
{
    public const string System = "messaging.system";
    public const string Destination = "messaging.destination.name";
    public const string Group = "messaging.consumer.group.name";
    public const string OperationName = "messaging.operation.name";
    public const string OperationType = "messaging.operation.type";
    public const string ErrorType = "error.type";
    public const string MessageType = "millrace.message.type";
    public const string LossKind = "millrace.loss.kind";
    public const string ConsumerState = "millrace.consumer.state";
    public const string DeadLetterReason = "millrace.dead_letter.reason";

    /// <summary>The convention has no value for Redis Streams; what is behind the contract is the operator's business.</summary>
    public const string SystemValue = "millrace";
}
