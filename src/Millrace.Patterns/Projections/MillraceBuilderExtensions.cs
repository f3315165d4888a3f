using System.Diagnostics.Metrics;
using System.Text;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.Projections;

/// <summary>Adds projections to Millrace.</summary>
public static class MillraceBuilderExtensions
{
    extension(MillraceBuilder builder)
    {
        /// <summary>
        /// Folds a category or any stream into views, a document in the store for each key, written in one commit with the checkpoint; and adds
        /// <see cref="ProjectionReader{TView}"/> for queries and <see cref="ProjectionControl"/> as singletons. Of the processes that add it one runs it.
        /// Events are messages: add them with <c>AddMessage</c>, all that the source may hold. A stream with priority lanes is none to fold, as there is no
        /// order across them: the projection fails for as long as it has any, and says so.
        /// </summary>
        /// <typeparam name="TView">The view; JSON must bring it back.</typeparam>
        /// <param name="name">The projection's name, unique in the application; at most 128 bytes, without a slash or a colon.</param>
        /// <param name="source">The category or stream.</param>
        /// <param name="configureFolds">Says which events change which views.</param>
        /// <param name="configure">Changes the settings.</param>
        public MillraceBuilder AddProjection<TView>(
            string name, string source, Action<ViewFolds<TView>> configureFolds, Action<ViewProjectionOptions>? configure = null)
            where TView : class
        {
            ArgumentNullException.ThrowIfNull(configureFolds);
            var folds = new ViewFolds<TView>();
            configureFolds(folds);
            if (folds.IsEmpty)
                throw new ArgumentException($"The projection '{name}' folds no event.", nameof(configureFolds));
            var names = new ProjectionNames(name, source);
            var options = Options(name, configure);
            builder.Add(new(names, options, services => new ViewTarget<TView>(
                names, folds, services.GetRequiredService<IStreamStore>(), services.GetRequiredService<MessageCodec>(), options)));
            builder.Services.AddKeyedSingleton(name, (services, _) => new ProjectionReader<TView>(
                names, services.GetRequiredService<IStreamStore>(), services.GetRequiredService<MessageCodec>()));
            builder.Services.TryAddSingleton(services => services.GetRequiredKeyedService<ProjectionReader<TView>>(name));
            return builder;
        }

        /// <summary>Folds a category or any stream into a target of the application, which keeps the checkpoint. Otherwise as the other overload.</summary>
        /// <param name="name">The projection's name, unique in the application; at most 128 bytes, without a slash or a colon.</param>
        /// <param name="source">The category or stream.</param>
        /// <param name="target">Makes the target. Called once.</param>
        /// <param name="configure">Changes the settings.</param>
        public MillraceBuilder AddProjection(
            string name, string source, Func<IServiceProvider, IProjectionTarget> target, Action<ProjectionOptions>? configure = null)
        {
            ArgumentNullException.ThrowIfNull(target);
            return builder.Add(new(new(name, source), Options(name, configure), target));
        }

        private MillraceBuilder Add(ProjectionDefinition definition)
        {
            ArgumentException.ThrowIfNullOrEmpty(definition.Name);
            ArgumentException.ThrowIfNullOrEmpty(definition.Source);
            if (Encoding.UTF8.GetByteCount(definition.Name) > ProjectionNames.MaxNameBytes)
                throw new ArgumentException($"The name '{definition.Name}' has more than {ProjectionNames.MaxNameBytes} bytes.", nameof(definition));
            if (definition.Name.AsSpan().ContainsAny('/', ':'))
                throw new ArgumentException($"The name '{definition.Name}' has a slash or a colon, which separate it from what is kept.", nameof(definition));
            StreamArguments.CheckName(definition.Names.Notes);
            var others = builder.Services.Select(static service => service.ImplementationInstance).OfType<ProjectionDefinition>().ToList();
            if (others.Exists(other => other.Name == definition.Name))
                throw new ArgumentException($"There is a projection '{definition.Name}' already.", nameof(definition));
            builder.Services.AddSingleton(definition);
            if (others.Count > 0)
                return builder;

            builder.Services.AddSingleton(static services => new ProjectionControl(
                services.GetServices<ProjectionDefinition>().Select(one => new ProjectionRuntime(one, one.Target(services), new(one))),
                services.GetRequiredService<IStreamStore>(),
                services.GetRequiredService<TimeProvider>()));
            builder.Services.AddSingleton(static services => new ProjectionMeter(
                services.GetRequiredService<ProjectionControl>(), services.GetService<IMeterFactory>()));
            builder.Services.AddSingleton<IHostedService>(static services => new ProjectionService(
                services.GetRequiredService<ProjectionControl>(),
                services.GetRequiredService<ProjectionMeter>(),
                services.GetRequiredService<IStreamStore>(),
                services.GetRequiredService<PriorityLanes>(),
                services.GetRequiredService<MessageCodec>(),
                services.GetRequiredService<TimeProvider>(),
                services.GetRequiredService<ILogger<ProjectionService>>()));
            return builder;
        }
    }

    private static TOptions Options<TOptions>(string name, Action<TOptions>? configure)
        where TOptions : ProjectionOptions, new()
    {
        var options = new TOptions();
        configure?.Invoke(options);
        string[] errors = [.. options.Errors().Select(error => $"Projection '{name}': {error}")];
        return errors.Length == 0 ? options : throw new MillraceConfigurationException(errors);
    }
}
