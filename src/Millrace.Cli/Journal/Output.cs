using System.Globalization;
using System.Text.Json.Serialization;
using Millrace.Embedded.Inspection;
using Millrace.Streams;

namespace Millrace.Cli.Journal;

/// <summary>What <c>--json</c> prints.</summary>
/// <param name="Report">The directory.</param>
/// <param name="Records">The records asked for, or <see langword="null"/>.</param>
internal sealed record InspectOutput(DirectoryReport Report, IReadOnlyList<NumberedRecord>? Records);

/// <summary>A record with its number; one that this release cannot read says why.</summary>
/// <param name="Lsn">The log sequence number.</param>
/// <param name="Record">The record, or <see langword="null"/>.</param>
/// <param name="Unreadable">Why not.</param>
internal sealed record NumberedRecord(long Lsn, RecordText? Record, string? Unreadable)
{
    public static NumberedRecord Read(long lsn, ReadOnlySpan<byte> record)
    {
        try
        {
            return new(lsn, RecordText.Read(record), null);
        }
        catch (StreamException e)
        {
            return new(lsn, null, e.Message);
        }
    }

    public override string ToString()
    {
        if (Record is not { } record)
            return $"{Lsn} unreadable: {Unreadable}";
        var moment = record.Moment.UtcDateTime.ToString("yyyy-MM-dd'T'HH:mm:ss.fff'Z'", CultureInfo.InvariantCulture);
        string[] parts = [$"{Lsn} {moment} db{record.Database} {record.Kind}", record.Key, record.Details];
        return string.Join(' ', parts.Where(static part => part.Length > 0));
    }
}

[JsonSourceGenerationOptions(
    PropertyNamingPolicy = JsonKnownNamingPolicy.CamelCase, DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingNull, WriteIndented = true)]
[JsonSerializable(typeof(InspectOutput))]
internal sealed partial class OutputContext : JsonSerializerContext;
