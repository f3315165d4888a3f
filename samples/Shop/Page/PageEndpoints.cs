using System.Net.ServerSentEvents;
using System.Runtime.CompilerServices;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Shop.Page;

/// <summary>The landing page, what it needs, and the table of streams.</summary>
internal static class PageEndpoints
{
    public static void MapPage(this IEndpointRouteBuilder routes)
    {
        routes.MapGet("/", () => File("shop.html", "text/html; charset=utf-8"));
        routes.MapGet("/shop.css", () => File("shop.css", "text/css; charset=utf-8"));
        routes.MapGet("/shop.js", () => File("shop.js", "text/javascript; charset=utf-8"));
        routes.MapGet("/shop.svg", () => File("shop.svg", "image/svg+xml"));
        routes.MapGet("/live", Live);
        routes.MapGet("/streams", async (StreamTable table, CancellationToken cancellationToken) =>
            TypedResults.Ok(await table.ReadAsync(cancellationToken)));
        routes.MapGet("/streams/{stream}", FindStreamAsync);
        routes.MapGet("/streams/{stream}/groups/{group}", FindGroupAsync);
    }

    private static async Task<Results<Ok<StreamRow>, ProblemHttpResult>> FindStreamAsync(
        string stream, StreamTable table, CancellationToken cancellationToken) =>
        await table.ReadAsync(stream, cancellationToken) is { } row ? TypedResults.Ok(row) : UnknownStream();

    private static async Task<Results<Ok<GroupRow>, ProblemHttpResult>> FindGroupAsync(
        string stream, string group, StreamTable table, CancellationToken cancellationToken)
    {
        if (await table.ReadAsync(stream, cancellationToken) is not { } row)
            return UnknownStream();
        if (row.Groups.FirstOrDefault(one => one.Name == group) is { } found)
            return TypedResults.Ok(found);
        var names = string.Join(", ", row.Groups.Select(one => one.Name));
        return HttpInput.NotFound($"The stream '{stream}' has no such group; it has {names}.");
    }

    private static ProblemHttpResult UnknownStream() =>
        HttpInput.NotFound($"The shop has no such stream; it has {string.Join(", ", StreamTable.Streams)}.");

    private static ServerSentEventsResult<LiveUpdate> Live(
        HttpContext http, LiveFeed feed, IHostApplicationLifetime lifetime) =>
        TypedResults.ServerSentEvents(UntilStoppedAsync(feed, lifetime.ApplicationStopping, http.RequestAborted));

    /// <summary>Ends with the visit or with the application, so that an open page does not hold up the shutdown.</summary>
    private static async IAsyncEnumerable<SseItem<LiveUpdate>> UntilStoppedAsync(
        LiveFeed feed, CancellationToken stopping, [EnumeratorCancellation] CancellationToken aborted = default)
    {
        using var either = CancellationTokenSource.CreateLinkedTokenSource(aborted, stopping);
        await using var updates = feed.FollowAsync(either.Token).GetAsyncEnumerator(either.Token);
        while (await MoveNextAsync(updates))
            yield return updates.Current;
    }

    private static async Task<bool> MoveNextAsync<T>(IAsyncEnumerator<T> items)
    {
        try
        {
            return await items.MoveNextAsync();
        }
        catch (OperationCanceledException)
        {
            return false;
        }
    }

    private static PageFile File(string name, string contentType) => new(name, contentType);

    /// <summary>A file of the page, from the assembly.</summary>
    private sealed class PageFile(string name, string contentType) : IResult
    {
        public async Task ExecuteAsync(HttpContext httpContext)
        {
            await using var file = typeof(PageEndpoints).Assembly.GetManifestResourceStream(name)
                ?? throw new InvalidOperationException($"The assembly lacks {name}.");
            httpContext.Response.ContentType = contentType;
            httpContext.Response.ContentLength = file.Length;
            httpContext.Response.Headers.CacheControl = "no-cache";
            httpContext.Response.Headers.ContentSecurityPolicy = "default-src 'self'";
            await file.CopyToAsync(httpContext.Response.Body, httpContext.RequestAborted);
        }
    }
}
