namespace Millrace;

/// <summary>What retention does about a group nobody reads any more.</summary>
public enum AbandonedGroupPolicy
{
    /// <summary>Tells of it. What it has not settled is kept.</summary>
    Report,

    /// <summary>Keeps nothing for it. Should it come back, it goes on with what is still there.</summary>
    Ignore,

    /// <summary>
    /// Deletes it with its pending entries, its private stream, the retries that wait for their time, and its parked keys, in one commit that
    /// does nothing if somebody reads it again. Its dead letters stay.
    /// </summary>
    Delete,
}
