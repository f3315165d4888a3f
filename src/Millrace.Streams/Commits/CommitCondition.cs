namespace Millrace.Streams;

/// <summary>Something that must hold at the moment a commit is applied. A closed set, made by the factory methods.</summary>
public abstract record CommitCondition
{
    private CommitCondition()
    {
    }

    /// <summary>
    /// The stream's last generated ID is exactly <paramref name="lastId"/>: nobody appended since. 0-0 holds for a stream that exists and
    /// never had an entry; for one that does not exist nothing holds but <see cref="NoStream"/>.
    /// </summary>
    public static CommitCondition LastIdIs(string stream, EntryId lastId) => new LastId(stream, lastId);

    /// <summary>The stream does not exist.</summary>
    public static CommitCondition NoStream(string stream) => new LastId(stream, null);

    /// <summary>The state document has this version: nobody changed it since it was read.</summary>
    public static CommitCondition StateIs(StateKey key, long version) => new State(key, version);

    /// <summary>The state document does not exist, or its time to live is over.</summary>
    public static CommitCondition StateAbsent(StateKey key) => new State(key, null);

    /// <summary>The entry is pending for this consumer with this delivery count: the lease holds.</summary>
    public static CommitCondition StillHeld(string stream, string group, string consumer, HeldEntry held) =>
        new Held(stream, group, consumer, held);

    /// <summary>The stream has the entry: nobody deleted or trimmed it.</summary>
    public static CommitCondition EntryExists(string stream, EntryId id) => new Exists(stream, id);

    /// <summary>The stream has the entry, and no group of it was given the entry or anything after it: it still waits for all of them.</summary>
    public static CommitCondition EntryUnread(string stream, EntryId id) => new Unread(stream, id);

    /// <summary>
    /// The group is as it was when <see cref="IStreamStore.GetGroupsAsync"/> told of it: it was given nothing since, as much is pending, and it knows
    /// as many consumers.
    /// </summary>
    public static CommitCondition GroupIs(string stream, GroupInfo group)
    {
        ArgumentNullException.ThrowIfNull(group);
        return new Stands(stream, group.Name, group.LastDeliveredId, group.PendingCount, group.ConsumerCount);
    }

    /// <summary>See <see cref="LastIdIs"/> and <see cref="CommitCondition.NoStream"/>.</summary>
    /// <param name="Stream">The stream.</param>
    /// <param name="Expected">Its last generated ID, or <see langword="null"/>: the stream does not exist.</param>
    public sealed record LastId(string Stream, EntryId? Expected) : CommitCondition;

    /// <summary>See <see cref="StateIs"/> and <see cref="StateAbsent"/>.</summary>
    /// <param name="Key">The document.</param>
    /// <param name="Expected">Its version, or <see langword="null"/>: it does not exist.</param>
    public sealed record State(StateKey Key, long? Expected) : CommitCondition;

    /// <summary>See <see cref="StillHeld"/>. A missing stream or group means: not held.</summary>
    /// <param name="Stream">The stream.</param>
    /// <param name="Group">The group.</param>
    /// <param name="Consumer">The consumer that must hold the entry.</param>
    /// <param name="Entry">The entry with the delivery count at which the consumer got it.</param>
    public sealed record Held(string Stream, string Group, string Consumer, HeldEntry Entry) : CommitCondition;

    /// <summary>See <see cref="EntryExists"/>. A missing stream has no entry.</summary>
    /// <param name="Stream">The stream.</param>
    /// <param name="Id">The entry.</param>
    public sealed record Exists(string Stream, EntryId Id) : CommitCondition;

    /// <summary>See <see cref="EntryUnread"/>. A missing stream has no entry.</summary>
    /// <param name="Stream">The stream.</param>
    /// <param name="Id">The entry.</param>
    public sealed record Unread(string Stream, EntryId Id) : CommitCondition;

    /// <summary>See <see cref="GroupIs"/>. It does not hold where there is no such stream or group.</summary>
    /// <param name="Stream">The stream.</param>
    /// <param name="Group">The group.</param>
    /// <param name="LastDelivered">The last entry delivered to anyone in it.</param>
    /// <param name="PendingCount">Entries pending.</param>
    /// <param name="ConsumerCount">Consumers it knows.</param>
    public sealed record Stands(string Stream, string Group, EntryId LastDelivered, long PendingCount, int ConsumerCount) : CommitCondition;
}
