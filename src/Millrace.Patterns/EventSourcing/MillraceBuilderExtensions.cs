using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.EventSourcing;

/// <summary>Adds event sourcing to Millrace.</summary>
public static class MillraceBuilderExtensions
{
    extension(MillraceBuilder builder)
    {
        /// <summary>
        /// Adds <see cref="EventStore"/> and <see cref="PersonalDataVault"/> as singletons. May be called several times; the calls add up. Events are
        /// messages: add them with <c>AddMessage</c>.
        /// </summary>
        /// <param name="configure">Changes the settings.</param>
        public MillraceBuilder AddEventStore(Action<EventStoreOptions>? configure = null)
        {
            var options = builder.Services.Select(service => service.ImplementationInstance).OfType<EventStoreOptions>().FirstOrDefault();
            if (options is null)
            {
                options = new();
                builder.Services.AddSingleton(options);
                builder.AddMessage<StreamDeleted>().UseJson(EventSourcingJson.Default);
                builder.Services.TryAddSingleton(services => new EventStore(
                    services.GetRequiredService<IStreamStore>(),
                    services.GetRequiredService<MessageCodec>(),
                    services.GetRequiredService<EventStoreOptions>(),
                    services.GetRequiredService<TimeProvider>(),
                    new EventStoreMeter(services.GetRequiredService<TimeProvider>(), services.GetService<IMeterFactory>()),
                    services.GetRequiredService<ILogger<EventStore>>()));
                builder.Services.TryAddSingleton(services => new PersonalDataVault(
                    services.GetRequiredService<IStreamStore>(),
                    services.GetRequiredService<MessageCodec>(),
                    services.GetRequiredService<EventStoreOptions>(),
                    services.GetRequiredService<TimeProvider>()));
            }

            configure?.Invoke(options);
            return builder;
        }

        /// <summary>Adds <see cref="AggregateRepository{TAggregate}"/> as a singleton, and the event store if it is missing.</summary>
        /// <typeparam name="TAggregate">The aggregate.</typeparam>
        /// <param name="category">The first part of its streams' names; without a hyphen.</param>
        public MillraceBuilder AddAggregate<TAggregate>(string category)
            where TAggregate : AggregateRoot, new()
        {
            builder.AddEventStore();
            builder.Services.AddSingleton(services => new AggregateRepository<TAggregate>(services.GetRequiredService<EventStore>(), category));
            return builder;
        }

        /// <summary>
        /// Adds <see cref="AggregateRepository{TAggregate}"/> as a singleton, which keeps snapshots, and the event store if it is missing. A load then
        /// costs one round trip more for the snapshot, and none for the events it covers; a save one more when a snapshot is due.
        /// </summary>
        /// <typeparam name="TAggregate">The aggregate.</typeparam>
        /// <typeparam name="TSnapshot">What a snapshot of it holds.</typeparam>
        /// <param name="category">The first part of its streams' names; without a hyphen.</param>
        /// <param name="snapshots">When snapshots are taken.</param>
        public MillraceBuilder AddAggregate<TAggregate, TSnapshot>(string category, SnapshotPolicy snapshots)
            where TAggregate : AggregateRoot, ISnapshotted<TSnapshot>, new()
            where TSnapshot : notnull
        {
            ArgumentNullException.ThrowIfNull(snapshots);
            builder.AddEventStore();
            builder.Services.AddSingleton(services => new AggregateRepository<TAggregate>(services.GetRequiredService<EventStore>(), category)
            {
                Snapshots = snapshots,
                SnapshotFormOf = static id => new AggregateSnapshotForm<TAggregate, TSnapshot>(id),
            });
            return builder;
        }
    }
}
