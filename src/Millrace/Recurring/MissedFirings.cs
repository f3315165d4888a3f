namespace Millrace;

/// <summary>What becomes of the firings of a recurring message whose time passed while no process was there to make them.</summary>
public enum MissedFirings
{
    /// <summary>Each is made up for, one after the other, with the moment it was due. The default: no firing is ever missed.</summary>
    All,

    /// <summary>Only the last of them is made up for: for messages that say "now", such as a poll or a clean-up.</summary>
    Latest,
}
