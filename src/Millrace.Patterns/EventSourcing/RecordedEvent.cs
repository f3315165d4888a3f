using Millrace.Streams;

namespace Millrace.EventSourcing;

/// <summary>An event as it was recorded.</summary>
/// <param name="Stream">The stream it was appended to, also when it was read from a category.</param>
/// <param name="Version">Its place in that stream: 1 for the first. The first part of the entry ID, if another program appended it.</param>
/// <param name="Event">The event, brought to its newest version by upcasters.</param>
/// <param name="EntryId">Its ID in the stream it was read from. In a category: where to read on.</param>
/// <param name="Headers">What came with it: event ID, time, correlation, causation and headers of the application.</param>
public sealed record RecordedEvent(string Stream, long Version, object Event, EntryId EntryId, MessageHeaders Headers)
{
    /// <summary>Reads an event from any stream: of an aggregate, of a category, or of messages.</summary>
    /// <exception cref="UndecodableMessageException">It cannot be read.</exception>
    internal static RecordedEvent Read(MessageCodec codec, string source, StreamEntry entry)
    {
        var (stream, version) = EventStoreNames.TryReadOrigin(entry.Fields, out var origin) ? origin : (source, (long)entry.Id.Milliseconds);
        return new(stream, version, codec.Decode(entry.Id, entry.Fields), entry.Id, new(entry.Id, entry.Fields));
    }
}
