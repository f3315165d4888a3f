namespace Millrace.Embedded;

/// <summary>
/// When a write counts as durable, and so when its reply may leave. A killed or crashed <b>process</b> loses nothing under any policy: written
/// bytes are the operating system's. The policies differ in what a <b>power cut</b> or a crash of the operating system may take.
/// </summary>
public enum SyncPolicy
{
    /// <summary>
    /// The reply leaves after fdatasync. A power cut takes nothing that was acknowledged. Concurrent writers share one sync; a lone one waits
    /// for the device each time, from tens of microseconds to many milliseconds.
    /// </summary>
    Always,

    /// <summary>
    /// The default. The reply leaves after write(2), and the device is synced one second after the first write that it lacks. A power cut takes
    /// the acknowledged writes of the last second and of the time the sync itself needs. Costs about a microsecond a write.
    /// </summary>
    EverySecond,

    /// <summary>
    /// The reply leaves after write(2), and the operating system syncs when it likes, by default within half a minute on Linux. A power cut
    /// takes all of that. For data that can be made again.
    /// </summary>
    Never,
}
