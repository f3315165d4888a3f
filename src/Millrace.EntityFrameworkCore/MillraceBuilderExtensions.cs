using System.Diagnostics.Metrics;
using Microsoft.EntityFrameworkCore;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Diagnostics.HealthChecks;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Projections;
using Millrace.Streams;

namespace Millrace.EntityFrameworkCore;

/// <summary>Adds outboxes, inboxes and projections into tables to an application.</summary>
public static class MillraceBuilderExtensions
{
    extension(MillraceBuilder builder)
    {
        /// <summary>
        /// Makes <c>db.Publish</c> of a context work, and relays what it wrote. The context itself is added as usual, before or after, and its model
        /// maps the table with <c>AddMillraceOutbox</c>. Adds <see cref="Outbox{TDbContext}"/> as a singleton.
        /// </summary>
        /// <typeparam name="TDbContext">The context.</typeparam>
        /// <param name="configure">Changes the settings; one call for the context sets <see cref="OutboxOptions.Name"/>, which has no default.</param>
        public MillraceBuilder AddOutbox<TDbContext>(Action<OutboxOptions>? configure = null)
            where TDbContext : DbContext
        {
            var services = builder.Services;
            var source = services.Select(service => service.ImplementationInstance).OfType<OutboxSource>()
                .FirstOrDefault(one => one.ContextType == typeof(TDbContext));
            if (source is null)
            {
                source = new(typeof(TDbContext));
                services.AddSingleton(source);
                services.TryAddSingleton<MessageContextAccessor>();
                services.TryAddSingleton<OutboxWriter>();
                services.AddSingleton(provider => new Outbox<TDbContext>(source, provider.GetRequiredService<IServiceScopeFactory>()));
                services.ConfigureDbContext<TDbContext>(context => context.AddInterceptors(new OutboxInterceptor(source)));
                services.AddSingleton<IHostedService>(provider => Run<TDbContext>(source, provider));
            }

            configure?.Invoke(source.Options);
            return builder;
        }

        /// <summary>
        /// Cleans up the inbox of a context, whose model maps the table with <c>AddMillraceInbox</c>. Several calls change the same settings, and
        /// <c>AddInboxConsumer</c> is one of them: this one is needed for other settings, and where messages are handled by <c>HandleOnceAsync</c> alone.
        /// </summary>
        /// <typeparam name="TDbContext">The context.</typeparam>
        /// <param name="configure">Changes the settings.</param>
        public MillraceBuilder AddInbox<TDbContext>(Action<InboxOptions>? configure = null)
            where TDbContext : DbContext
        {
            var services = builder.Services;
            var source = services.Select(service => service.ImplementationInstance).OfType<InboxSource>()
                .FirstOrDefault(one => one.ContextType == typeof(TDbContext));
            if (source is null)
            {
                source = new(typeof(TDbContext));
                services.AddSingleton(source);
                services.TryAddScoped<InboxScope<TDbContext>>();
                services.AddSingleton<IHostedService>(provider =>
                {
                    source.Options.Check(typeof(TDbContext).Name);
                    return new InboxCleaner<TDbContext>(
                        source.Options,
                        provider.GetRequiredService<IServiceScopeFactory>(),
                        provider.GetRequiredService<TimeProvider>(),
                        LoggerOf(provider, "Millrace.Inbox"));
                });
            }

            configure?.Invoke(source.Options);
            return builder;
        }

        /// <summary>
        /// Adds a handler whose effects in the database happen exactly once: it runs in a transaction of its context that also records the message, and is
        /// not run when the message is there already. See <c>HandleOnceAsync</c>; changes that it leaves in the context are saved. The inbox is cleaned up as
        /// <c>AddInbox</c> says, after 7 days without it.
        /// </summary>
        /// <typeparam name="TDbContext">The context; one of its own for each delivery.</typeparam>
        /// <typeparam name="TMessage">The message type.</typeparam>
        /// <param name="stream">The stream.</param>
        /// <param name="group">The group; made when it does not exist.</param>
        /// <param name="handler">The handler. Returning means committed and acknowledged, throwing means rolled back and tried again later.</param>
        /// <param name="configure">Sets options of the group; every handler of a group may, in the order added.</param>
        public MillraceBuilder AddInboxConsumer<TDbContext, TMessage>(
            string stream,
            string group,
            Func<TMessage, TDbContext, MessageContext, CancellationToken, Task> handler,
            Action<ConsumerOptions>? configure = null)
            where TDbContext : DbContext
            where TMessage : notnull
        {
            ArgumentNullException.ThrowIfNull(handler);
            return builder.AddInbox<TDbContext>().AddConsumer<InboxScope<TDbContext>, TMessage>(
                stream,
                group,
                (scope, message, context, cancellationToken) =>
                    scope.Db.HandleOnceAsync(context, token => handler(message, scope.Db, context, token), cancellationToken),
                configure);
        }

