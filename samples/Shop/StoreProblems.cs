using Microsoft.AspNetCore.Diagnostics;
using Millrace.Streams;

namespace Shop;

/// <summary>Tells clients that the store is out of reach, or what they ask for is not ready in time, as 503 with problem details, instead of 500.</summary>
internal sealed class StoreProblems(IProblemDetailsService problems) : IExceptionHandler
{
    public async ValueTask<bool> TryHandleAsync(HttpContext http, Exception exception, CancellationToken cancellationToken)
    {
        if (exception is not (StreamException { IsTransient: true } or TimeoutException))
            return false;

        http.Response.StatusCode = StatusCodes.Status503ServiceUnavailable;
        return await problems.TryWriteAsync(new()
        {
            HttpContext = http,
            Exception = exception,
            ProblemDetails =
            {
                Status = StatusCodes.Status503ServiceUnavailable,
                Detail = exception switch
                {
                    TimeoutException => "What was accepted last is still on its way. Try again in a moment.",
                    StreamException { Code: StreamErrorCode.OutcomeUnknown } =>
                        "The connection to the store broke. What you asked for may have been done or not.",
                    _ => "The store cannot be reached just now. Try again in a moment.",
                },
            },
        });
    }
}
