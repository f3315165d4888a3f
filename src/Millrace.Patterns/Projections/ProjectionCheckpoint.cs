using System.Globalization;
using Millrace.Streams;

namespace Millrace.Projections;

/// <summary>How far a read model has come. Save its text; it sorts by nothing.</summary>
/// <param name="Position">The last entry of the source that is folded in; 0-0: none.</param>
/// <param name="Entries">How many entries the source had been given up to there: tells the lag, and what was trimmed unread.</param>
public readonly record struct ProjectionCheckpoint(EntryId Position, long Entries)
{
    /// <summary>Before the first entry.</summary>
    public static ProjectionCheckpoint Start => default;

    /// <summary>Reads what <see cref="ToString"/> wrote.</summary>
    /// <param name="text">The text.</param>
    /// <exception cref="FormatException">It is something else.</exception>
    public static ProjectionCheckpoint Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        return text.Split(' ') is [var position, var entries] && EntryId.TryParse(position, CultureInfo.InvariantCulture, out var id) &&
            long.TryParse(entries, NumberStyles.None, CultureInfo.InvariantCulture, out var count)
            ? new(id, count)
            : throw new FormatException($"'{text}' is not a checkpoint: expected <entry ID> <number>.");
    }

    /// <summary>The text to save, such as <c>1700000000000-0 42</c>; at most 60 characters of ASCII.</summary>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Position} {Entries}");
}
