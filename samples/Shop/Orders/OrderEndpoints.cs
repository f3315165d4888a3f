using System.Security.Cryptography;
using Microsoft.AspNetCore.Http.HttpResults;
using Millrace;
using Millrace.Streams;

namespace Shop.Orders;

/// <summary>The HTTP face of the orders service.</summary>
internal static class OrderEndpoints
{
    private const int DefaultPageSize = 50;
    private const int MaxPageSize = 500;

    public static void MapOrders(this IEndpointRouteBuilder routes)
    {
        routes.MapPost("/orders", PlaceAsync);
        routes.MapGet("/orders/{id}", FindAsync);
        routes.MapGet("/orders", List);
        routes.MapGet("/catalog", () => TypedResults.Ok(Catalog.All));
    }

    private static async Task<Results<Accepted<OrderAccepted>, ValidationProblem, ProblemHttpResult>> PlaceAsync(
        HttpContext http, Publisher publisher, TimeProvider time, CancellationToken cancellationToken)
    {
        var (correlationId, badHeader) = HttpInput.CorrelationId(http);
        if (badHeader is not null)
            return badHeader;
        var (request, badBody) = await HttpInput.ReadJsonAsync(http.Request, ShopJson.Default.OrderRequest, cancellationToken);
        if (request is null)
            return badBody!;
        if (request.Validate() is { Count: > 0 } errors)
            return TypedResults.ValidationProblem(errors);

        var orderId = $"ord-{RandomNumberGenerator.GetHexString(16, lowercase: true)}";
        await StoreAndPublishAsync(request.ToEvent(orderId, time.GetUtcNow()), correlationId, publisher, cancellationToken);
        return TypedResults.Accepted($"/orders/{orderId}", new OrderAccepted(orderId, OrderStatus.Processing));
    }

    /// <summary>The order and its event are one commit: there is never one without the other, whatever dies when.</summary>
    private static async Task StoreAndPublishAsync(
        OrderCreated placed, string correlationId, Publisher publisher, CancellationToken cancellationToken)
    {
        var commit = publisher.NewCommit(OrderNames.Stream, new PublishOptions
        {
            CorrelationId = correlationId,
            Subject = placed.OrderId,
            Lane = placed.Express ? OrderNames.ExpressLane : null,
        });
        commit.State.Create(Order.Key(placed.OrderId), new Order { Id = placed.OrderId, Placed = placed, CorrelationId = correlationId });
        commit.Publish(OrderNames.Stream, placed);
        var result = await commit.CommitAsync(cancellationToken);
        if (!result.IsApplied)
            throw new InvalidOperationException($"The order ID {placed.OrderId} was drawn twice.");
    }

    /// <summary>From the read model; an order it has not seen yet, from the document that its POST stored.</summary>
    private static async Task<Results<Ok<OrderView>, ProblemHttpResult>> FindAsync(
        string id, OrderBoard board, IStreamStore store, CancellationToken cancellationToken)
    {
        if (board.Find(id) is { Placed: not null } view)
            return TypedResults.Ok(view);
        if (id.Length > 100)
            return HttpInput.NotFound("There is no order of this ID.");

        var document = await store.GetStateAsync(Order.Key(id), cancellationToken);
        return document is not null && OrderView.FromDocument(document) is { } stored
            ? TypedResults.Ok(stored)
            : HttpInput.NotFound($"There is no order '{id}'.");
    }

    private static Results<Ok<OrderPage>, ProblemHttpResult> List(OrderBoard board, string? limit = null, string? before = null)
    {
        var count = DefaultPageSize;
        if (limit is not null && (!int.TryParse(limit, out count) || count is < 1 or > MaxPageSize))
            return HttpInput.BadRequest($"limit is a number from 1 to {MaxPageSize}.");
        var position = EntryId.Max;
        if (before is not null && !EntryId.TryParse(before, null, out position))
            return HttpInput.BadRequest("before is the value of 'next' of the page before, for example 1700000000000-0.");
        return TypedResults.Ok(board.Newest(count, position));
    }
}
