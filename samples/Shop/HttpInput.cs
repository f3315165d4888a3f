using System.Text.Json;
using System.Text.Json.Serialization.Metadata;
using Microsoft.AspNetCore.Http.HttpResults;

namespace Shop;

/// <summary>Reads what clients send, and says what is wrong with it as problem details.</summary>
internal static class HttpInput
{
    /// <summary>The header that names the conversation a request belongs to.</summary>
    public const string CorrelationHeader = "X-Correlation-Id";

    private const int MaxCorrelationIdLength = 128;

    /// <summary>Reads a JSON body. Returns the value or the problem, never both.</summary>
    public static async Task<(T? Value, ProblemHttpResult? Problem)> ReadJsonAsync<T>(
        HttpRequest request, JsonTypeInfo<T> type, CancellationToken cancellationToken)
        where T : class
    {
        if (!request.HasJsonContentType())
        {
            return (null, TypedResults.Problem(
                "Send the body as application/json.", statusCode: StatusCodes.Status415UnsupportedMediaType));
        }

        try
        {
            return await JsonSerializer.DeserializeAsync(request.Body, type, cancellationToken) is { } value
                ? (value, null)
                : (null, BadRequest("The body is null."));
        }
        catch (JsonException invalid)
        {
            return (null, BadRequest($"The body is not the JSON expected here: {invalid.Message}"));
        }
        catch (BadHttpRequestException tooLarge)
        {
            return (null, TypedResults.Problem(tooLarge.Message, statusCode: tooLarge.StatusCode));
        }
    }

    /// <summary>Takes the correlation ID of the request, or makes one, and puts it into the response.</summary>
    public static (string Value, ProblemHttpResult? Problem) CorrelationId(HttpContext http)
    {
        var given = http.Request.Headers[CorrelationHeader].ToString();
        if (given.Length > MaxCorrelationIdLength || given.Any(character => character is <= ' ' or > '~'))
            return ("", BadRequest($"{CorrelationHeader} is 1 to {MaxCorrelationIdLength} printable ASCII characters without blanks."));

        var value = given.Length > 0 ? given : Guid.CreateVersion7().ToString();
        http.Response.Headers[CorrelationHeader] = value;
        return (value, null);
    }

    /// <summary>A 400 with a reason for the client.</summary>
    public static ProblemHttpResult BadRequest(string detail) =>
        TypedResults.Problem(detail, statusCode: StatusCodes.Status400BadRequest);

    /// <summary>A 404 with a reason for the client.</summary>
    public static ProblemHttpResult NotFound(string detail) =>
        TypedResults.Problem(detail, statusCode: StatusCodes.Status404NotFound);
}
