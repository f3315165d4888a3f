using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Consuming;
using Millrace.Embedded;
using Millrace.Hosting;
using Millrace.Streams;

namespace Millrace.Testing;

/// <summary>One handler by itself.</summary>
public sealed partial class MillraceTestHost
{
    /// <summary>
    /// Runs a handler with a message, beside the store of the application: nothing is published, read or retried, and no other handler runs.
    /// What it throws comes out.
    /// </summary>
    /// <typeparam name="THandler">The class of the handler, made as in the application, in a scope of its own.</typeparam>
    /// <typeparam name="TMessage">The message type.</typeparam>
    /// <param name="message">The message.</param>
    /// <param name="given">Puts the state documents that it is to find. Default: none.</param>
    /// <param name="options">What its publisher said about the message. Default: nothing.</param>
    /// <param name="cancellationToken">The token of the handler. It has no time limit.</param>
    /// <returns>What it wanted to commit.</returns>
    /// <exception cref="InvalidOperationException">The application has no such handler, or several, or it takes batches.</exception>
    public Task<HandlerEffects> HandleAsync<THandler, TMessage>(
        TMessage message, Action<StateSession>? given = null, PublishOptions? options = null, CancellationToken cancellationToken = default)
        where THandler : class
        where TMessage : notnull => HandleAsync(
            Find(consumer => consumer.HandlerType == typeof(THandler) && consumer.MessageType == typeof(TMessage),
                $"of {typeof(TMessage)} in {typeof(THandler)}"),
            message, given, options, cancellationToken);

    /// <summary>The same for the handler of a group, whatever it is: a delegate, a static method or a method of a class.</summary>
    /// <typeparam name="TMessage">The message type.</typeparam>
    /// <param name="stream">The stream.</param>
    /// <param name="group">The group.</param>
    /// <param name="message">The message.</param>
    /// <param name="given">Puts the state documents that it is to find. Default: none.</param>
    /// <param name="options">What its publisher said about the message. Default: nothing.</param>
    /// <param name="cancellationToken">The token of the handler. It has no time limit.</param>
    /// <returns>What it wanted to commit.</returns>
    /// <exception cref="InvalidOperationException">The application has no such handler, or it takes batches.</exception>
    public Task<HandlerEffects> HandleAsync<TMessage>(
        string stream,
        string group,
        TMessage message,
        Action<StateSession>? given = null,
        PublishOptions? options = null,
        CancellationToken cancellationToken = default)
        where TMessage : notnull => HandleAsync(
            Find(consumer => (consumer.Stream, consumer.Group, consumer.MessageType) == (stream, group, typeof(TMessage)),
                $"of {typeof(TMessage)} in group '{group}' of '{stream}'"),
            message, given, options, cancellationToken);

    private ConsumerRegistration Find(Predicate<ConsumerRegistration> matches, string what)
    {
        var found = Services.GetRequiredService<MillraceModel>().Consumers.FindAll(matches);
        return found is [var only] ? only : throw new InvalidOperationException(found.Count == 0
            ? $"There is no handler {what}."
            : $"There are {found.Count} handlers {what}; name the stream and the group.");
    }

    /// <summary>A delivery like any other, from a store that has nothing but the message and what it is to find.</summary>
    private async Task<HandlerEffects> HandleAsync(
        ConsumerRegistration consumer, object message, Action<StateSession>? given, PublishOptions? options, CancellationToken cancellationToken)
    {
        if (consumer.Invoke is not { } invoke)
            throw new InvalidOperationException("The handler takes batches; publish to it instead.");
        var core = Services.GetRequiredService<MillraceCore>();
        var plan = core.Groups.Single(plan => (plan.Stream, plan.Group) == (consumer.Stream, consumer.Group));
        var store = new EmbeddedStreamStore(new(), Time);
        await using var closing = store.ConfigureAwait(false);
        if (given is not null)
        {
            var commit = new CommitScope(core, store, plan.Stream, options: null);
            given(commit.State);
            await commit.CommitAsync(cancellationToken).ConfigureAwait(false);
        }

        await store.AppendAsync(plan.Stream, core.Encode(message, options), cancellationToken: cancellationToken).ConfigureAwait(false);
        await store.CreateGroupAsync(plan.Stream, plan.Group, GroupStart.Beginning, cancellationToken).ConfigureAwait(false);
        var read = new GroupRead { Group = plan.Group, Consumer = plan.Consumer, Streams = [plan.Stream] };
        var entry = (await store.ReadGroupAsync(read, cancellationToken).ConfigureAwait(false))[0].Entries[0];

        var settlement = new Settlement(
            core, store, plan, new(1, new(plan.Options), static () => { }), NullLogger.Instance, CancellationToken.None, static (_, _) => Task.CompletedTask);
        var delivery = new Delivery(plan.Stream, isAgain: false, isRecovered: false, entry, Time.GetTimestamp());
        var context = new MessageContext(delivery, settlement);
        var scope = Services.CreateAsyncScope();
        await using (scope.ConfigureAwait(false))
            await invoke(scope.ServiceProvider, message, context, cancellationToken).ConfigureAwait(false);

        List<CommitChange> changes = [];
        context.AddEffectsTo([], changes);
        var dead = await store.RangeAsync(plan.DeadLetters, new(), cancellationToken).ConfigureAwait(false);
        return new(core, plan.Stream, changes, dead is [var letter, ..] ? new MessageHeaders(letter.Id, letter.Fields).DeadReason : null);
    }
}
