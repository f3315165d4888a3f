namespace Millrace.Streams;

/// <summary>One change of a commit. A closed set, made by constructing one of the nested records.</summary>
public abstract record CommitChange
{
    private CommitChange()
    {
    }

    /// <summary>Appends an entry; the stream is made when it is new.</summary>
    /// <param name="Stream">The stream.</param>
    /// <param name="Fields">The entry's fields; at least one.</param>
    /// <param name="Id">
    /// The ID the entry must get, or <see langword="null"/> (usual): the store assigns it. An explicit ID that is not above the stream's
    /// last ID fails the commit with <see cref="StreamErrorCode.IdNotIncreasing"/>.
    /// </param>
    public sealed record Append(string Stream, EntryFields Fields, EntryId? Id = null) : CommitChange;

    /// <summary>Stores a state document, whatever was there.</summary>
    /// <param name="Key">The document.</param>
    /// <param name="Payload">Its new content; may be empty.</param>
    /// <param name="TimeToLive">When the store forgets it, or <see langword="null"/>: never. A put without it takes an earlier one away.</param>
    public sealed record PutState(StateKey Key, ReadOnlyMemory<byte> Payload, TimeSpan? TimeToLive = null) : CommitChange;

    /// <summary>Deletes a state document; nothing happens when there is none.</summary>
    /// <param name="Key">The document.</param>
    public sealed record DeleteState(StateKey Key) : CommitChange;

    /// <summary>Acknowledges an entry; nothing happens when it is not pending.</summary>
    /// <param name="Stream">The stream.</param>
    /// <param name="Group">The group.</param>
    /// <param name="Id">The entry.</param>
    public sealed record Ack(string Stream, string Group, EntryId Id) : CommitChange;

    /// <summary>Acknowledges an entry and deletes it from the stream, for every group; one that is not pending stays.</summary>
    /// <param name="Stream">The stream.</param>
    /// <param name="Group">The group.</param>
    /// <param name="Id">The entry.</param>
    public sealed record AckAndDelete(string Stream, string Group, EntryId Id) : CommitChange;

    /// <summary>
    /// Deletes an entry from the stream, for every group; nothing happens when it is not there. Together with
    /// <see cref="CommitCondition.EntryExists"/> exactly one of several commits does it.
    /// </summary>
    /// <param name="Stream">The stream.</param>
    /// <param name="Id">The entry.</param>
    public sealed record Delete(string Stream, EntryId Id) : CommitChange;

    /// <summary>
    /// Deletes a consumer that holds nothing, at this point of the commit; one with pending entries stays, so that none of them is lost.
    /// Nothing happens when there is no such stream, group or consumer. A consumer that reads on is made again by its read.
    /// </summary>
    /// <param name="Stream">The stream.</param>
    /// <param name="Group">The group.</param>
    /// <param name="Consumer">The consumer.</param>
    public sealed record DeleteConsumer(string Stream, string Group, string Consumer) : CommitChange;

    /// <summary>
    /// Deletes a group with all that nobody else has a use for: its pending entries, its private stream (<see cref="StreamNames.Again"/>) with
    /// what is scheduled for it, and its notes on order (<see cref="StreamNames.Order"/>). Its dead letters and documents stay. Nothing happens
    /// where there is none of it. Waiting readers fail with <see cref="StreamErrorCode.NoGroup"/>. Use it with
    /// <see cref="CommitCondition.GroupIs"/>. A commit with it adds no entries, now or later.
    /// </summary>
    /// <param name="Stream">The stream.</param>
    /// <param name="Group">The group.</param>
    public sealed record DestroyGroup(string Stream, string Group) : CommitChange;

    /// <summary>
    /// Gives an entry back to its group: its fields move to the group's private stream (<see cref="StreamNames.Again"/>), at once or after
    /// the delay, and the entry is acknowledged. Other groups see nothing. The copy gets the fields of <see cref="EntryFieldNames"/> that
    /// name its source and keep its earlier deliveries, so that a delivery that was given back does not count. An entry that was deleted
    /// meanwhile is only acknowledged. Use it with <see cref="CommitCondition.StillHeld"/>.
    /// </summary>
    /// <param name="Stream">The stream.</param>
    /// <param name="Group">The group; the store makes it on the private stream when it is missing there.</param>
    /// <param name="Entry">The entry; earlier deliveries kept are its delivery count less one.</param>
    /// <param name="Delay">When it is to be delivered again; zero: at once.</param>
    public sealed record Release(string Stream, string Group, HeldEntry Entry, TimeSpan Delay = default) : CommitChange;

    /// <summary>Keeps an entry in the store and appends it when the delay is over.</summary>
    /// <param name="Stream">The stream it will be appended to.</param>
    /// <param name="Fields">The entry's fields; at least one.</param>
    /// <param name="Delay">From the moment of the commit, by the store's clock.</param>
    public sealed record Schedule(string Stream, EntryFields Fields, TimeSpan Delay) : CommitChange;
}
