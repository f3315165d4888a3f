using Millrace.Streams;

namespace Millrace.Testing;

/// <summary>A message that was published, at once or for later.</summary>
public class PublishedMessage
{
    internal PublishedMessage(string stream, EntryId id, EntryFields fields, DateTimeOffset time, TimeSpan? delay) =>
        (Stream, Id, Headers, Time, Delay) = (stream, id, new(id, fields), time, delay);

    /// <summary>The stream it was published to.</summary>
    public string Stream { get; }

    /// <summary>The ID of its entry; <see cref="EntryId.Zero"/> when it was scheduled, or has not left yet.</summary>
    public EntryId Id { get; }

    /// <summary>Everything its entry says about it.</summary>
    public MessageHeaders Headers { get; }

    /// <summary>The message ID.</summary>
    public string MessageId => Headers.MessageId;

    /// <summary>When it was published.</summary>
    public DateTimeOffset Time { get; }

    /// <summary>How long after <see cref="Time"/> it is due, or <see langword="null"/>: at once.</summary>
    public TimeSpan? Delay { get; }

    /// <inheritdoc/>
    public override string ToString() => $"{Headers.Type} {MessageId} to {Stream}{(Delay is { } delay ? $" in {delay}" : "")}";
}

/// <inheritdoc/>
/// <typeparam name="T">The message type.</typeparam>
public sealed class PublishedMessage<T> : PublishedMessage
{
    internal PublishedMessage(PublishedMessage published, T message)
        : base(published.Stream, published.Id, published.Headers.Fields, published.Time, published.Delay) => Message = message;

    /// <summary>The message, read back from its entry.</summary>
    public T Message { get; }
}
