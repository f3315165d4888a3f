namespace Millrace.EventSourcing;

/// <summary>When a state is kept beside its stream, so that a load begins there instead of with the first event.</summary>
public sealed record SnapshotPolicy
{
    /// <summary>A snapshot is taken when so many events came since the last. Default: 100. At least 1.</summary>
    /// <exception cref="ArgumentOutOfRangeException">It is less than 1.</exception>
    public int Every
    {
        get;
        init
        {
            ArgumentOutOfRangeException.ThrowIfLessThan(value, 1);
            field = value;
        }
    } = 100;

    /// <summary>
    /// A snapshot is also taken, with the next event, when the last one is older than this; where there is none, when the first event is. Default: age
    /// does not matter.
    /// </summary>
    public TimeSpan? MaxAge { get; init; }

    /// <summary>
    /// The version of the state's shape. A snapshot of another version is not read but rebuilt from the events: raise it when the state's class or the
    /// fold changes. Default: 1.
    /// </summary>
    public int SchemaVersion { get; init; } = 1;
}
