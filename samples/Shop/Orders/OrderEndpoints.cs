using System.Security.Cryptography;
using Microsoft.AspNetCore.Http.HttpResults;
using Millrace;
using Millrace.EventSourcing;
using Millrace.Projections;
using Millrace.Streams;

namespace Shop.Orders;

/// <summary>The HTTP face of the orders service.</summary>
internal static class OrderEndpoints
{
    private const int DefaultPageSize = 50;
    private const int MaxPageSize = 500;

    // Of the customers' views, which follow the orders within milliseconds.
    private static readonly TimeSpan FreshWithin = TimeSpan.FromSeconds(5);

    public static void MapOrders(this IEndpointRouteBuilder routes)
    {
        routes.MapPost("/orders", PlaceAsync);
        routes.MapGet("/orders/{id}", FindAsync);
        routes.MapGet("/orders", List);
        routes.MapGet("/customers/{customer}", FindCustomerAsync);
        routes.MapGet("/catalog", () => TypedResults.Ok(Catalog.All));
    }

    private static async Task<Results<Accepted<OrderAccepted>, ValidationProblem, ProblemHttpResult>> PlaceAsync(
        HttpContext http, Publisher publisher, EventStore events, TimeProvider time, CancellationToken cancellationToken)
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
        await StoreAndPublishAsync(request.ToEvent(orderId, time.GetUtcNow()), correlationId, publisher, events, cancellationToken);
        return TypedResults.Accepted($"/orders/{orderId}", new OrderAccepted(orderId, OrderStatus.Processing));
    }

    /// <summary>
    /// The first event of the order's history and the message that tells of it are one commit: there is never one without the other,
    /// whatever dies when.
    /// </summary>
    private static async Task StoreAndPublishAsync(
        OrderCreated placed, string correlationId, Publisher publisher, EventStore events, CancellationToken cancellationToken)
    {
        var commit = publisher.NewCommit(OrderNames.Stream, new PublishOptions
        {
            CorrelationId = correlationId,
            Subject = placed.OrderId,
            Lane = placed.Express ? OrderNames.ExpressLane : null,
        });
        events.Enlist(
            commit, Order.Stream(placed.OrderId), ExpectedVersion.NoStream, [placed], new() { CorrelationId = correlationId });
        commit.Publish(OrderNames.Stream, placed);
        var result = await commit.CommitAsync(cancellationToken);
        if (!result.IsApplied)
            throw new InvalidOperationException($"The order ID {placed.OrderId} was drawn twice.");
    }

    /// <summary>From the read model; an order it has not seen yet, or has dropped, from the order's own history.</summary>
    private static async Task<Results<Ok<OrderView>, ProblemHttpResult>> FindAsync(
        string id, OrderBoard board, EventStore events, CancellationToken cancellationToken)
    {
        if (board.Find(id) is { Placed: not null } view)
            return TypedResults.Ok(view);
        if (id.Length > 100)
            return HttpInput.NotFound("There is no order of this ID.");

        var told = new OrderView { Id = id };
        await foreach (var one in events.ReadAsync(Order.Stream(id), cancellationToken: cancellationToken))
            told = OrderViewFold.Apply(told, OrderNames.Stream, one.Event, one.EntryId, one.Headers);
        return told.Placed is not null ? TypedResults.Ok(told) : HttpInput.NotFound($"There is no order '{id}'.");
    }

    /// <summary>Whoever was told that an order is placed, or has ended, finds it here: the answer waits for what there is by now.</summary>
    private static async Task<Results<Ok<CustomerView>, ProblemHttpResult>> FindCustomerAsync(
        string customer, ProjectionControl projections, ProjectionReader<CustomerView> views, CancellationToken cancellationToken)
    {
        await projections.WaitForAsync(CustomerView.Projection, position: null, FreshWithin, cancellationToken);
        return customer.Length <= OrderRequest.MaxTextLength && await views.GetAsync(customer, cancellationToken) is { } view
            ? TypedResults.Ok(view)
            : HttpInput.NotFound("There is no customer of this name.");
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
