namespace Millrace.EntityFrameworkCore;

/// <summary>
/// A message in the outbox of a database: written with the application's own changes, taken by a relay. Applications write it with <c>db.Publish</c>;
/// they may
/// read it, as to show what is parked.
/// </summary>
public sealed class OutboxRow
{
    internal OutboxRow(string stream, long token, long orderKey, byte[] fields) =>
        (Stream, Token, OrderKey, Fields) = (stream, token, orderKey, fields);

    /// <summary>Numbers the rows as they were inserted: the order in which they are relayed. A lower number may be committed after a higher one.</summary>
    public long Id { get; private set; }

    /// <summary>
    /// Random, given when the row is made. A database that is restored gives its numbers a second time; together with this they are still unique.
    /// </summary>
    public long Token { get; private set; }

    /// <summary>The stream.</summary>
    public string Stream { get; private set; }

    /// <summary>Rows with the same one keep their order also when one of them is refused, until that one is parked: a hash of stream and partition key,
    /// random without such a key.</summary>
    public long OrderKey { get; private set; }

    /// <summary>The fields of the entry, as <see cref="Streams.EntryFields.Packed"/>: the message is serialized when it is published.</summary>
    public byte[] Fields { get; private set; }

    /// <summary>How long the store keeps the message before it appends it, or <see langword="null"/>: not at all.</summary>
    public long? DelayMilliseconds { get; internal set; }

    /// <summary>When the row was inserted, by the clock of the database.</summary>
    public DateTime CreatedAt { get; private set; }

    /// <summary>What became of the row.</summary>
    public OutboxRowState State { get; private set; }

    /// <summary>When it was relayed or parked, by the clock of the database.</summary>
    public DateTime? SettledAt { get; private set; }

    /// <summary>How often the store refused it.</summary>
    public int Attempts { get; private set; }

    /// <summary>Why the store refused it last.</summary>
    public string? Error { get; private set; }
}
