using System.Collections.Concurrent;
using System.Diagnostics.CodeAnalysis;
using System.Reflection;

namespace Millrace.Sagas;

/// <summary>What all sagas have in common, whatever their state. Derive from <see cref="Saga{TState}"/>.</summary>
public abstract class Saga
{
    // What a class says of itself is the same for all, and slow to ask for.
    private static readonly ConcurrentDictionary<Type, string> Names = new();

    private protected Saga(string name, int stateVersion)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentOutOfRangeException.ThrowIfLessThan(stateVersion, 1);
        if (name.Contains('/', StringComparison.Ordinal))
            throw new ArgumentException($"The name '{name}' of a saga has a slash, which parts it from the IDs of its instances.", nameof(name));
        (Name, StateVersion) = (name, stateVersion);
    }

    /// <summary>The name its instances are kept under. A saga that is renamed does not find them any more.</summary>
    public string Name { get; }

    /// <summary>The version of its state's shape, 1 or more.</summary>
    public int StateVersion { get; }

    internal abstract void AddTo(MillraceBuilder builder, SagaHome home);

    /// <summary>The name a message class travels under, as far as the class says it.</summary>
    internal static string NameOf(Type type) =>
        Names.GetOrAdd(type, static type => type.GetCustomAttribute<MessageAttribute>()?.Type ?? type.Name);
}

