namespace Millrace;

/// <summary>
/// The names to give to a telemetry SDK: <c>AddMeter(MillraceTelemetry.MeterName)</c>. What is measured and traced is listed in
/// <c>docs/telemetry.md</c>.
/// </summary>
public static class MillraceTelemetry
{
    /// <summary>The <c>Meter</c> of all instruments: <c>Millrace</c>.</summary>
    public const string MeterName = "Millrace";

    /// <summary>The <c>ActivitySource</c> of all spans: <c>Millrace</c>.</summary>
    public const string ActivitySourceName = "Millrace";
}
