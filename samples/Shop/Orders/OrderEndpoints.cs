using System.Security.Cryptography;
using Microsoft.AspNetCore.Http.HttpResults;
using Microsoft.EntityFrameworkCore;
using Millrace.EventSourcing;
using Millrace.Projections;
using Millrace.Streams;

namespace Shop.Orders;

/// <summary>The HTTP face of the orders service.</summary>
internal static class OrderEndpoints
{
    private const int DefaultPageSize = 50;
    private const int MaxPageSize = 500;

    // Fresh ones, of a customer whose view is asked for.
    private const int MaxAwaitedOrders = 100;

    // Orders begin, and the customers' views follow them, within milliseconds.
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
        HttpContext http, OrderAcceptance acceptance, TimeProvider time, CancellationToken cancellationToken)
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
        var placed = request.ToEvent(orderId, time.GetUtcNow());
        await acceptance.AcceptAsync(new() { OrderId = orderId, Customer = placed.Customer, CorrelationId = correlationId, Placed = placed });
        return TypedResults.Accepted($"/orders/{orderId}", new OrderAccepted(orderId, OrderStatus.Processing));
    }

    /// <summary>
    /// From the read model; an order it has not seen yet, or has dropped, from the order's own history; one whose history has not begun as it was accepted.
    /// </summary>
    private static async Task<Results<Ok<OrderView>, ProblemHttpResult>> FindAsync(
        string id, OrderBoard board, EventStore events, OrdersDb db, CancellationToken cancellationToken)
    {
        if (board.Find(id) is { Placed: not null } view)
            return TypedResults.Ok(view);
        if (id.Length > 100)
            return HttpInput.NotFound("There is no order of this ID.");

        var accepted = await db.Accepted.AsNoTracking().SingleOrDefaultAsync(order => order.OrderId == id, cancellationToken);
        var told = new OrderView { Id = id };
        try
        {
            await foreach (var one in events.ReadAsync(Order.Stream(id), cancellationToken: cancellationToken))
                told = OrderViewFold.Apply(told, OrderNames.Stream, one.Event, one.EntryId, one.Headers);
        }
        catch (StreamException away) when (away.IsTransient && accepted is not null)
        {
            // What was accepted holds without the store.
        }

        if (told.Placed is null && accepted is not null)
            told = told with { Placed = accepted.Placed, CorrelationId = accepted.CorrelationId };
        return told.Placed is not null ? TypedResults.Ok(told) : HttpInput.NotFound($"There is no order '{id}'.");
    }

    /// <summary>
    /// Whoever was told that an order is accepted, or has ended, finds it here: the answer waits until the customer's fresh orders have begun, and
    /// then for the view to see what there is. An order that has not begun by the time it is no longer fresh, as when the store is away, is not counted until
    /// it has.
    /// </summary>
    private static async Task<Results<Ok<CustomerView>, ProblemHttpResult>> FindCustomerAsync(
        string customer,
        OrderBoard board,
        OrdersDb db,
        ProjectionControl projections,
        ProjectionReader<CustomerView> views,
        EventStore events,
        TimeProvider time,
        CancellationToken cancellationToken)
    {
        if (customer.Length > OrderRequest.MaxTextLength)
            return HttpInput.NotFound("There is no customer of this name.");

        var since = time.GetUtcNow() - FreshWithin;
        var fresh = await db.Accepted.AsNoTracking().Where(order => order.Customer == customer).OrderByDescending(order => order.Number)
            .Take(MaxAwaitedOrders).AsAsyncEnumerable().TakeWhile(order => order.Placed.PlacedAt > since).ToListAsync(cancellationToken);
        foreach (var order in fresh)
            await WaitUntilBegunAsync(order, board, events, time, cancellationToken);
        await projections.WaitForAsync(CustomerView.Projection, position: null, FreshWithin, cancellationToken);
        return await views.GetAsync(customer, cancellationToken) is { } view
            ? TypedResults.Ok(view)
            : HttpInput.NotFound("There is no customer of this name.");
    }

    /// <summary>What the board shows is in the category too: an order's first event and its message are one commit.</summary>
    private static async Task WaitUntilBegunAsync(
        AcceptedOrder order, OrderBoard board, EventStore events, TimeProvider time, CancellationToken cancellationToken)
    {
        var left = order.Placed.PlacedAt + FreshWithin - time.GetUtcNow();
        if (left <= TimeSpan.Zero || board.Find(order.OrderId) is { Placed: not null })
            return;
        if (await events.GetVersionAsync(Order.Stream(order.OrderId), cancellationToken) > 0)
            return;

        using var patience = new CancellationTokenSource(left, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(patience.Token, cancellationToken);
        try
        {
            await board.WaitForPlacedAsync(order.OrderId, either.Token);
        }
        catch (OperationCanceledException) when (patience.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            // It is no longer fresh.
        }
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
