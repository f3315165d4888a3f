using Millrace.Streams;

namespace Millrace.EventSourcing;

public sealed partial class EventStore
{
    /// <summary>
    /// Appends events in the commit that acknowledges the message a handler works on: with its outputs, once for the message, or not at all. Nothing
    /// is written yet; for a stream that is new, or any version, one round trip tells what is there. When the stream has another version by then,
    /// the handler runs again: load in the handler what the events are decided from.
    /// </summary>
    /// <param name="context">The message. Its conversation goes on in the events, and it is their cause.</param>
    /// <param name="stream">The stream; on a cluster, in the hash slot of the message's stream. Once a message.</param>
    /// <param name="expected">The version the stream must have.</param>
    /// <param name="events">See <see cref="AppendAsync"/>.</param>
    /// <param name="options">More about the append; without a command ID, for which the message stands. Default: nothing.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="ArgumentException">There is a command ID.</exception>
    /// <exception cref="CommitConflictException">The stream has another version: let it pass, and the handler runs again.</exception>
    /// <exception cref="InvalidOperationException">
    /// The class of an event has no declared name, the message was settled by hand, or has an append to the stream already.
    /// </exception>
    public async ValueTask EnlistAsync(
        MessageContext context,
        string stream,
        ExpectedVersion expected,
        IReadOnlyList<object> events,
        AppendOptions? options = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(events);
        if (options?.CommandId is not null)
            throw new ArgumentException("What a handler appends happens once for its message; a command ID has no place there.", nameof(options));

        options = (options ?? new()) with
        {
            CorrelationId = options?.CorrelationId ?? context.CorrelationId,
            CausationId = options?.CausationId ?? context.MessageId,
        };
        var append = MakeAppend(stream, events, options.ToPublishOptions(), commandId: null);
        var last = expected.IsAny ? null : expected.LastId;
        if (last is null)
        {
            // A stream without an entry may exist all the same: a group made it.
            last = await FindLastAsync(stream, cancellationToken).ConfigureAwait(false);
            if (!expected.IsMetBy(last ?? EntryId.Zero))
                throw new CommitConflictException(CommitCondition.NoStream(stream));
        }

        Enlist(context, append.ToCommit(last, _options.CommandWindow));
    }

    /// <summary>
    /// Appends events in a commit that is made outside of a handler: together with its messages and documents, or not at all. Nothing is written
    /// yet; the result of the commit tells whether the stream had the version.
    /// </summary>
    /// <param name="commit">The commit, see <see cref="Publisher.NewCommit"/>.</param>
    /// <param name="stream">The stream; on a cluster, in the hash slot of the commit. Once a commit.</param>
    /// <param name="expected">The version the stream must have; not any.</param>
    /// <param name="events">See <see cref="AppendAsync"/>.</param>
    /// <param name="options">More about the append. Default: nothing.</param>
    /// <exception cref="ArgumentException">Any version is expected: the commit has to name one.</exception>
    /// <exception cref="InvalidOperationException">The class of an event has no declared name, or the commit was sent.</exception>
    public void Enlist(
        CommitScope commit, string stream, ExpectedVersion expected, IReadOnlyList<object> events, AppendOptions? options = null)
    {
        ArgumentNullException.ThrowIfNull(commit);
        ArgumentNullException.ThrowIfNull(events);
        if (expected.IsAny)
            throw new ArgumentException("A commit appends after a version it names; any version will not do.", nameof(expected));
        var append = MakeAppend(stream, events, (options ?? new()).ToPublishOptions(), options?.CommandId).ToCommit(expected.LastId, _options.CommandWindow);
        foreach (var condition in append.Conditions)
            commit.Require(condition);
        foreach (var change in append.Changes)
            commit.Enlist(change);
    }

    /// <summary>
    /// Loads a state, decides in it and appends what follows in the commit that acknowledges the message a handler works on, see
    /// <see cref="EnlistAsync"/>. A snapshot that is due joins it. Costs the load.
    /// </summary>
    /// <typeparam name="TState">The state.</typeparam>
    /// <typeparam name="TCommand">What is asked for.</typeparam>
    /// <param name="context">The message.</param>
    /// <param name="stream">The stream; it need not exist.</param>
    /// <param name="decider">What follows.</param>
    /// <param name="command">What is asked for.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>What will be, if the commit is applied.</returns>
    /// <exception cref="StreamDeletedException">The stream was deleted.</exception>
    /// <exception cref="UndecodableMessageException">An event cannot be read.</exception>
    /// <exception cref="CommitConflictException">Somebody appended meanwhile: let it pass, and the handler runs again.</exception>
    /// <exception cref="InvalidOperationException">See <see cref="LoadAsync"/>; or the message has an append to the stream already.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<Decided<TState>> EnlistDecisionAsync<TState, TCommand>(
        MessageContext context, string stream, Decider<TState, TCommand> decider, TCommand command, CancellationToken cancellationToken = default)
        where TState : notnull
    {
        ArgumentNullException.ThrowIfNull(context);
        ArgumentNullException.ThrowIfNull(decider);
        var loaded = await LoadAsync(stream, decider.Fold, cancellationToken: cancellationToken).ConfigureAwait(false);
        if (loaded.IsDeleted)
            throw new StreamDeletedException(stream);
        var events = decider.Decide(loaded.State, command);
        if (events.Count == 0)
            return new(loaded.State, loaded.Version, []);

        var state = events.Aggregate(loaded.State, decider.Fold.Evolve);
        await EnlistAsync(context, stream, ExpectedVersion.After(loaded.LastId), events, cancellationToken: cancellationToken).ConfigureAwait(false);
        var version = loaded.Version + events.Count;
        var after = loaded with { State = state, Version = version, LastId = new((ulong)version, 0) };
        if (SnapshotIfDue(stream, decider.Fold, after) is { } snapshot)
            Enlist(context, snapshot);
        return new(state, version, events);
    }

    private static void Enlist(MessageContext context, Commit commit)
    {
        foreach (var condition in commit.Conditions)
            context.Require(condition);
        foreach (var change in commit.Changes)
            context.Enlist(change);
    }
}
