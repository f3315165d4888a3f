using System.Security.Cryptography;
using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Millrace.Consuming;
using Millrace.Consuming.Ordered;
using Millrace.Hosting;
using Millrace.Messages;
using Millrace.Monitoring;
using Millrace.Recurring;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// What the model became: registry, codec, options and the groups to run. Made once; throws everything that is wrong at once.
/// </summary>
internal sealed class MillraceCore
{
    public MillraceCore(IServiceProvider services, MillraceModel model, TimeProvider time, MessageMeter meter)
    {
        Meter = meter;
        model.Freeze();
        var errors = new List<string>();
        var configuration = services.GetService<IConfiguration>();
        Time = time;
        Options = new();
        foreach (var configure in model.Configure)
            configure(Options);
        OptionBinder.Bind(Options, configuration, errors);
        Options.InstanceName ??= model.StoreInstanceName ?? UniqueName();
        Options.Source ??= services.GetService<IHostEnvironment>()?.ApplicationName ?? AppDomain.CurrentDomain.FriendlyName;

        Serializer = new(model.JsonContexts, model.ConfigureJson);
        Codec = new(MessageRegistry.Build(Declarations(model), model.Upcasters, Serializer, errors), Serializer, Options.Source);
        Groups = [.. model.Consumers
            .GroupBy(consumer => (consumer.Stream, consumer.Group))
            .Select(group => Plan([.. group], configuration, errors))];
        foreach (var recurring in model.Recurring)
            CheckPublished(recurring, errors);
        Retentions = model.Retentions
            .GroupBy(retention => retention.Stream)
            .ToDictionary(stream => stream.Key, stream => Retain(stream.Key, stream.Select(one => one.Configure), configuration, errors));
        if (!model.HasStore)
            errors.Add("There is no store: call UseEmbedded, UseMemory, UseRedis or UseStore.");
        if (errors.Count > 0)
            throw new MillraceConfigurationException([.. errors.Distinct()]);
    }

    public TimeProvider Time { get; }

    public MessageMeter Meter { get; }

    public StreamLosses Losses { get; } = new();

    public MillraceOptions Options { get; }

    public MessageSerializer Serializer { get; }

    public EnvelopeCodec Codec { get; }

    public IReadOnlyList<GroupPlan> Groups { get; }

    /// <summary>What to keep of streams.</summary>
    public IReadOnlyDictionary<string, StreamRetention> Retentions { get; }

    /// <summary>Counts a loss and tells whoever wants to know.</summary>
    public void Report(StreamLossEventArgs loss, GroupPlan plan, ILogger logger)
    {
        Meter.Lost(plan, loss.Kind);
        Losses.Raise(loss, logger);
    }

    /// <summary>Makes the fields of a message that no other message caused.</summary>
    public EntryFields Encode(object message, PublishOptions? options) => Encode(message, options, Time.GetUtcNow());

    /// <summary>The same at a moment that messages published together share.</summary>
    public EntryFields Encode(object message, PublishOptions? options, DateTimeOffset now) => Codec.Encode(message, new()
    {
        MessageId = options?.MessageId is null ? MessageIds.Next(now) : default,
        Time = now,
        Options = options,
        TraceParent = Telemetry.TraceParent,
    });

    /// <summary>A handled type that says its name itself is known without being registered.</summary>
    private static IEnumerable<MessageDeclaration> Declarations(MillraceModel model)
    {
        var declared = model.Messages.Select(message => message.Type).ToHashSet();
        return model.Messages.Concat(model.Consumers
            .Select(consumer => consumer.MessageType)
            .Where(type => declared.Add(type) && type.IsDefined(typeof(MessageAttribute), inherit: false))
            .Select(type => new MessageDeclaration(type, null, 0)));
    }

    private GroupPlan Plan(IReadOnlyList<ConsumerRegistration> handlers, IConfiguration? configuration, List<string> errors)
    {
        var (stream, group) = (handlers[0].Stream, handlers[0].Group);
        var options = new ConsumerOptions();
        foreach (var handler in handlers)
            handler.Configure?.Invoke(options);
        OptionBinder.Bind(options, configuration, group, errors);

        var routes = HandlerRoutes.Build(Codec.Registry, handlers, errors);
        var plan = new GroupPlan
        {
            Stream = stream,
            Group = group,
            Consumer = Options.InstanceName!,
            IsBatch = handlers[0].IsBatch,
            Options = options,
            Routes = routes,
            OrderKeys = OrderKeys.Build(options.OrderedBy, Codec.Registry, routes, handlers, errors),
        };
        if (handlers.Any(handler => handler.IsBatch != plan.IsBatch))
            errors.Add($"Consumer of '{stream}' in group '{group}': it has handlers of single messages and of batches; use two groups.");
        if (plan.IsBatch && options.OrderedBy is not null)
            errors.Add($"Consumer of '{stream}' in group '{group}': an ordered group takes single messages, not batches.");
        if (plan.HandlerPlaces > StreamLimits.MaxBatch)
            errors.Add($"Consumer of '{stream}' in group '{group}': Concurrency times BatchSize is more than {StreamLimits.MaxBatch}.");
        try
        {
            StreamArguments.CheckName(stream);
            StreamArguments.CheckName(group);
            if (options.RateLimit > 0)
                StreamArguments.Check(RateLimiter.KeysOf(plan).Taken);
            if (options.DeduplicationWindow > TimeSpan.Zero)
                StreamArguments.Check(Deduplication.KeyOf(plan, ""));
            StreamArguments.Check(plan.Presence);
            return plan.Named();
        }
        catch (ArgumentException exception)
        {
            errors.Add($"Consumer of '{stream}' in group '{group}': {exception.Message}");
            return plan;
        }
    }

    /// <summary>A message without a name would fail at its first firing, perhaps at night; a base class may have names below it.</summary>
    private void CheckPublished(RecurringMessage recurring, List<string> errors)
    {
        try
        {
            if (!recurring.MessageType.IsAbstract)
                Codec.Registry.Describe(recurring.MessageType);
        }
        catch (InvalidOperationException exception)
        {
            errors.Add($"Recurring message '{recurring.Name}': {exception.Message}");
        }
    }

    private static StreamRetention Retain(
        string stream, IEnumerable<Action<StreamRetention>> configure, IConfiguration? configuration, List<string> errors)
    {
        var retention = new StreamRetention();
        foreach (var one in configure)
            one(retention);
        OptionBinder.Bind(retention, configuration, stream, errors);
        try
        {
            StreamArguments.Check(AbandonedGroups.KeyOf(stream));
        }
        catch (ArgumentException exception)
        {
            errors.Add($"Retention of '{stream}': {exception.Message}");
        }

        return retention;
    }

    private static string UniqueName() =>
        $"{Environment.MachineName}-{Environment.ProcessId}-{RandomNumberGenerator.GetHexString(6, lowercase: true)}";
}
