namespace Millrace;

/// <summary>What holds for the whole application. Bound from configuration under <c>Millrace</c>, which has the last word.</summary>
public sealed class MillraceOptions
{
    /// <summary>The <c>source</c> of every message published. Default: the application name of the host.</summary>
    public string? Source { get; set; }

    /// <summary>
    /// The consumer name of this process in every group. Must be unique among the processes alive. A process that comes back under its old
    /// name finds what it left pending at once; otherwise others take that over after the lease. So name it after what outlives a restart:
    /// the pod of a stateful set, or the host and an ordinal. Default: <c>local</c> on an embedded store; elsewhere machine, process ID and a random part,
    /// which a log line tells at start.
    /// </summary>
    public string? InstanceName { get; set; }

    /// <summary>
    /// How long a stopping host waits for running handlers before it cancels them and gives their entries back. Default 15 s. Keep it below
    /// <c>HostOptions.ShutdownTimeout</c>, which cuts it short.
    /// </summary>
    public TimeSpan DrainTimeout { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>
    /// Whether a signal that comes while the host stops (Ctrl+C again, SIGTERM again, SIGQUIT) ends the process at once, with 130, 143 or 131, instead of
    /// only cutting the drain short: what runs stays pending, as after a kill, and other services are not waited for. Set it to <see langword="false"/>
    /// where those must stop in order, or where a wrapper passes on signals that the process is sent as well. Default: yes.
    /// </summary>
    public bool ExitOnSecondSignal { get; set; } = true;

    /// <summary>
    /// How often the store is asked for the figures about groups (lag, pending, dead letters, ages) while somebody listens to them; nothing
    /// is asked otherwise. Costs two round trips a stream and about seven a group. Default 10 s; at least 100 ms.
    /// </summary>
    public TimeSpan SampleInterval { get; set; } = TimeSpan.FromSeconds(10);

    /// <summary>
    /// How often what <see cref="MillraceBuilder.AddRetention"/> does not keep is dropped, by one process for all. Default 1 minute; at least
    /// 1 s.
    /// </summary>
    public TimeSpan RetentionInterval { get; set; } = TimeSpan.FromMinutes(1);
}
