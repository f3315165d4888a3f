using Millrace.Streams;

namespace Millrace.Consuming.Ordered;

/// <summary>An entry that waits for its turn.</summary>
/// <param name="IsAgain">Whether it is pending in the group's private stream.</param>
/// <param name="Id">Its ID.</param>
/// <param name="DeliveryCount">Its delivery count when it was read or listed.</param>
/// <param name="IsOurs">Whether this tenure read it; what an earlier one left is claimed when its turn comes, which counts.</param>
/// <param name="Fields">Its fields, or <see langword="null"/>: they are read again when its turn comes.</param>
internal readonly record struct WaitingEntry(bool IsAgain, EntryId Id, long DeliveryCount, bool IsOurs, EntryFields? Fields = null);

/// <summary>How a turn ended.</summary>
internal enum TurnEnd
{
    /// <summary>Nothing was written: the entry is pending as before.</summary>
    None,

    /// <summary>The entry is settled, and the next one of its key may run.</summary>
    Settled,

    /// <summary>The entry failed and stays the first of its key.</summary>
    Parked,
}

/// <summary>An entry at the head of its key. Written by the one who runs it.</summary>
internal sealed class Turn(Lane lane, WaitingEntry entry)
{
    public Lane Lane => lane;

    public string? Key => lane.Key;

    public WaitingEntry Entry { get; set; } = entry;

    /// <summary>What the document of the key holds, while there is one.</summary>
    public ParkedHead? Parked { get; set; }

    /// <summary>The note that there is a document; unknown when the answer to its commit was lost, and then the next tenure deletes it.</summary>
    public EntryId? ParkedNote { get; set; }

    /// <summary>What an operator asks for.</summary>
    public OrderNote? Asked { get; set; }

    /// <summary>A resume that was asked for before a skip. Its note goes with that of the skip.</summary>
    public OrderNote? AskedBefore { get; set; }

    public TurnEnd End { get; set; }

    /// <summary>When a parked head is due again; infinite: when somebody acts.</summary>
    public TimeSpan Delay { get; set; }

    /// <summary>How often it was parked, so that only the last wait ends it.</summary>
    public int Parkings { get; set; }

    /// <summary>
    /// Whether it may be what killed a process: it was taken over once and not settled. Deliveries that ended as they should do not count.
    /// </summary>
    public bool IsSuspect => !Entry.IsOurs && Entry.DeliveryCount - (Parked?.EndedDeliveries ?? 0) >= 2;
}

/// <summary>The entries of one key, or one entry that has none.</summary>
internal sealed class Lane
{
    public Lane(string? key, WaitingEntry first) => (Key, Head) = (key, new(this, first));

    public string? Key { get; }

    /// <summary>The entry that runs, waits for a slot, or is parked.</summary>
    public Turn Head { get; set; }

    public bool IsParked { get; set; }

    /// <summary>The timestamp when it is to run again: none while there is no timer yet, the last of all while it waits for somebody to act.</summary>
    public long WakesAt { get; set; } = long.MinValue;

    /// <summary>Those after it, in order.</summary>
    public Queue<WaitingEntry> Behind { get; set; } = [];
}
