using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Millrace.Hosting;
using Millrace.Monitoring;
using Millrace.Streams;

namespace Millrace;

/// <summary>The entry point: <c>services.AddMillrace(millrace => …)</c>.</summary>
public static class MillraceServiceCollectionExtensions
{
    extension(IServiceCollection services)
    {
        /// <summary>
        /// Adds Millrace: <see cref="Publisher"/>, <see cref="MessageReader"/>, <see cref="MessageCodec"/>, <see cref="DeadLetters"/>,
        /// <see cref="ParkedKeys"/>, <see cref="ConsumerControl"/>, <see cref="ConsumerRegistry"/>, <see cref="StreamLosses"/>, <see cref="Retention"/> and
        /// <see cref="IStreamStore"/> as singletons, and a hosted service that runs the consumers. May be called several times; the calls add up.
        /// </summary>
        /// <param name="configure">Says which store, messages and consumers there are.</param>
        public IServiceCollection AddMillrace(Action<MillraceBuilder> configure)
        {
            ArgumentNullException.ThrowIfNull(configure);
            var model = services.Select(service => service.ImplementationInstance).OfType<MillraceModel>().FirstOrDefault();
            if (model is null)
            {
                model = new MillraceModel();
                services.AddSingleton(model);
                services.TryAddSingleton(TimeProvider.System);
                services.AddSingleton<MessageMeter>();
                services.AddSingleton<MillraceCore>();
                services.AddSingleton(provider => new Publisher(
                    provider.GetRequiredService<MillraceCore>(), provider.GetRequiredService<IStreamStore>()));
                services.AddSingleton(provider => new MessageCodec(provider.GetRequiredService<MillraceCore>()));
                services.AddSingleton(provider => new PriorityLanes(
                    provider.GetRequiredService<MillraceCore>(), provider.GetRequiredService<IStreamStore>()));
                services.AddSingleton(provider => new MessageReader(
                    provider.GetRequiredService<MillraceCore>(), provider.GetRequiredService<IStreamStore>()));
                services.AddSingleton(provider => new DeadLetters(
                    provider.GetRequiredService<IStreamStore>(), provider.GetRequiredService<TimeProvider>()));
                services.AddSingleton(provider => new ConsumerControl(provider.GetRequiredService<MillraceCore>()));
                services.AddSingleton(provider => new ConsumerRegistry(provider.GetRequiredService<IStreamStore>()));
                services.AddSingleton(provider => provider.GetRequiredService<MillraceCore>().Losses);
                services.AddSingleton(provider => new Retention(
                    provider.GetRequiredService<IStreamStore>(), provider.GetRequiredService<TimeProvider>())
                {
                    Policies = provider.GetRequiredService<MillraceCore>().Retentions,
                    Groups = provider.GetRequiredService<MillraceCore>().Groups.Where(_ => model.RunsConsumers)
                        .ToLookup(static plan => plan.Stream, static plan => plan.Group),
                });
                services.AddSingleton(provider => new ParkedKeys(provider.GetRequiredService<IStreamStore>()));
                services.AddSingleton<MillraceService>();
                services.AddSingleton<IHostedService>(static provider => provider.GetRequiredService<MillraceService>());
            }

            configure(new MillraceBuilder(services, model));
            return services;
        }
    }
}
