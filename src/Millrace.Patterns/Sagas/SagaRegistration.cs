using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.Sagas;

/// <summary>Adds a saga's consumers, its services and the retention of its index.</summary>
internal static class SagaRegistration
{
    public static void Add<TState>(MillraceBuilder builder, Saga<TState> saga, SagaHome home)
        where TState : notnull
    {
        var streams = home.Streams.Concat(saga.Steps.Values.Where(step => step.Undo is not null).Select(step => step.To));
        List<string> errors = [.. saga.Check(), .. home.Options.Check(streams).Select(error => $"Saga '{saga.Name}': {error}.")];
        if (builder.Services.Any(service => service.ServiceType == typeof(SagaStore<TState>)))
            errors.Add($"Saga '{saga.Name}': another saga has the state {typeof(TState).Name}; give each a class of its own.");
        if (builder.Services.Select(service => service.ImplementationInstance).OfType<SagaHome>().Any(other => other.Private == home.Private))
            errors.Add($"Saga '{saga.Name}': another saga is in the group '{home.Group}' of the stream '{home.Stream}'; give each a group of its own.");
        if (errors.Count > 0)
            throw new MillraceConfigurationException(errors);

        builder.UseJson(SagaJson.Default);
        builder.Services.AddSingleton(home);
        builder.Services.AddSingleton(services => new SagaRunner<TState>(
            saga,
            home,
            services.GetRequiredService<IStreamStore>(),
            services.GetRequiredService<MessageCodec>(),
            services.GetRequiredService<TimeProvider>(),
            services.GetRequiredService<ILogger<SagaRunner<TState>>>()));
        builder.Services.AddSingleton(services => new SagaStore<TState>(
            saga, home, services.GetRequiredService<IStreamStore>(), services.GetRequiredService<MessageCodec>(), services.GetRequiredService<Publisher>()));

        void Configure(ConsumerOptions options)
        {
            home.Options.Consumer.ForEach(configure => configure(options));

            // While versions change, processes of the older one take up what only the newer one can handle. Behind the application's own rules, which decide.
            options.RetryOn<SagaStateException>(maxAttempts: 1_000, baseDelay: TimeSpan.FromSeconds(1), maxDelay: TimeSpan.FromMinutes(1));
        }

        builder.AddConsumer<SagaRunner<TState>, SagaTimeout>(
            home.Stream, home.Group, static (runner, timeout, context, token) => runner.HandleTimeoutAsync(timeout, context, token), Configure);
        builder.AddConsumer<SagaRunner<TState>, SagaRequest>(
            home.Stream, home.Group, static (runner, request, context, token) => runner.HandleRequestAsync(request, context, token));
        foreach (var (i, stream) in home.Streams.Index())
            foreach (var (j, rule) in saga.Rules.Index())
                rule.AddTo(builder, stream, home.Group, i > 0 && j == 0 ? Configure : null);
        if (home.Options.Retention > TimeSpan.Zero)
            builder.AddRetention(home.Ended, retention => retention.MaxAge = home.Options.Retention);
    }
}
