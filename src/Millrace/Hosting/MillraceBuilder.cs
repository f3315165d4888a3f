using System.Diagnostics.CodeAnalysis;
using System.Text.Json;
using System.Text.Json.Serialization;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.DependencyInjection.Extensions;
using Microsoft.Extensions.Logging;
using Millrace.Embedded;
using Millrace.Hosting;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// Says what Millrace does in an application: its store, messages and consumers. What is wrong shows when the host starts.
/// </summary>
public sealed class MillraceBuilder
{
    private readonly MillraceModel _model;

    internal MillraceBuilder(IServiceCollection services, MillraceModel model) => (Services, _model) = (services, model);

    /// <summary>The services of the application.</summary>
    public IServiceCollection Services { get; }

    /// <summary>Uses a store made by the container, which disposes it.</summary>
    /// <param name="factory">Makes the store. Called once.</param>
    public MillraceBuilder UseStore(Func<IServiceProvider, IStreamStore> factory)
    {
        ArgumentNullException.ThrowIfNull(factory);
        return UseStore(ServiceDescriptor.Singleton(factory), instanceName: null);
    }

    /// <summary>
    /// Uses a store the caller owns and disposes, after the host: several hosts may share one. Name each with
    /// <see cref="UseInstanceName"/> if
    /// one that comes back is to find at once what it left pending.
    /// </summary>
    /// <param name="store">The store.</param>
    public MillraceBuilder UseStore(IStreamStore store)
    {
        ArgumentNullException.ThrowIfNull(store);
        return UseStore(ServiceDescriptor.Singleton(store), instanceName: null);
    }

    /// <summary>
    /// Uses a durable store inside this process: nothing to install, the data in a directory that only one process can open.
    /// </summary>
    /// <param name="directory">The data directory; made when it is new.</param>
    /// <param name="configure">Sets further options of the store.</param>
    public MillraceBuilder UseEmbedded(string directory, Action<EmbeddedStoreOptions>? configure = null)
    {
        ArgumentException.ThrowIfNullOrEmpty(directory);
        var options = new EmbeddedStoreOptions { Directory = directory };
        configure?.Invoke(options);
        return UseEmbedded(options);
    }

    /// <summary>Uses a store in the memory of this process, for tests and trials: its content ends with the host.</summary>
    public MillraceBuilder UseMemory() => UseEmbedded(new EmbeddedStoreOptions());

    /// <summary>
    /// Names this process in every consumer group, see <see cref="MillraceOptions.InstanceName"/>.
    /// </summary>
    /// <param name="name">A name no other process alive has.</param>
    public MillraceBuilder UseInstanceName(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        return Configure(options => options.InstanceName = name);
    }

    /// <summary>Sets options of the whole application. Configuration under <c>Millrace</c> comes after it.</summary>
    /// <param name="configure">Sets them.</param>
    public MillraceBuilder Configure(Action<MillraceOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(configure);
        _model.Configure.Add(configure);
        return this;
    }

    /// <summary>
    /// Adds source-generated JSON metadata for messages and state documents. Asked in the order added; reflection comes last where the
    /// application has it enabled.
    /// </summary>
    /// <param name="context">The context.</param>
    public MillraceBuilder UseJson(JsonSerializerContext context)
    {
        ArgumentNullException.ThrowIfNull(context);
        _model.JsonContexts.Add(context);
        return this;
    }

    /// <summary>Changes how messages and state documents are written as JSON. Default: camel case, text not escaped for HTML.</summary>
    /// <param name="configure">Changes the options.</param>
    public MillraceBuilder ConfigureJson(Action<JsonSerializerOptions> configure)
    {
        ArgumentNullException.ThrowIfNull(configure);
        _model.ConfigureJson.Add(configure);
        return this;
    }

    /// <summary>Makes a message type known to readers, under the name and version of its <see cref="MessageAttribute"/>.</summary>
    /// <typeparam name="TMessage">The message type.</typeparam>
    public MillraceBuilder AddMessage<TMessage>()
        where TMessage : notnull
    {
        _model.Messages.Add(new(typeof(TMessage), null, 0));
        return this;
    }

    /// <summary>Makes a message type known under a name and version, whatever its attribute says.</summary>
    /// <typeparam name="TMessage">The message type.</typeparam>
    /// <param name="type">The message's name on the wire.</param>
    /// <param name="version">The version of its shape, 1 or more.</param>
    public MillraceBuilder AddMessage<TMessage>(string type, int version)
        where TMessage : notnull
    {
        ArgumentNullException.ThrowIfNull(type);
        _model.Messages.Add(new(typeof(TMessage), type, version));
        return this;
    }

