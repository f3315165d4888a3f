using Millrace.Hosting;

namespace Millrace.Testing;

/// <summary>How a <see cref="MillraceTestHost"/> runs.</summary>
public sealed class TestHostOptions
{
    /// <summary>
    /// Whether consumers and recurring messages run. Default: yes. Without, what is published stays where it is until
    /// <see cref="MillraceTestHost.RestartAsync"/> finds this set.
    /// </summary>
    public bool RunConsumers { get; set; } = true;

    /// <summary>
    /// How long a wait for the application to come to rest may take by the real clock before it fails and says what is in flight.
    /// Default 30 s.
    /// </summary>
    public TimeSpan Deadline { get; set; } = TimeSpan.FromSeconds(30);

    /// <summary>What the clock shows at first. Default: noon, UTC, of 1 January 2026.</summary>
    public DateTimeOffset Start { get; set; } = new(2026, 1, 1, 12, 0, 0, TimeSpan.Zero);

    /// <summary>The consumers that run; with it, no recurring message does. Default: all.</summary>
    internal Predicate<ConsumerRegistration>? Only { get; init; }

    /// <summary>Configuration of the application, such as <c>Millrace:Consumers:billing:MaxAttempts</c>. Default: none.</summary>
    public IDictionary<string, string?> Configuration { get; } = new Dictionary<string, string?>(StringComparer.OrdinalIgnoreCase);
}
