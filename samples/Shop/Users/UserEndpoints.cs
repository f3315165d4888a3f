using System.Security.Cryptography;
using System.Text.Json;
using Microsoft.AspNetCore.Http.HttpResults;
using Millrace;
using Millrace.Streams;

namespace Shop.Users;

/// <summary>The body of <c>POST /users</c>.</summary>
public sealed record UserRequest(string? Name, string? Email)
{
    private const int MaxLength = 200;

    /// <summary>Everything that is wrong with the request, by JSON path.</summary>
    public Dictionary<string, string[]> Validate()
    {
        var errors = new Dictionary<string, string[]>();
        if (string.IsNullOrWhiteSpace(Name) || Name.Length > MaxLength || Name.Any(char.IsControl))
            errors["name"] = [$"Give a name of 1 to {MaxLength} characters."];
        if (Email is not { Length: <= MaxLength } || Email.Any(char.IsControl) || Email.Split('@') is not [not "", not ""])
            errors["email"] = ["Give an e-mail address."];
        return errors;
    }
}

/// <summary>The answer to <c>POST /users</c>.</summary>
/// <param name="Id">The user.</param>
/// <param name="Status">Always <c>processing</c>: the profile follows.</param>
public sealed record UserAccepted(string Id, string Status = "processing");

/// <summary>The HTTP face of the user service.</summary>
internal static class UserEndpoints
{
    public static void MapUsers(this IEndpointRouteBuilder routes)
    {
        routes.MapPost("/users", SignUpAsync);
        routes.MapGet("/users/{id}", FindAsync);
    }

    private static async Task<Results<Accepted<UserAccepted>, ValidationProblem, ProblemHttpResult>> SignUpAsync(
        HttpContext http, Publisher publisher, CancellationToken cancellationToken)
    {
        var (correlationId, badHeader) = HttpInput.CorrelationId(http);
        if (badHeader is not null)
            return badHeader;
        var (request, badBody) = await HttpInput.ReadJsonAsync(http.Request, ShopJson.Default.UserRequest, cancellationToken);
        if (request is null)
            return badBody!;
        if (request.Validate() is { Count: > 0 } errors)
            return TypedResults.ValidationProblem(errors);

        var userId = $"usr-{RandomNumberGenerator.GetHexString(16, lowercase: true)}";
        await publisher.PublishAsync(
            UserNames.Stream,
            new UserCreated(userId, request.Name!, request.Email!),
            new PublishOptions { CorrelationId = correlationId, Subject = userId },
            cancellationToken);
        return TypedResults.Accepted($"/users/{userId}", new UserAccepted(userId));
    }

    private static async Task<Results<Ok<UserProfile>, ProblemHttpResult>> FindAsync(
        string id, IStreamStore store, CancellationToken cancellationToken)
    {
        var document = id.Length > 100 ? null : await store.GetStateAsync(UserProfile.Key(id), cancellationToken);
        return document is null
            ? HttpInput.NotFound("There is no profile of this ID, or not yet.")
            : TypedResults.Ok(JsonSerializer.Deserialize(document.Payload.Span, ShopJson.Default.UserProfile));
    }
}