        /// <summary>
        /// As the other overload, with a method of a class that is resolved in the scope of the delivery, where it gets the context by its constructor. The
        /// class is registered as scoped when it is not registered yet.
        /// </summary>
        /// <typeparam name="THandler">The class.</typeparam>
        /// <typeparam name="TDbContext">The context; one of its own for each delivery.</typeparam>
        /// <typeparam name="TMessage">The message type.</typeparam>
        /// <param name="stream">The stream.</param>
        /// <param name="group">The group; made when it does not exist.</param>
        /// <param name="handler">Calls the method.</param>
        /// <param name="configure">Sets options of the group; every handler of a group may, in the order added.</param>
        public MillraceBuilder AddInboxConsumer<THandler, TDbContext, TMessage>(
            string stream,
            string group,
            Func<THandler, TMessage, MessageContext, CancellationToken, Task> handler,
            Action<ConsumerOptions>? configure = null)
            where THandler : class
            where TDbContext : DbContext
            where TMessage : notnull
        {
            ArgumentNullException.ThrowIfNull(handler);
            builder.Services.TryAddScoped<THandler>();
            return builder.AddInbox<TDbContext>().AddConsumer<InboxScope<TDbContext>, TMessage>(
                stream,
                group,
                (scope, message, context, cancellationToken) => scope.Db.HandleOnceAsync(
                    context, token => handler(scope.Services.GetRequiredService<THandler>(), message, context, token), cancellationToken),
                configure);
        }

        /// <summary>
        /// Folds a category or any stream into tables of a context, in transactions that also save the checkpoint, so that each event counts once. The model
        /// maps the checkpoints with <c>AddMillraceProjections</c>. Otherwise as <c>AddProjection</c>.
        /// </summary>
        /// <remarks>
        /// Rows of a read model carry the generation, as a part of their key: a rebuild makes the next one beside the one that serves queries, which
        /// <see cref="ProjectionControl.QueryAsync"/> tells a query.
        /// </remarks>
        /// <typeparam name="TDbContext">The context; one of its own for each batch.</typeparam>
        /// <param name="name">The projection's name, unique in the application; at most 128 bytes.</param>
        /// <param name="source">The category or stream.</param>
        /// <param name="fold">
        /// Folds the events of a batch in; changes that it leaves in the context are saved. Throw <see cref="ProjectionEventException"/> for an event that can
        /// never be folded in; anything else is rolled back and tried again. With a retrying execution strategy it may run several times.
        /// </param>
        /// <param name="remove">Deletes the rows of a generation that nobody reads any more.</param>
        /// <param name="configure">Changes the settings.</param>
        public MillraceBuilder AddDbProjection<TDbContext>(
            string name,
            string source,
            Func<ProjectionBatch, TDbContext, CancellationToken, Task> fold,
            Func<int, TDbContext, CancellationToken, Task> remove,
            Action<ProjectionOptions>? configure = null)
            where TDbContext : DbContext
        {
            ArgumentNullException.ThrowIfNull(fold);
            ArgumentNullException.ThrowIfNull(remove);
            return builder.AddProjection(
                name,
                source,
                provider => new DbProjectionTarget<TDbContext>(name, fold, remove, provider.GetRequiredService<IServiceScopeFactory>()),
                configure);
        }
    }

    extension(IHealthChecksBuilder checks)
    {
        /// <summary>
        /// Adds the check <c>millrace-outbox</c>, tag <c>ready</c>, of a context's outbox: degraded while its oldest row is older than
        /// <see cref="OutboxOptions.DegradedAge"/>, or rows are parked. It asks the database, so that it tells in any process that no relay works. Three
        /// queries.
        /// </summary>
        /// <typeparam name="TDbContext">The context.</typeparam>
        /// <param name="name">The name of the check, for applications with several outboxes.</param>
        public IHealthChecksBuilder AddMillraceOutbox<TDbContext>(string name = "millrace-outbox")
            where TDbContext : DbContext
        {
            ArgumentNullException.ThrowIfNull(checks);
            return checks.Add(new(
                name,
                provider => new OutboxCheck<TDbContext>(
                    provider.GetRequiredService<Outbox<TDbContext>>(),
                    provider.GetServices<OutboxSource>().First(source => source.ContextType == typeof(TDbContext)).Options),
                failureStatus: null,
                ["ready"]));
        }
    }

    /// <summary>The loop of this process, if it has one.</summary>
    private static IHostedService Run<TDbContext>(OutboxSource source, IServiceProvider provider)
        where TDbContext : DbContext
    {
        source.Options.Check(typeof(TDbContext).Name);
        OutboxTwins.Check(provider);
        var scopes = provider.GetRequiredService<IServiceScopeFactory>();
        var (time, logger) = (provider.GetRequiredService<TimeProvider>(), LoggerOf(provider, "Millrace.Outbox"));
        if (source.Options.RunsRelay)
        {
            return new OutboxRelay<TDbContext>(
                source,
                provider.GetRequiredService<IStreamStore>(),
                scopes,
                new(provider.GetService<IMeterFactory>(), source.Options.Name!),
                time,
                logger);
        }

        return source.Options.WakeUp is null ? new NoLoop() : new OutboxNotifier<TDbContext>(source, scopes, time, logger);
    }

    private static ILogger LoggerOf(IServiceProvider provider, string category) =>
        (provider.GetService<ILoggerFactory>() ?? NullLoggerFactory.Instance).CreateLogger(category);

    /// <summary>What a handler with an inbox takes from the scope of its delivery.</summary>
    internal sealed class InboxScope<TDbContext>(TDbContext db, IServiceProvider services)
        where TDbContext : DbContext
    {
        public TDbContext Db => db;

        public IServiceProvider Services => services;
    }

    /// <summary>A process that only writes rows.</summary>
    private sealed class NoLoop : IHostedService
    {
        public Task StartAsync(CancellationToken cancellationToken) => Task.CompletedTask;

        public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
    }
}
