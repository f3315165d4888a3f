using System.Text;
using Millrace.Streams;

namespace Millrace.EventSourcing;

/// <summary>What the event store keeps beside a stream.</summary>
internal static class EventStoreNames
{
    /// <summary>On a copy in a category: the stream the event was appended to.</summary>
    public static ReadOnlySpan<byte> OriginStream => "eventstream"u8;

    /// <summary>On a copy in a category: the event's version there.</summary>
    public static ReadOnlySpan<byte> OriginVersion => "eventversion"u8;

    public static bool IsOrigin(string header) => header is "eventstream" or "eventversion";

    /// <summary>Exists when the stream was deleted; holds the version of the tombstone as text.</summary>
    public static StateKey Deleted(string stream) => new(stream, "millrace/events/deleted");

    /// <summary>What the commit with this command ID appended; holds the version of its last event as text.</summary>
    public static StateKey Command(string stream, string commandId) => new(stream, $"millrace/events/command/{commandId}");

    /// <summary>The last snapshot of a fold.</summary>
    public static StateKey Snapshot(string stream) => new(stream, "millrace/events/snapshot");

    /// <summary>The copy of an event that goes to its category.</summary>
    public static EntryFields Copy(EntryFields fields, string stream, long version)
    {
        var writer = new EntryFieldsWriter();
        foreach (var field in fields)
            writer.Add(field.Name.Span, field.Value.Span);
        writer.Add(OriginStream, stream);
        writer.Add(OriginVersion, Text(version));
        return writer.ToFields();
    }

    /// <summary>Where a copy in a category came from.</summary>
    public static bool TryReadOrigin(EntryFields fields, out (string Stream, long Version) origin)
    {
        origin = default;
        if (fields.GetText(OriginStream) is not { } stream || !fields.TryGet(OriginVersion, out var text) ||
            !long.TryParse(text.Span, System.Globalization.CultureInfo.InvariantCulture, out var version))
            return false;
        origin = (stream, version);
        return true;
    }

    public static byte[] Text(long version) => Encoding.ASCII.GetBytes(version.ToString(System.Globalization.CultureInfo.InvariantCulture));

    /// <summary>Reads what <see cref="Text"/> wrote.</summary>
    /// <exception cref="FormatException">It is something else.</exception>
    public static long Version(ReadOnlySpan<byte> text) => long.Parse(text, System.Globalization.CultureInfo.InvariantCulture);
}
