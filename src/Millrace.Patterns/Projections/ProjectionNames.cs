using System.Globalization;
using Millrace.Streams;

namespace Millrace.Projections;

/// <summary>What a projection keeps, all in the hash slot of its source.</summary>
internal sealed record ProjectionNames(string Projection, string Source)
{
    // With a prefix, a generation and a key of a view the whole name stays within the store's limit.
    public const int MaxNameBytes = 128;

    /// <summary>The field of what is in <see cref="Skipped"/> that says why.</summary>
    public static ReadOnlySpan<byte> SkippedReason => "reason"u8;

    /// <summary>The field of what is in <see cref="Skipped"/> that says which event, by its message ID.</summary>
    public static ReadOnlySpan<byte> SkippedEventId => "event"u8;

    /// <summary>Who runs it, its generations, and what operators want of it.</summary>
    public StateKey Head => new(Source, $"millrace/projection/{Projection}");

    /// <summary>Expires when the process that runs it gives no sign of life.</summary>
    public StateKey Pulse => new(Source, $"millrace/projection/{Projection}/pulse");

    /// <summary>A stream with a note for each change of the head; wakes who waits.</summary>
    public string Notes => StreamNames.Derive(Source, $"projection:{Projection}");

    /// <summary>Events a generation passed over, under their own IDs.</summary>
    public string Skipped(int generation) => StreamNames.Derive(Source, Text($"projection:{Projection}:{generation}:skipped"));

    /// <summary>The keys of the documents a generation has, or once had.</summary>
    public string Keys(int generation) => StreamNames.Derive(Source, Text($"projection:{Projection}:{generation}:keys"));

    /// <summary>Holds the checkpoint of a generation as text.</summary>
    public StateKey Checkpoint(int generation) => new(Source, Text($"millrace/projection/{Projection}/{generation}"));

    public StateKey View(int generation, string key) => new(Source, Text($"millrace/view/{Projection}/{generation}/{key}"));

    private static string Text(FormattableString text) => text.ToString(CultureInfo.InvariantCulture);
}
