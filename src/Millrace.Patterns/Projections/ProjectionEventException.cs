using Millrace.EventSourcing;
using Millrace.Streams;

namespace Millrace.Projections;

/// <summary>An event cannot be folded into a read model, now or ever: thrown by targets, and for folds of views that throw.</summary>
public sealed class ProjectionEventException : Exception
{
    /// <summary>Makes the exception.</summary>
    /// <param name="one">The event.</param>
    /// <param name="innerException">What the fold threw.</param>
    public ProjectionEventException(RecordedEvent one, Exception innerException)
        : base(Describe(one, innerException), innerException) => EntryId = one.EntryId;

    /// <summary>The entry of the source with the event.</summary>
    public EntryId EntryId { get; }

    private static string Describe(RecordedEvent one, Exception innerException)
    {
        ArgumentNullException.ThrowIfNull(one);
        ArgumentNullException.ThrowIfNull(innerException);
        return $"The event '{one.Headers.Type}' at {one.EntryId} cannot be folded in: {innerException.GetType().Name}: {innerException.Message}";
    }
}
