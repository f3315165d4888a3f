using Microsoft.Extensions.DependencyInjection;

namespace Millrace.Hosting;

/// <summary>A handler as the application added it.</summary>
internal sealed record ConsumerRegistration
{
    public required string Stream { get; init; }

    public required string Group { get; init; }

    public required Type MessageType { get; init; }

    public required Action<ConsumerOptions>? Configure { get; init; }

    /// <summary>The class of the handler, or <see langword="null"/>: it is a delegate.</summary>
    public Type? HandlerType { get; init; }

    /// <summary>Whether the handler wants a DI scope of its own for each delivery.</summary>
    public required bool NeedsScope { get; init; }

    /// <summary>Calls a handler of one message. The services are those of the delivery's scope when there is one.</summary>
    public Func<IServiceProvider, object, MessageContext, CancellationToken, Task>? Invoke { get; init; }

    /// <summary>Calls a handler of many messages, in place of <see cref="Invoke"/>.</summary>
    public Func<IServiceProvider, IReadOnlyList<object>, BatchContext, CancellationToken, Task>? InvokeBatch { get; init; }

    public bool IsBatch => InvokeBatch is not null;

    public static ConsumerRegistration ForDelegate<TMessage>(
        string stream,
        string group,
        Func<TMessage, MessageContext, CancellationToken, Task> handler,
        Action<ConsumerOptions>? configure) => new()
        {
            Stream = stream,
            Group = group,
            MessageType = typeof(TMessage),
            Configure = configure,
            NeedsScope = false,
            Invoke = (_, message, context, cancellationToken) => handler((TMessage)message, context, cancellationToken),
        };

    public static ConsumerRegistration ForServices<TMessage>(
        string stream,
        string group,
        Func<TMessage, MessageContext, IServiceProvider, CancellationToken, Task> handler,
        Action<ConsumerOptions>? configure) => new()
        {
            Stream = stream,
            Group = group,
            MessageType = typeof(TMessage),
            Configure = configure,
            NeedsScope = true,
            Invoke = (services, message, context, cancellationToken) => handler((TMessage)message, context, services, cancellationToken),
        };

    public static ConsumerRegistration ForBatch<TMessage>(
        string stream,
        string group,
        bool needsScope,
        Func<IReadOnlyList<TMessage>, BatchContext, IServiceProvider, CancellationToken, Task> handler,
        Action<ConsumerOptions>? configure) => new()
        {
            Stream = stream,
            Group = group,
            MessageType = typeof(TMessage),
            Configure = configure,
            NeedsScope = needsScope,
            InvokeBatch = (services, messages, batch, cancellationToken) =>
                handler([.. messages.Cast<TMessage>()], batch, services, cancellationToken),
        };

    public static ConsumerRegistration ForClass<THandler, TMessage>(
        string stream,
        string group,
        Func<THandler, TMessage, MessageContext, CancellationToken, Task> handler,
        Action<ConsumerOptions>? configure)
        where THandler : class => ForServices<TMessage>(
            stream,
            group,
            (message, context, services, cancellationToken) =>
                handler(services.GetRequiredService<THandler>(), message, context, cancellationToken),
            configure) with { HandlerType = typeof(THandler) };
}
