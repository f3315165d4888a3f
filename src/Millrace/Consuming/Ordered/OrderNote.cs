using Millrace.Streams;

namespace Millrace.Consuming.Ordered;

/// <summary>An entry of an ordered group's log. Each goes when what it tells is over.</summary>
internal sealed record OrderNote
{
    private const string ParkedKind = "parked", LeftKind = "left", ResumeKind = "resume", SkipKind = "skip";

    /// <summary>The note's own ID.</summary>
    public EntryId Id { get; private init; }

    /// <summary>The key it is about, or <see langword="null"/>.</summary>
    public string? Key { get; private init; }

    /// <summary>The entry that an operator saw at the head of the key: when another one is there meanwhile, nothing is done.</summary>
    public EntryId Head { get; private init; }

    /// <summary>Who asks.</summary>
    public string By { get; private init; } = "";

    /// <summary>The key has a document, written in the same commit.</summary>
    public bool IsParked { get; private init; }

    /// <summary>An operator asks to try the head now.</summary>
    public bool IsResume { get; private init; }

    /// <summary>An operator asks to give the head up.</summary>
    public bool IsSkip { get; private init; }

    public static EntryFields Parked(string key) => EntryFields.Create(("kind", ParkedKind), ("key", key));

    public static EntryFields Left(string consumer) => EntryFields.Create(("kind", LeftKind), ("by", consumer));

    public static EntryFields Ask(bool isSkip, string key, EntryId head, string by) =>
        EntryFields.Create(("kind", isSkip ? SkipKind : ResumeKind), ("key", key), ("head", head.ToString()), ("by", by));

    public static OrderNote Read(StreamEntry entry)
    {
        var kind = entry.Fields.GetText("kind"u8);
        return new()
        {
            Id = entry.Id,
            Key = entry.Fields.GetText("key"u8),
            Head = entry.Fields.TryGet("head"u8, out var text) && EntryId.TryParse(text.Span, out var head) ? head : default,
            By = entry.Fields.GetText("by"u8) ?? "",
            IsParked = kind == ParkedKind,
            IsResume = kind == ResumeKind,
            IsSkip = kind == SkipKind,
        };
    }
}