/// <summary>
/// A long-running process, as what follows from each message in a state. Its constructor says it all: which messages belong to it and to which
/// instance (<see cref="On{TMessage}"/>), what undoes which step (<see cref="Step"/>), and what happens when nothing comes
/// (<see cref="OnTimeout(string, Action{TState, SagaContext})"/>).
/// </summary>
/// <remarks>
/// Handlers decide and do nothing: what they send, and the state they return, leaves in the commit that acknowledges the message. So they
/// are plain functions, are run again when two messages of one instance meet, and are tested without a host, see <see cref="SagaScenario"/>.
/// </remarks>
/// <typeparam name="TState">What an instance remembers; JSON. One saga has one class of its own.</typeparam>
public abstract class Saga<TState> : Saga
    where TState : notnull
{
    private readonly List<SagaRule<TState>> _rules = [];
    private readonly Dictionary<string, SagaStep<TState>> _steps = new(StringComparer.Ordinal);
    private readonly Dictionary<string, Func<TState, SagaContext, TState>> _timeouts = new(StringComparer.Ordinal);
    private readonly Dictionary<int, SagaUpcaster> _upcasters = [];

    /// <summary>Names the saga.</summary>
    /// <param name="name">The name its instances are kept under; without a slash.</param>
    /// <param name="stateVersion">The version of the state's shape. Raise it with an <see cref="Upcast"/> from the one before. Default: 1.</param>
    protected Saga(string name, int stateVersion = 1)
        : base(name, stateVersion)
    {
    }

    internal IReadOnlyList<SagaRule<TState>> Rules => _rules;

    internal IReadOnlyDictionary<string, SagaStep<TState>> Steps => _steps;

    internal Func<TState, string>? Phase { get; private set; }

    internal Func<TState, SagaContext, TState>? Compensated { get; private set; }

    /// <summary>Says what a message means to the saga. Once for each class of messages.</summary>
    /// <typeparam name="TMessage">The message.</typeparam>
    protected SagaMessage<TState, TMessage> On<TMessage>()
        where TMessage : notnull
    {
        var rule = new SagaRule<TState>(typeof(TMessage), (builder, stream, group, rule, configure) => builder.AddConsumer<SagaRunner<TState>, TMessage>(
            stream, group, (runner, message, context, token) => runner.HandleAsync(rule, message, context, token), configure));
        _rules.Add(rule);
        return new(rule);
    }

    /// <summary>
    /// Names a step that can be undone. It counts as done from <see cref="SagaMessage{TState, TMessage}.Completes"/> or
    /// <see cref="SagaContext.Done"/> on.
    /// </summary>
    /// <param name="name">Its name.</param>
    /// <exception cref="ArgumentException">There is one of this name.</exception>
    protected SagaStep<TState> Step(string name)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        var step = new SagaStep<TState>(name);
        if (!_steps.TryAdd(name, step))
            throw new ArgumentException($"The saga '{Name}' has a step '{name}' already.", nameof(name));
        return step;
    }

    /// <summary>Says what happens when a time-out fires. Not called for one that was cancelled or superseded, nor once the saga compensates.</summary>
    /// <param name="name">The time-out, see <see cref="SagaContext.Timeout"/>.</param>
    /// <param name="handle">What follows; gives the new state.</param>
    protected void OnTimeout(string name, Func<TState, SagaContext, TState> handle)
    {
        ArgumentException.ThrowIfNullOrEmpty(name);
        ArgumentNullException.ThrowIfNull(handle);
        _timeouts.Add(name, handle);
    }

    /// <summary>As the other overload, for what leaves the state as it is.</summary>
    /// <param name="name">The time-out.</param>
    /// <param name="handle">What follows.</param>
    protected void OnTimeout(string name, Action<TState, SagaContext> handle)
    {
        ArgumentNullException.ThrowIfNull(handle);
        OnTimeout(name, (state, saga) =>
        {
            handle(state, saga);
            return state;
        });
    }

    /// <summary>
    /// Says what follows when every step has been undone, such as telling so. Called once; in it, nothing can be done or compensated. If it throws, or
    /// what it sends cannot leave, the saga <see cref="SagaStatus.NeedsAttention"/>.
    /// </summary>
    /// <param name="handle">What follows.</param>
    protected void OnCompensated(Action<TState, SagaContext> handle)
    {
        ArgumentNullException.ThrowIfNull(handle);
        Compensated = (state, saga) =>
        {
            handle(state, saga);
            return state;
        };
    }

    /// <summary>Names the phase a state is in, for the timeline. Default: none; the timeline then tells the status only.</summary>
    /// <param name="phase">Gives the name.</param>
    protected void DescribedBy(Func<TState, string> phase) => Phase = phase;

    /// <summary>Turns states of an older shape into the next one when they are read. Steps are chained.</summary>
    /// <typeparam name="TFrom">The state in version <paramref name="from"/>.</typeparam>
    /// <typeparam name="TTo">The state in the version after it.</typeparam>
    /// <param name="from">The older version.</param>
    /// <param name="upcast">The step; pure.</param>
    protected void Upcast<TFrom, TTo>(int from, Func<TFrom, TTo> upcast)
        where TFrom : notnull
        where TTo : notnull
    {
        ArgumentNullException.ThrowIfNull(upcast);
        _upcasters.Add(from, new(typeof(TFrom), typeof(TTo), static (codec, json) => codec.Deserialize<TFrom>(json), state => upcast((TFrom)state)));
    }

    internal bool TryFindTimeout(string name, [NotNullWhen(true)] out Func<TState, SagaContext, TState>? handle) => _timeouts.TryGetValue(name, out handle);

    /// <exception cref="SagaStateException">The state is of a newer version, of one without an upcaster, or unreadable.</exception>
    internal TState ReadState(MessageCodec codec, string id, int version, ReadOnlySpan<byte> json)
    {
        if (version > StateVersion)
            throw new SagaStateException(Name, id, $"Its state has version {version}, and this process knows {StateVersion} at most.");
        if (version < StateVersion && !_upcasters.ContainsKey(version))
            throw new SagaStateException(Name, id, $"Its state has version {version}, from which no upcaster leads to {StateVersion}.");
        try
        {
            var state = version == StateVersion ? codec.Deserialize<TState>(json) : _upcasters[version].Read(codec, json);
            for (; version < StateVersion && state is not null; version++)
                state = _upcasters[version].Step(state);
            return (TState)(state ?? throw new FormatException("It is null."));
        }
        catch (Exception exception)
        {
            // Converters, constructors and upcasters are the application's code and may throw anything.
            throw new SagaStateException(Name, id, $"Its state of version {version} cannot be read: {exception.Message}", exception);
        }
    }

    /// <summary>Everything that is wrong with what the constructor says.</summary>
    internal IReadOnlyList<string> Check()
    {
        var errors = _rules.SelectMany(rule => rule.Check(_steps)).ToList();
        errors.AddRange(_rules.GroupBy(rule => rule.MessageType)
            .Where(group => group.Count() > 1)
            .Select(group => $"there are two rules for {group.Key.Name}"));
        if (!_rules.Exists(rule => rule.Start is not null))
            errors.Add("no message starts it");
        errors.AddRange(_steps.Values
            .Where(step => step.IsAwaited && !_rules.Exists(rule => rule.Confirms == step.Name))
            .Select(step => $"no message confirms that the step '{step.Name}' is undone"));
        errors.AddRange(_steps.Values
            .Where(step => step.IsAwaited && step.Undo is null)
            .Select(step => $"nothing undoes the step '{step.Name}' that is awaited"));
        errors.AddRange(_rules
            .Where(rule => rule.Detail is null && (rule.Confirms ?? rule.Refuses) is { } answered
                && _rules.Exists(other => other.Completes == answered && other.Detail is not null))
            .Select(rule => $"{rule.MessageType.Name} does not say which '{rule.Confirms ?? rule.Refuses}' it is about: give it the detail, too"));
        for (var version = _upcasters.Keys.DefaultIfEmpty(StateVersion).Min(); version < StateVersion; version++)
            if (!_upcasters.TryGetValue(version, out var step))
                errors.Add($"no upcaster leads from version {version} of its state to the next");
            else if (step.To != (version + 1 == StateVersion ? typeof(TState) : _upcasters.GetValueOrDefault(version + 1)?.From ?? step.To))
                errors.Add($"the upcaster from version {version} of its state makes {step.To.Name}, which version {version + 1} is not");
        return [.. errors.Select(error => $"Saga '{Name}': {error}.")];
    }

    internal override void AddTo(MillraceBuilder builder, SagaHome home) => SagaRegistration.Add(builder, this, home);
}

/// <summary>A step from one version of a state to the next.</summary>
/// <param name="From">The older class.</param>
/// <param name="To">The newer class.</param>
/// <param name="Read">Reads the older one.</param>
/// <param name="Step">The step.</param>
internal sealed record SagaUpcaster(Type From, Type To, SagaStateReader Read, Func<object, object> Step);

internal delegate object? SagaStateReader(MessageCodec codec, ReadOnlySpan<byte> json);
