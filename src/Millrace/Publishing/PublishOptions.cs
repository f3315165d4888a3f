using Millrace.Streams;

namespace Millrace;

/// <summary>What a publisher may say about a message besides the message itself. Everything is optional.</summary>
public sealed record PublishOptions
{
    /// <summary>
    /// The message ID. Default: a new UUID version 7; for an output of a handler, one derived from the handled message, so that a
    /// redelivery
    /// publishes the same ID.
    /// </summary>
    public string? MessageId { get; init; }

    /// <summary>
    /// The conversation the message belongs to. Default: the message starts one; an output of a handler goes on with the handled one's.
    /// </summary>
    public string? CorrelationId { get; init; }

    /// <summary>The message that caused this one. Default: none; for an output of a handler, the handled message.</summary>
    public string? CausationId { get; init; }

    /// <summary>What the message is about, within its source. Default: not written.</summary>
    public string? Subject { get; init; }

    /// <summary>The key whose messages belong together in order. Default: not written.</summary>
    public string? PartitionKey { get; init; }

    /// <summary>
    /// Publishes the message when this time is over, by the store's clock; the store keeps it until then. Default: at once. At most
    /// <see cref="StreamLimits.MaxDuration"/>.
    /// </summary>
    public TimeSpan? Delay { get; init; }

    /// <summary>The priority lane of the stream, see <see cref="MillraceBuilder.AddLanes"/>. Default: the stream itself.</summary>
    public string? Lane { get; init; }

    /// <summary>What to keep of the stream afterwards. Only for publishing at once and outside a commit. Default: everything.</summary>
    public StreamTrim? Trim { get; init; }

    /// <summary>
    /// Further fields of the entry. Names of the characters a-z and 0-9, none of <see cref="EnvelopeFieldNames"/>. Default: none.
    /// </summary>
    public IReadOnlyDictionary<string, string>? Headers { get; init; }
}
