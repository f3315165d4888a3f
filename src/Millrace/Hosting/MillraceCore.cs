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
using Millrace.Monitoring.Health;
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
        Refusals = new(time);
        Options = new();
        foreach (var configure in model.Configure)
            configure(Options);
        OptionBinder.Bind(Options, configuration, errors);
        HasRandomName = Options.InstanceName is null && model.StoreInstanceName is null;
        Options.InstanceName ??= model.StoreInstanceName ?? UniqueName();
        Options.Source ??= services.GetService<IHostEnvironment>()?.ApplicationName ?? AppDomain.CurrentDomain.FriendlyName;

        Serializer = new(model.JsonContexts, model.ConfigureJson);
        Codec = new(MessageRegistry.Build(Declarations(model), model.Upcasters, Serializer, errors), Serializer, Options.Source);
        Lanes = model.Lanes
            .GroupBy(lanes => lanes.Stream)
            .ToDictionary(stream => stream.Key, stream => Declare(stream.Key, stream.Select(one => one.Configure), errors));
        Groups = [.. model.Consumers
            .GroupBy(consumer => (consumer.Stream, consumer.Group))
            .SelectMany(group => PlanLanes(Plan([.. group], configuration, errors), errors))];
        foreach (var recurring in model.Recurring)
            CheckPublished(recurring, errors);
        Retentions = model.Retentions
            .GroupBy(retention => retention.Stream)
            .Select(stream => (stream.Key, Retention: Retain(stream.Key, stream.Select(one => one.Configure), configuration, errors)))
            .SelectMany(stream => WithLanes(stream.Key).Select(name => (name, stream.Retention)))
            .ToDictionary();
        if (!model.HasStore)
            errors.Add("There is no store: call UseEmbedded, UseMemory, UseRedis or UseStore.");
        if (errors.Count > 0)
            throw new MillraceConfigurationException([.. errors.Distinct()]);
    }

    public TimeProvider Time { get; }

    public MessageMeter Meter { get; }

    public StreamLosses Losses { get; } = new();

    public StoreRefusals Refusals { get; }

    public MillraceOptions Options { get; }

    /// <summary>Whether this process has another instance name after each start.</summary>
    public bool HasRandomName { get; }

    public MessageSerializer Serializer { get; }

    public EnvelopeCodec Codec { get; }

    public IReadOnlyList<GroupPlan> Groups { get; }

    /// <summary>The lanes of streams that have any.</summary>
    public IReadOnlyDictionary<string, LaneOptions> Lanes { get; }

    /// <summary>The lanes this process declared for a stream.</summary>
    public IEnumerable<string> LanesOf(string stream) => Lanes.TryGetValue(stream, out var options) ? options.Lanes.Keys : [];

    /// <summary>What to keep of streams.</summary>
    public IReadOnlyDictionary<string, StreamRetention> Retentions { get; }

    /// <summary>The stream that a message goes to: the one that was named, or its lane.</summary>
    /// <exception cref="ArgumentException">The stream has no such lane.</exception>
    public string StreamOf(string stream, PublishOptions? options) => options?.Lane is { } lane ? LaneOf(stream, lane) : stream;

    /// <exception cref="ArgumentException">The stream has no such lane.</exception>
    public string LaneOf(string stream, string lane)
    {
        ArgumentNullException.ThrowIfNull(stream);
        if (!Lanes.TryGetValue(stream, out var options) || !options.Lanes.ContainsKey(lane))
            throw new ArgumentException($"The stream '{stream}' has no lane '{lane}'; declare it with AddLanes.", nameof(lane));
        return StreamNames.Lane(stream, lane);
    }

    /// <summary>Counts a loss and tells whoever wants to know.</summary>
    public void Report(StreamLossEventArgs loss, GroupPlan plan, ILogger logger)
    {
        Meter.Lost(plan, loss.Kind);
        Losses.Raise(loss, logger);
    }

    /// <summary>Makes the fields of a message that no other message caused.</summary>
    public EntryFields Encode(object message, PublishOptions? options) => Encode(message, options, Time.GetUtcNow());

    /// <summary>The same at a moment that messages published together share.</summary>
    /// <param name="message">The message.</param>
    /// <param name="options">More about it.</param>
    /// <param name="now">The moment. What is published at once does not say it: the ID of its entry does.</param>
    /// <param name="isKept">It is not published now, and has to say it in any case.</param>
    public EntryFields Encode(object message, PublishOptions? options, DateTimeOffset now, bool isKept = false) => Codec.Encode(message, new()
    {
        MessageId = options?.MessageId is null ? MessageIds.Next(now) : default,
        Time = isKept || options?.Delay is not null ? now : null,
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

        var routes = HandlerRoutes.Build(Codec.Registry, handlers, options.OwnsStream, errors);
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
        if (options.OwnsStream && (options.Undecodable == UndecodablePolicy.Ignore || options.OrderedBy is not null
            || options.DeduplicationWindow > TimeSpan.Zero || Lanes.ContainsKey(stream)))
        {
            errors.Add(
                $"Consumer of '{stream}' in group '{group}': it owns its stream; leave out lanes, OrderedBy, DeduplicationWindow, and Undecodable = Ignore.");
        }

        if (plan.HandlerPlaces > StreamLimits.MaxBatch)
            errors.Add($"Consumer of '{stream}' in group '{group}': Concurrency times BatchSize is more than {StreamLimits.MaxBatch}.");
        try
        {
            StreamArguments.CheckName(stream);
            StreamArguments.CheckName(group);
            if (options.RateLimit > 0)
                StreamArguments.Check(RateLimiter.KeysOf(plan.Home, plan.Group).Taken);
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

    private IEnumerable<string> WithLanes(string stream) => Lanes.TryGetValue(stream, out var options)
        ? options.Lanes.Keys.Select(lane => StreamNames.Lane(stream, lane)).Prepend(stream)
        : [stream];

    private static LaneOptions Declare(string stream, IEnumerable<Action<LaneOptions>> configure, List<string> errors)
    {
        var options = new LaneOptions();
        foreach (var one in configure)
            one(options);
        options.Check(stream, errors);
        return options;
    }

    /// <summary>The plan, or one for the stream and each of its lanes, which share the handlers' places.</summary>
    private IEnumerable<GroupPlan> PlanLanes(GroupPlan plan, List<string> errors)
    {
        if (!Lanes.TryGetValue(plan.Stream, out var options))
            return [plan];
        if (plan.OrderKeys is not null)
            errors.Add($"Consumer of '{plan.Stream}' in group '{plan.Group}': a stream with lanes has no order across them; leave OrderedBy out.");
        if (2 * plan.HandlerPlaces > StreamLimits.MaxBatch)
            errors.Add($"Consumer of '{plan.Stream}' in group '{plan.Group}': with lanes, handlers at once are at most {StreamLimits.MaxBatch / 2}.");
        if (errors.Count > 0)
            return [plan];

        var budget = new LaneBudget(plan.HandlerPlaces, options.Lanes.Values.Prepend(options.Weight), options.MaxWait, Time);
        try
        {
            var lanes = options.Lanes.Keys.Select((name, i) =>
                (plan with { Stream = StreamNames.Lane(plan.Stream, name), Home = plan.Stream, Lane = new(name, budget, i + 1) }).Named());
            return [plan with { Lane = new(null, budget, 0) }, .. lanes];
        }
        catch (ArgumentException exception)
        {
            errors.Add($"Lanes of '{plan.Stream}': {exception.Message}");
            return [plan];
        }
    }

    /// <summary>A message without a name, or for no lane, would fail at its first firing, perhaps at night; a base class may have names below it.</summary>
    private void CheckPublished(RecurringMessage recurring, List<string> errors)
    {
        if (recurring.Lane is { } lane && !LanesOf(recurring.Stream).Contains(lane))
            errors.Add($"Recurring message '{recurring.Name}': the stream '{recurring.Stream}' has no lane '{lane}'; declare it with AddLanes.");
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
