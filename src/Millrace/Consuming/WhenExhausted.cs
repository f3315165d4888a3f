namespace Millrace;

/// <summary>What becomes of a message of an ordered group after its last attempt. See <see cref="ConsumerOptions.OrderedBy"/>.</summary>
public enum WhenExhausted
{
    /// <summary>It goes to the dead letters, and the next message of its key runs: nothing stands still, but the order has a gap.</summary>
    DeadLetter,

    /// <summary>
    /// It stays the first of its key, which stands still until somebody resumes or skips it with <see cref="ParkedKeys"/>: no gap, but
    /// somebody has to look.
    /// </summary>
    Park,
}
