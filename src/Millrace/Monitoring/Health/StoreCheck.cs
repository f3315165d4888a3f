using Microsoft.Extensions.Diagnostics.HealthChecks;
using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Monitoring.Health;

/// <summary>Whether the store answers and takes writes, as far as it says so or refused one of late.</summary>
internal sealed class StoreCheck(IStreamStore store, MillraceCore core) : IHealthCheck
{
    // For an application without consumers: any name does, and nothing is read from it.
    private const string AnyStream = "millrace:health";

    public async Task<HealthCheckResult> CheckHealthAsync(HealthCheckContext context, CancellationToken cancellationToken = default)
    {
        if (store is EmbeddedStreamStore { Health: { State: not StoreState.Writable } health })
        {
            // Publishers that wait are back-pressure at work, until one of them got no room in time.
            var isWorking = health.State == StoreState.PublishersWait && core.Refusals.Last is null;
            return new(isWorking ? HealthStatus.Degraded : context.Registration.FailureStatus, health.Reason, data: Data("state", health.State.ToString()));
        }

        try
        {
            await store.OpenAsync(cancellationToken).ConfigureAwait(false);
            await AskAsync(cancellationToken).ConfigureAwait(false);
            return core.Refusals.Last is { } refusal ? Failed(context, refusal) : HealthCheckResult.Healthy();
        }
        catch (StreamException exception)
        {
            return Failed(context, exception);
        }
    }

    private async Task AskAsync(CancellationToken cancellationToken)
    {
        try
        {
            var stream = core.Groups.Count > 0 ? core.Groups[0].Stream : AnyStream;
            await store.GetStreamInfoAsync(stream, cancellationToken).ConfigureAwait(false);
        }
        catch (StreamException exception) when (exception.Code == StreamErrorCode.PermissionDenied && core.Groups.Count == 0)
        {
            // An answer: the store is open, and its user has rights to the streams of the application only. Which these are nobody knows here.
        }
    }

    private static HealthCheckResult Failed(HealthCheckContext context, StreamException exception)
    {
        var code = exception.Code.ToString();
        return new(context.Registration.FailureStatus, $"{code}: {exception.Message}", exception, Data("code", code));
    }

    private static Dictionary<string, object> Data(string name, string value) => new() { [name] = value };
}
