using Microsoft.AspNetCore.Http.HttpResults;
using Shop.Fakes;

namespace Shop.Payments;

/// <summary>The body of <c>POST /admin/payments/break</c>.</summary>
/// <param name="Broken">Whether the provider is to fail.</param>
public sealed record BreakRequest(bool? Broken);

/// <summary>Whether the payment provider fails.</summary>
/// <param name="Broken">Whether it does.</param>
public sealed record BreakState(bool Broken);

/// <summary>The switch that breaks the payment provider, for the page and for the curious.</summary>
internal static class PaymentEndpoints
{
    public static void MapPayments(this IEndpointRouteBuilder routes)
    {
        routes.MapPost("/admin/payments/break", BreakAsync);
        routes.MapGet("/admin/payments/break", (PaymentProvider provider) => TypedResults.Ok(new BreakState(provider.IsBroken)));
    }

    private static async Task<Results<Ok<BreakState>, ProblemHttpResult>> BreakAsync(
        HttpRequest http, PaymentProvider provider, CancellationToken cancellationToken)
    {
        var (request, problem) = await HttpInput.ReadJsonAsync(http, ShopJson.Default.BreakRequest, cancellationToken);
        if (request is null)
            return problem!;
        if (request.Broken is not { } broken)
            return HttpInput.BadRequest("Say {\"broken\": true} or {\"broken\": false}.");

        provider.IsBroken = broken;
        return TypedResults.Ok(new BreakState(broken));
    }
}
