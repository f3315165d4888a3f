using Microsoft.Extensions.Logging;

namespace Millrace;

/// <summary>
/// Tells when a store forgot what it had promised to keep: a flush, a restart without persistence, a failover, an evicted or deleted key.
/// Consumers go on by themselves; this is for whoever has to know. Also logged, and counted by <c>millrace.losses</c>. A singleton where
/// Millrace is added.
/// </summary>
public sealed class StreamLosses
{
    internal StreamLosses()
    {
    }

    /// <summary>
    /// A loss was found by a consumer of this process; of several processes of a group, one tells. Handlers run on the thread that found it
    /// and should return soon; what they throw is logged.
    /// </summary>
    public event EventHandler<StreamLossEventArgs>? Detected;

    internal void Raise(StreamLossEventArgs loss, ILogger logger)
    {
        try
        {
            Detected?.Invoke(this, loss);
        }
        catch (Exception exception)
        {
            LogMessages.LossHandlerFailed(logger, exception, loss.Stream, loss.Group);
        }
    }
}
