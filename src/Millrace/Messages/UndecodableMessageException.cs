using Millrace.Streams;

namespace Millrace;

/// <summary>An entry cannot be read as a message: its type or version is not registered, or its data are not that message.</summary>
public sealed class UndecodableMessageException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="entryId">The entry.</param>
    /// <param name="fields">Its fields.</param>
    /// <param name="reason">One of <see cref="DeadLetterReasons"/>.</param>
    /// <param name="innerException">What the data or an upcaster said.</param>
    public UndecodableMessageException(EntryId entryId, EntryFields fields, string reason, Exception? innerException = null)
        : base($"The entry {entryId} of type '{new MessageHeaders(entryId, fields).Type}' cannot be read: {reason}.", innerException) =>
        (EntryId, Fields, Reason) = (entryId, fields, reason);

    /// <summary>The entry.</summary>
    public EntryId EntryId { get; }

    /// <summary>Its fields, as they are.</summary>
    public EntryFields Fields { get; }

    /// <summary>One of <see cref="DeadLetterReasons"/>.</summary>
    public string Reason { get; }
}
