using Microsoft.Extensions.DependencyInjection;
using Millrace.Hosting;

namespace Millrace.Consuming;

/// <summary>Calls a handler, in a scope of its own if it wants one, and turns whatever happens into data.</summary>
internal sealed class HandlerInvoker(IServiceProvider services)
{
    private readonly IServiceScopeFactory _scopes = services.GetRequiredService<IServiceScopeFactory>();
    private readonly MessageContextAccessor? _accessor = services.GetService<MessageContextAccessor>();

    /// <summary>Runs the handler to its end. Never throws.</summary>
    /// <returns><see langword="null"/>: it returned. Otherwise what it threw.</returns>
    public ValueTask<Exception?> InvokeAsync(
        ConsumerRegistration handler, object message, MessageContext context, CancellationToken cancellationToken)
    {
        try
        {
            var running = handler.NeedsScope || _accessor is not null
                ? InvokeAroundAsync(handler, message, context, cancellationToken)
                : handler.Invoke!(services, message, context, cancellationToken);
            return running.IsCompletedSuccessfully ? default : OutcomeAsync(running);
        }
        catch (Exception exception)
        {
            return new(exception);
        }
    }

    private static async ValueTask<Exception?> OutcomeAsync(Task running)
    {
        try
        {
            await running.ConfigureAwait(false);
            return null;
        }
        catch (Exception exception)
        {
            // Not swallowed: the outcome decides between retry and dead letter, which keep it, and abandon, which logs it.
            return exception;
        }
    }

    /// <summary>Runs a handler of many messages to its end. Never throws.</summary>
    /// <returns><see langword="null"/>: it returned. Otherwise what it threw.</returns>
    public async Task<Exception?> InvokeBatchAsync(
        ConsumerRegistration handler, IReadOnlyList<object> messages, BatchContext batch, CancellationToken cancellationToken)
    {
        try
        {
            var scope = handler.NeedsScope ? _scopes.CreateAsyncScope() : (AsyncServiceScope?)null;
            try
            {
                await handler.InvokeBatch!(scope?.ServiceProvider ?? services, messages, batch, cancellationToken).ConfigureAwait(false);
            }
            finally
            {
                if (scope is { } made)
                    await made.DisposeAsync().ConfigureAwait(false);
            }

            return null;
        }
        catch (Exception exception)
        {
            // Not swallowed: it becomes the outcome of every message the handler said nothing of.
            return exception;
        }
    }

    private async Task InvokeAroundAsync(
        ConsumerRegistration handler, object message, MessageContext context, CancellationToken cancellationToken)
    {
        // Set in a method of its own, whose end takes it back.
        _accessor?.Set(context);
        if (!handler.NeedsScope)
        {
            await handler.Invoke!(services, message, context, cancellationToken).ConfigureAwait(false);
            return;
        }

        var scope = _scopes.CreateAsyncScope();
        await using (scope.ConfigureAwait(false))
            await handler.Invoke!(scope.ServiceProvider, message, context, cancellationToken).ConfigureAwait(false);
    }
}
