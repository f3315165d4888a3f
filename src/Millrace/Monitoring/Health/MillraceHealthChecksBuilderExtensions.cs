using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Millrace.Hosting;
using Millrace.Monitoring.Health;
using Millrace.Streams;

namespace Millrace;

/// <summary>Reports Millrace to health checks: <c>services.AddHealthChecks().AddMillrace()</c>.</summary>
public static class MillraceHealthChecksBuilderExtensions
{
    // A probe waits no longer for a store that does not answer; orchestrators give up sooner or later themselves.
    private static readonly TimeSpan Timeout = TimeSpan.FromSeconds(5);

    extension(IHealthChecksBuilder builder)
    {
        /// <summary>
        /// Adds three checks of the application's <c>AddMillrace</c>; call it once. <c>millrace</c>, tag <c>live</c>: unhealthy when only a
        /// restart helps. <c>millrace-store</c>, tag <c>ready</c>: unhealthy when the store does not answer within 5 s or takes no writes:
        /// on the embedded store its memory or disk is full, or the disk failed; on any it refused a write of this process within the
        /// last 30 s, being out of memory or read-only. Degraded while publishers wait for memory (<c>WhenFull.Wait</c>) and none was refused.
        /// One round trip, none on the embedded store. <c>millrace-consumers</c>, tag <c>ready</c>: degraded while a consumer starts or cannot
        /// read, or a stream has lanes that were not declared here, with the state of each under <c>stream/group</c> in the data; no round trip.
        /// </summary>
        public IHealthChecksBuilder AddMillrace()
        {
            ArgumentNullException.ThrowIfNull(builder);
            return builder
                .Add(new("millrace", static services => new LivenessCheck(
                    services.GetRequiredService<IStreamStore>(), services.GetRequiredService<MillraceService>()), null, ["live"], Timeout))
                .Add(new("millrace-store", static services => new StoreCheck(
                    services.GetRequiredService<IStreamStore>(), services.GetRequiredService<MillraceCore>()), null, ["ready"], Timeout))
                .Add(new("millrace-consumers", static services => new ConsumerCheck(
                    services.GetRequiredService<MillraceService>()), null, ["ready"], Timeout));
        }
    }
}
