using Millrace.Streams;

namespace Millrace.Consuming;

/// <summary>What came of settling.</summary>
internal readonly record struct SettleResult
{
    public static SettleResult Done => Applied([]);

    public static SettleResult Applied(IReadOnlyList<EntryId> ids) => new() { IsApplied = true, Ids = ids };

    /// <summary>
    /// Nothing was written: the entry stays pending, here or with its new owner. Of a delivery that is in doubt nobody knows: all may have been.
    /// </summary>
    public static SettleResult LetGo => default;

    public bool IsApplied { get; private init; }

    /// <summary>The IDs of the entries appended, when it was applied.</summary>
    public IReadOnlyList<EntryId>? Ids { get; private init; }

    /// <summary>What no longer held: a state document that changed since the handler read it, or what it required.</summary>
    public CommitCondition? Conflict { get; init; }

    /// <summary>Why the store will never take the handler's effects.</summary>
    public StreamException? Refusal { get; init; }
}