    /// <summary>
    /// Turns a version of a message into the next one when it is read, so that handlers see the version they are written for. Steps are
    /// chained.
    /// </summary>
    /// <typeparam name="TFrom">Version n.</typeparam>
    /// <typeparam name="TTo">Version n + 1 of the same name.</typeparam>
    /// <param name="upcast">The step; pure.</param>
    public MillraceBuilder AddUpcaster<TFrom, TTo>(Func<TFrom, TTo> upcast)
        where TFrom : notnull
        where TTo : notnull
    {
        ArgumentNullException.ThrowIfNull(upcast);
        _model.Upcasters.Add(new(typeof(TFrom), typeof(TTo), message => upcast((TFrom)message)));
        return this;
    }

    /// <summary>Adds a handler of a message type to a consumer group.</summary>
    /// <typeparam name="TMessage">The message type.</typeparam>
    /// <param name="stream">The stream.</param>
    /// <param name="group">The group; made when it does not exist.</param>
    /// <param name="handler">The handler. Returning means acknowledged, throwing means tried again later.</param>
    /// <param name="configure">Sets options of the group; every handler of a group may, in the order added.</param>
    public MillraceBuilder AddConsumer<TMessage>(
        string stream,
        string group,
        Func<TMessage, MessageContext, CancellationToken, Task> handler,
        Action<ConsumerOptions>? configure = null)
        where TMessage : notnull
    {
        ArgumentNullException.ThrowIfNull(handler);
        _model.AddConsumer(ConsumerRegistration.ForDelegate(stream, group, handler, configure));
        return this;
    }

    /// <summary>
    /// Adds a handler of a message type to a consumer group: a method of a class that is resolved in a scope of its own for each delivery.
    /// The class is registered as scoped when it is not registered yet.
    /// </summary>
    /// <typeparam name="THandler">The class.</typeparam>
    /// <typeparam name="TMessage">The message type.</typeparam>
    /// <param name="stream">The stream.</param>
    /// <param name="group">The group; made when it does not exist.</param>
    /// <param name="handler">Calls the method.</param>
    /// <param name="configure">Sets options of the group; every handler of a group may, in the order added.</param>
    public MillraceBuilder AddConsumer<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler, TMessage>(
        string stream,
        string group,
        Func<THandler, TMessage, MessageContext, CancellationToken, Task> handler,
        Action<ConsumerOptions>? configure = null)
        where THandler : class
        where TMessage : notnull
    {
        ArgumentNullException.ThrowIfNull(handler);
        Services.TryAddScoped<THandler>();
        _model.AddConsumer(ConsumerRegistration.ForClass(stream, group, handler, configure));
        return this;
    }

