namespace Millrace.EntityFrameworkCore;

/// <summary>How long the inbox of a <c>DbContext</c> remembers.</summary>
public sealed class InboxOptions
{
    /// <summary>
    /// How long a message is known to have been handled. Longer than any redelivery may come: retries, dead letters that are redriven, an outage.
    /// Default 7 days;
    /// one minute to ten years.
    /// </summary>
    public TimeSpan Window { get; set; } = TimeSpan.FromDays(7);

    /// <summary>How often what is older is deleted, by each process, in statements of about 1,000 rows. Default 10 minutes; 10 ms to one day.</summary>
    public TimeSpan CleaningInterval { get; set; } = TimeSpan.FromMinutes(10);

    internal void Check(string context)
    {
        if (Window < TimeSpan.FromMinutes(1) || Window > Streams.StreamLimits.MaxDuration)
            throw new MillraceConfigurationException([$"Inbox of {context}: Window is one minute to ten years."]);
        if (CleaningInterval < TimeSpan.FromMilliseconds(10) || CleaningInterval > TimeSpan.FromDays(1))
            throw new MillraceConfigurationException([$"Inbox of {context}: CleaningInterval is 10 ms to one day."]);
    }
}
