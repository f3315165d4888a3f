using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace.Hosting;

namespace Millrace;

/// <summary>Consumers in the style of minimal APIs: <c>app.MapConsumer&lt;OrderCreated&gt;("orders", "analytics", …)</c>.</summary>
public static class MillraceHostExtensions
{
    extension(IHost host)
    {
        /// <summary>Adds a handler of a message type to a consumer group, after the host was built and before it starts.</summary>
        /// <typeparam name="TMessage">The message type.</typeparam>
        /// <param name="stream">The stream.</param>
        /// <param name="group">The group; made when it does not exist.</param>
        /// <param name="handler">The handler. Returning means acknowledged, throwing means tried again later.</param>
        /// <param name="configure">Sets options of the group; every handler of a group may, in the order added.</param>
        /// <exception cref="InvalidOperationException">
        /// The host was started, something was published already, or <c>AddMillrace</c> is missing.
        /// </exception>
        public IHost MapConsumer<TMessage>(
            string stream,
            string group,
            Func<TMessage, MessageContext, CancellationToken, Task> handler,
            Action<ConsumerOptions>? configure = null)
            where TMessage : notnull
        {
            ArgumentNullException.ThrowIfNull(handler);
            host.Services.GetRequiredService<MillraceModel>()
                .AddConsumer(ConsumerRegistration.ForDelegate(stream, group, handler, configure));
            return host;
        }

        /// <summary>As the other overload, with the services of a scope of its own for each delivery.</summary>
        /// <typeparam name="TMessage">The message type.</typeparam>
        /// <param name="stream">The stream.</param>
        /// <param name="group">The group; made when it does not exist.</param>
        /// <param name="handler">The handler. Returning means acknowledged, throwing means tried again later.</param>
        /// <param name="configure">Sets options of the group; every handler of a group may, in the order added.</param>
        /// <exception cref="InvalidOperationException">
        /// The host was started, something was published already, or <c>AddMillrace</c> is missing.
        /// </exception>
        public IHost MapConsumer<TMessage>(
            string stream,
            string group,
            Func<TMessage, MessageContext, IServiceProvider, CancellationToken, Task> handler,
            Action<ConsumerOptions>? configure = null)
            where TMessage : notnull
        {
            ArgumentNullException.ThrowIfNull(handler);
            host.Services.GetRequiredService<MillraceModel>()
                .AddConsumer(ConsumerRegistration.ForServices(stream, group, handler, configure));
            return host;
        }
    }
}
