namespace Millrace.Streams.Engine;

/// <summary>What deleting an entry does to the groups that refer to it. The numbers are part of the journal's format.</summary>
internal enum ReferencePolicy : byte
{
    /// <summary>Pending entries stay, without an entry.</summary>
    Keep = 0,

    /// <summary>The entry is pending in no group any more.</summary>
    Delete = 1,

    /// <summary>Only what every group has read and acknowledged is deleted.</summary>
    Acked = 2,
}
