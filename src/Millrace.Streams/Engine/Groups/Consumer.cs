namespace Millrace.Streams.Engine;

/// <summary>A named reader in a group.</summary>
internal sealed class Consumer(string name)
{
    public string Name { get; } = name;

    /// <summary>
    /// When it last tried to read or claim. Soft: a read that brings nothing moves it without a journal record, so that an idle consumer
    /// costs no write; after a restart it is the time of the last journaled attempt.
    /// </summary>
    public long SeenMs { get; set; }

    /// <summary>When entries were last really delivered to it or claimed by it, or -1.</summary>
    public long ActiveMs { get; set; } = -1;

    /// <summary>How many pending entries it holds. Kept by <see cref="PendingEntries"/>.</summary>
    public long HeldCount { get; set; }

    /// <summary>Its number among the owners of the group's pending entries. Given by <see cref="PendingEntries"/>.</summary>
    public int Slot { get; set; }

    public Consumer Clone() => new(Name) { SeenMs = SeenMs, ActiveMs = ActiveMs, HeldCount = HeldCount, Slot = Slot };
}
