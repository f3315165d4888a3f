using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Millrace.Projections;

/// <summary>Reports projections to health checks.</summary>
public static class ProjectionHealthChecksBuilderExtensions
{
    extension(IHealthChecksBuilder builder)
    {
        /// <summary>
        /// Adds the check <c>millrace-projections</c>, tag <c>ready</c>: degraded while a projection that this process runs has stopped, fails, is paused, or
        /// is too far behind. No round trip.
        /// </summary>
        /// <param name="maxTimeLag">How far behind is too far. Default: it does not matter.</param>
        public IHealthChecksBuilder AddMillraceProjections(TimeSpan? maxTimeLag = null)
        {
            ArgumentNullException.ThrowIfNull(builder);
            return builder.Add(new(
                "millrace-projections", services => new ProjectionCheck(services.GetRequiredService<ProjectionControl>(), maxTimeLag), null, ["ready"]));
        }
    }
}
