using Millrace.Hosting;

namespace Millrace.Monitoring;

/// <summary>A group as it stood when it was looked at. What the store cannot know is <see langword="null"/>, never 0.</summary>
internal sealed record GroupSample
{
    public required GroupPlan Plan { get; init; }

    /// <summary>Entries of the stream that were not delivered to the group.</summary>
    public required long? Lag { get; init; }

    /// <summary>Age of the oldest of them; zero when there is none.</summary>
    public required TimeSpan TimeLag { get; init; }

    /// <summary>Delivered and not settled, in the stream and in the group's private one.</summary>
    public required long Pending { get; init; }

    /// <summary>
    /// Age of the oldest message that is pending, not delivered, or waiting in the private stream; zero when there is none. A store does not tell the age of
    /// retries that wait for their time, so with nothing but those it is unknown.
    /// </summary>
    public required TimeSpan? OldestUnsettledAge { get; init; }

    public required long DeadLetters { get; init; }

    /// <summary>Messages that wait for their time: those of the stream, for every group, and retries of this one.</summary>
    public required long Scheduled { get; init; }

    /// <summary>Keys that are parked; of an ordered group only.</summary>
    public required long? ParkedKeys { get; init; }
}
