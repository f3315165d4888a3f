namespace Millrace.Streams.Engine;

/// <summary>The engine's refusals, each with what to do about it.</summary>
internal static class EngineErrors
{
    public static StreamException WrongType(string key) =>
        new(StreamErrorCode.WrongType,
            $"The key '{key}' holds another type of value. Streams, state documents and schedules need keys of their own.");

    public static StreamException NoDocument(string key) =>
        new(StreamErrorCode.WrongType, $"The key '{key}' holds a string that is no state document: it has no version.");

    public static StreamException NoGroup(string stream, string group) =>
        new(StreamErrorCode.NoGroup, $"There is no consumer group '{group}' on stream '{stream}'. Create it first.");

    public static StreamException IdNotIncreasing(string stream, EntryId id, EntryId last) =>
        new(StreamErrorCode.IdNotIncreasing, $"The ID {id} is not above {last}, the last ID of stream '{stream}'.");

    public static StreamException IdsUsedUp(string stream) =>
        new(StreamErrorCode.IdNotIncreasing,
            $"The IDs of stream '{stream}' are used up: its last ID is the largest there is. Delete the stream.");

    public static StreamException Damaged(string what, int offset) =>
        new(StreamErrorCode.Corrupt, $"A journal record is damaged at its byte {offset}: {what}.");
}
