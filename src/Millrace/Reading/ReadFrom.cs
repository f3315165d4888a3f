using Millrace.Streams;

namespace Millrace;

/// <summary>Where a read without a group begins.</summary>
public readonly record struct ReadFrom
{
    /// <summary>With the first entry of the stream.</summary>
    public static ReadFrom Start => default;

    /// <summary>After the last entry at the moment the read begins.</summary>
    public static ReadFrom Now => new() { IsNow = true };

    /// <summary>Whether the read begins after the last entry of its moment.</summary>
    public bool IsNow { get; private init; }

    /// <summary>The ID after which the read begins, when not <see cref="IsNow"/>.</summary>
    public EntryId Position { get; private init; }

    /// <summary>After an entry ID: where an earlier read left off.</summary>
    public static ReadFrom After(EntryId id) => new() { Position = id };

    /// <summary>With the first entry of a moment, by the store's clock.</summary>
    public static ReadFrom Time(DateTimeOffset time)
    {
        var first = EntryId.FromTime(time);
        return new() { Position = first == EntryId.Zero ? first : first.Previous() };
    }
}