    /// <summary>
    /// Publishes a message again and again: each firing exactly once, whichever of the processes that add it makes it, also through restarts.
    /// The chain of firings lives in the store and begins when the first such process starts; while none runs, firings are late.
    /// </summary>
    /// <remarks>
    /// Costs one commit a firing, and in each process a blocked read. A process that starts with another recurrence under the same name begins the
    /// chain anew, from then on: what the old one still owed is not made. With another <paramref name="missed"/> alone it goes on. A message that
    /// is not added any more stops at the next firing; added again later, it makes up for what it missed as <paramref name="missed"/> says.
    /// </remarks>
    /// <typeparam name="TMessage">The message type.</typeparam>
    /// <param name="name">Its name, unique in the stream.</param>
    /// <param name="stream">The stream it is published to.</param>
    /// <param name="recurrence">When it is due.</param>
    /// <param name="message">
    /// Makes the message of the moment that was due, in UTC. What it throws is retried. The message ID is the name and the moment.
    /// </param>
    /// <param name="missed">What becomes of firings whose time passed while no process ran. Default: all are made up for.</param>
    /// <param name="options">More about each message; no ID, delay or trim. The host does not start when it declares no such lane. Default: nothing.</param>
    /// <exception cref="ArgumentException">
    /// The stream or the name cannot be part of a key; or the options have an ID, a delay, a trim or a header whose name is not allowed.
    /// </exception>
    /// <exception cref="InvalidOperationException">The stream has a recurring message of this name already, or the host has started.</exception>
    public MillraceBuilder AddRecurring<TMessage>(
        string name,
        string stream,
        Recurrence recurrence,
        Func<DateTimeOffset, TMessage> message,
        MissedFirings missed = MissedFirings.All,
        PublishOptions? options = null)
        where TMessage : notnull
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentException.ThrowIfNullOrEmpty(stream);
        ArgumentNullException.ThrowIfNull(recurrence);
        ArgumentNullException.ThrowIfNull(message);
        options ??= new();
        if (options is not { MessageId: null, Delay: null })
            throw new ArgumentException($"The recurring message '{name}' cannot have an ID or a delay: both come from its moment.", nameof(options));
        if (options.Trim is not null)
            throw new ArgumentException($"The recurring message '{name}' cannot trim its stream, as it leaves in a commit: use AddRetention.", nameof(options));
        foreach (var header in options.Headers?.Keys ?? [])
            EnvelopeFieldNames.CheckHeader(header);
        _model.AddRecurring(new(
            name, stream, recurrence, missed, typeof(TMessage), options.Lane,
            (context, to, due, id) => context.Publish(to, message(due), options with { MessageId = id })));
        return this;
    }

    /// <summary>
    /// Gives a stream priority lanes: streams beside it, to which messages with <see cref="PublishOptions.Lane"/> go. Every group of the stream reads
    /// them all and shares its handlers' places among them by their weights, so that no lane starves; each lane has its own prefetch, leases and
    /// retries, and all share rate limit, dead letters and state documents. Say the same in every process that publishes or consumes: which lanes there
    /// are is kept beside the stream, and a process that consumes it and declares fewer does not start. Not for ordered groups. Costs each group one
    /// blocked read a lane.
    /// </summary>
    /// <param name="stream">The stream; its own entries are those without a lane.</param>
    /// <param name="configure">Adds the lanes.</param>
    public MillraceBuilder AddLanes(string stream, Action<LaneOptions> configure)
    {
        ArgumentException.ThrowIfNullOrEmpty(stream);
        ArgumentNullException.ThrowIfNull(configure);
        _model.Lanes.Add((stream, configure));
        return this;
    }

    /// <summary>
    /// Keeps a stream from growing for ever: every <see cref="MillraceOptions.RetentionInterval"/> one of the processes drops what the policy
    /// does not keep. What a group of the stream has not settled stays unless the policy says otherwise.
    /// </summary>
    /// <param name="stream">The stream.</param>
    /// <param name="configure">Sets what to keep; configuration under <c>Millrace:Retention:&lt;stream&gt;</c> has the last word.</param>
    public MillraceBuilder AddRetention(string stream, Action<StreamRetention> configure)
    {
        ArgumentException.ThrowIfNullOrEmpty(stream);
        ArgumentNullException.ThrowIfNull(configure);
        _model.Retentions.Add((stream, configure));
        return this;
    }

    /// <summary>
    /// Adds a handler that takes many messages at once to a consumer group, see <see cref="ConsumerOptions.BatchSize"/>. Other handlers of the
    /// group must take many at once, too.
    /// </summary>
    /// <typeparam name="TMessage">The message type.</typeparam>
    /// <param name="stream">The stream.</param>
    /// <param name="group">The group; made when it does not exist.</param>
    /// <param name="handler">The handler. What it says nothing of is acknowledged when it returns and failed when it throws.</param>
    /// <param name="configure">Sets options of the group; every handler of a group may, in the order added.</param>
    public MillraceBuilder AddBatchConsumer<TMessage>(
        string stream,
        string group,
        Func<IReadOnlyList<TMessage>, BatchContext, CancellationToken, Task> handler,
        Action<ConsumerOptions>? configure = null)
        where TMessage : notnull
    {
        ArgumentNullException.ThrowIfNull(handler);
        _model.AddConsumer(ConsumerRegistration.ForBatch<TMessage>(
            stream, group, needsScope: false, (messages, batch, _, cancellationToken) => handler(messages, batch, cancellationToken), configure));
        return this;
    }

    /// <summary>
    /// As the other overload, with a method of a class that is resolved in a scope of its own for each batch. The class is registered as scoped
    /// when it is not registered yet.
    /// </summary>
    /// <typeparam name="THandler">The class.</typeparam>
    /// <typeparam name="TMessage">The message type.</typeparam>
    /// <param name="stream">The stream.</param>
    /// <param name="group">The group; made when it does not exist.</param>
    /// <param name="handler">Calls the method.</param>
    /// <param name="configure">Sets options of the group; every handler of a group may, in the order added.</param>
    public MillraceBuilder AddBatchConsumer<[DynamicallyAccessedMembers(DynamicallyAccessedMemberTypes.PublicConstructors)] THandler, TMessage>(
        string stream,
        string group,
        Func<THandler, IReadOnlyList<TMessage>, BatchContext, CancellationToken, Task> handler,
        Action<ConsumerOptions>? configure = null)
        where THandler : class
        where TMessage : notnull
    {
        ArgumentNullException.ThrowIfNull(handler);
        Services.TryAddScoped<THandler>();
        _model.AddConsumer(ConsumerRegistration.ForBatch<TMessage>(
            stream,
            group,
            needsScope: true,
            (messages, batch, services, cancellationToken) =>
                handler(services.GetRequiredService<THandler>(), messages, batch, cancellationToken),
            configure));
        return this;
    }

    /// <summary>
    /// One process at a time can have the store, so its name stays and a restart finds at once what the last run left pending.
    /// </summary>
    private MillraceBuilder UseEmbedded(EmbeddedStoreOptions options) => UseStore(
        ServiceDescriptor.Singleton<IStreamStore>(services => new EmbeddedStreamStore(
            options, services.GetService<TimeProvider>(), services.GetService<ILogger<EmbeddedStreamStore>>())),
        instanceName: "local");

    private MillraceBuilder UseStore(ServiceDescriptor store, string? instanceName)
    {
        if (_model.HasStore)
            throw new InvalidOperationException("The application has a store already; choose one of the Use methods.");
        _model.HasStore = true;
        _model.StoreInstanceName = instanceName;
        Services.Add(store);
        return this;
    }
}
