namespace Millrace.Streams;

/// <summary>Fields the store itself adds when it gives an entry back to its group. Lower case without punctuation, as CloudEvents wants it.</summary>
public static class EntryFieldNames
{
    /// <summary>The ID the entry had in the stream it came from. Kept when an entry is given back more than once.</summary>
    public static ReadOnlySpan<byte> SourceId => "sourceid"u8;

    /// <summary>Deliveries, as a decimal number, that count for the entry besides those of its pending entry. Left out when zero.</summary>
    public static ReadOnlySpan<byte> PriorDeliveries => "priordeliveries"u8;
}
