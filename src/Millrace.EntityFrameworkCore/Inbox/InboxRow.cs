using System.Security.Cryptography;
using System.Text;

namespace Millrace.EntityFrameworkCore;

/// <summary>A message that a consumer group has handled: written in the transaction of what its handler did.</summary>
public sealed class InboxRow
{
    // Together they must fit the entry of an index, also where a character has several bytes.
    internal const int MaxLength = 200;

    internal InboxRow(string consumer, string messageId) => (Consumer, MessageId) = (consumer, messageId);

    /// <summary>Stream and group, as <c>orders/billing</c>.</summary>
    public string Consumer { get; private set; }

    /// <summary>The message ID.</summary>
    public string MessageId { get; private set; }

    /// <summary>When its transaction handled it, by the clock of the database.</summary>
    public DateTime HandledAt { get; private set; }

    internal static InboxRow Of(MessageContext context) => new(Fit($"{context.Stream}/{context.Group}"), Fit(context.MessageId));

    /// <summary>A text that does not fit keeps its beginning, for people, and a hash of the whole, to be unique.</summary>
    private static string Fit(string text)
    {
        // PostgreSQL has no zero characters.
        if (text.Length <= MaxLength && !text.Contains('\0', StringComparison.Ordinal))
            return text;
        var hash = Convert.ToHexStringLower(SHA256.HashData(Encoding.UTF8.GetBytes(text)));
        var start = text[..Math.Min(text.Length, MaxLength - hash.Length - 1)].Replace("\0", "", StringComparison.Ordinal);
        return start.Length > 0 && char.IsHighSurrogate(start[^1]) ? $"{start[..^1]}~{hash}" : $"{start}~{hash}";
    }
}
