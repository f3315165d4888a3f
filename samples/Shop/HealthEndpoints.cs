using Microsoft.AspNetCore.Diagnostics.HealthChecks;
using Microsoft.Extensions.Diagnostics.HealthChecks;

namespace Shop;

/// <summary>The answer to <c>GET /health</c>.</summary>
/// <param name="Status">The worst of the checks.</param>
/// <param name="Checks">Each check by its name.</param>
public sealed record HealthView(string Status, IReadOnlyDictionary<string, HealthCheckView> Checks);

/// <summary>One check.</summary>
/// <param name="Status">Healthy, Degraded or Unhealthy.</param>
/// <param name="Description">What is wrong, if anything is.</param>
/// <param name="Data">More about it, such as the state of each consumer.</param>
public sealed record HealthCheckView(string Status, string? Description, IReadOnlyDictionary<string, string> Data);

/// <summary>Health for people (<c>/health</c>) and for orchestrators: restart it (<c>/health/live</c>), send visitors (<c>/health/ready</c>).</summary>
internal static class HealthEndpoints
{
    public static void MapHealth(this IEndpointRouteBuilder routes)
    {
        routes.MapHealthChecks("/health", new() { ResponseWriter = WriteAsync });
        routes.MapHealthChecks("/health/live", Tagged("live"));
        routes.MapHealthChecks("/health/ready", Tagged("ready"));
    }

    private static HealthCheckOptions Tagged(string tag) => new()
    {
        Predicate = check => check.Tags.Contains(tag),
        ResponseWriter = WriteAsync,
    };

    private static Task WriteAsync(HttpContext http, HealthReport report) =>
        http.Response.WriteAsJsonAsync(View(report), ShopJson.Default.HealthView);

    private static HealthView View(HealthReport report) => new(
        report.Status.ToString(),
        report.Entries.ToDictionary(
            check => check.Key,
            check => new HealthCheckView(
                check.Value.Status.ToString(),
                check.Value.Description,
                check.Value.Data.ToDictionary(one => one.Key, one => $"{one.Value}"))));
}
