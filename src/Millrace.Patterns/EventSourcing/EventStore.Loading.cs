using System.Globalization;
using System.Text;
using Millrace.Streams;

namespace Millrace.EventSourcing;

public sealed partial class EventStore
{
    private const byte EndOfHeader = (byte)'\n';

    /// <summary>
    /// Folds a stream's events into a state, from the last snapshot on if there is one that fits. One round trip for the snapshot, and one for each 500
    /// events after it.
    /// </summary>
    /// <typeparam name="TState">The state.</typeparam>
    /// <param name="stream">The stream; it need not exist.</param>
    /// <param name="fold">How the state follows from events.</param>
    /// <param name="toVersion">The last version to fold in. Default: the last there is.</param>
    /// <param name="toTime">The last moment to fold in, by the time the events carry. Default: now.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="UndecodableMessageException">An event cannot be read.</exception>
    /// <exception cref="InvalidOperationException">Events at the beginning were trimmed, and no snapshot covers them.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<LoadedState<TState>> LoadAsync<TState>(
        string stream,
        EventFold<TState> fold,
        long toVersion = long.MaxValue,
        DateTimeOffset? toTime = null,
        CancellationToken cancellationToken = default)
        where TState : notnull
    {
        ArgumentException.ThrowIfNullOrEmpty(stream);
        ArgumentNullException.ThrowIfNull(fold);
        ArgumentOutOfRangeException.ThrowIfNegative(toVersion);
        var loaded = fold.Snapshots is { } policy && toTime is null
            ? await ReadSnapshotAsync<TState>(stream, policy, cancellationToken).ConfigureAwait(false)
            : null;
        if (loaded is null || loaded.Version > toVersion)
            loaded = new(fold.Initial(), 0, IsDeleted: false);

        await foreach (var one in ReadAsync(stream, loaded.Version + 1, toVersion, cancellationToken: cancellationToken).ConfigureAwait(false))
        {
            if (one.Headers.Time > toTime)
                break;
            if (one.Version != loaded.Version + 1 && loaded.Version == 0 && one.Event is not StreamDeleted)
                throw new InvalidOperationException(
                    $"The events of '{stream}' before {one.Version} were trimmed and no snapshot covers them: its state cannot be told.");
            loaded = loaded with
            {
                State = fold.Evolve(loaded.State, one.Event),
                Version = one.Version,
                IsDeleted = one.Event is StreamDeleted,
            };
        }

        return loaded;
    }

    /// <summary>
    /// Loads a state, decides a command in it and appends what follows; again, on the newer state, when others append meanwhile. Two round trips as a
    /// rule: the load and the append.
    /// </summary>
    /// <typeparam name="TState">The state.</typeparam>
    /// <typeparam name="TCommand">What is asked for.</typeparam>
    /// <param name="stream">The stream; it need not exist.</param>
    /// <param name="decider">What follows.</param>
    /// <param name="command">What is asked for.</param>
    /// <param name="options">More about the append. With a command ID, a command is decided once.</param>
    /// <param name="cancellationToken">Stops the waiting; the events may still be appended.</param>
    /// <exception cref="StreamDeletedException">The stream was deleted.</exception>
    /// <exception cref="UndecodableMessageException">An event cannot be read.</exception>
    /// <exception cref="StreamException">
    /// The store failed, see <see cref="AppendAsync"/>.
    /// <see cref="StreamErrorCode.Busy"/>: others were faster at each of <see cref="EventStoreOptions.MaxTries"/> tries.
    /// </exception>
    public async ValueTask<Decided<TState>> DecideAsync<TState, TCommand>(
        string stream, Decider<TState, TCommand> decider, TCommand command, AppendOptions? options = null, CancellationToken cancellationToken = default)
        where TState : notnull
    {
        ArgumentNullException.ThrowIfNull(decider);
        var fold = decider.Fold;
        for (var tries = 1; ; tries++)
        {
            var loaded = await LoadAsync(stream, fold, cancellationToken: cancellationToken).ConfigureAwait(false);
            if (loaded.IsDeleted)
                throw new StreamDeletedException(stream);
            if (options?.CommandId is { } id && await WasDecidedAsync(stream, id, cancellationToken).ConfigureAwait(false))
                return new(loaded.State, loaded.Version, []);

            var events = decider.Decide(loaded.State, command);
            if (events.Count == 0)
                return new(loaded.State, loaded.Version, []);
            var result = await AppendAsync(stream, ExpectedVersion.Exactly(loaded.Version), events, options, cancellationToken).ConfigureAwait(false);
            switch (result.Outcome)
            {
                case AppendOutcome.Appended:
                    var after = loaded with { State = events.Aggregate(loaded.State, fold.Evolve), Version = result.Version };
                    await SnapshotIfDueAsync(stream, fold, after, cancellationToken).ConfigureAwait(false);
                    return new(after.State, after.Version, events);
                case AppendOutcome.Deleted:
                    throw new StreamDeletedException(stream);
                case AppendOutcome.Conflict when tries >= _options.MaxTries:
                    throw new StreamException(
                        StreamErrorCode.Busy, $"Others appended to '{stream}' at each of {tries} tries; nothing was appended. Try again.");
                case AppendOutcome.Conflict:
                    await WaitAsync(tries, cancellationToken).ConfigureAwait(false);
                    break;
            }
        }
    }

    /// <summary>Takes a snapshot when the fold's policy says so. One round trip, or none.</summary>
    internal async ValueTask SnapshotIfDueAsync<TState>(
        string stream, EventFold<TState> fold, LoadedState<TState> loaded, CancellationToken cancellationToken)
        where TState : notnull
    {
        if (fold.Snapshots is not { } policy)
            return;
        var now = _time.GetUtcNow();
        var isDue = loaded.Version - loaded.SnapshotVersion >= policy.Every ||
            (policy.MaxAge is { } age && loaded.SnapshotTime is { } taken && now - taken >= age && loaded.Version > loaded.SnapshotVersion);
        if (!isDue)
            return;

        var header = string.Create(CultureInfo.InvariantCulture, $"{policy.SchemaVersion} {loaded.Version} {now.ToUnixTimeMilliseconds()}\n");
        byte[] payload = [.. Encoding.ASCII.GetBytes(header), .. _codec.Serialize(loaded.State).Span];

        // After a deletion nothing may come back.
        var commit = new Commit
        {
            Conditions = [CommitCondition.StateAbsent(EventStoreNames.Deleted(stream))],
            Changes = [new CommitChange.PutState(EventStoreNames.Snapshot(stream), payload)],
        };
        try
        {
            var result = await _store.CommitAsync(commit, cancellationToken).ConfigureAwait(false);
            if (result.Failure is { } failure)
                LogMessages.SnapshotFailed(_logger, failure, stream, loaded.Version);
        }
        catch (StreamException failure)
        {
            // The events are there, and that is what the caller asked for. The next append tries again.
            LogMessages.SnapshotFailed(_logger, failure, stream, loaded.Version);
        }
    }

    private async ValueTask<bool> WasDecidedAsync(string stream, string commandId, CancellationToken cancellationToken) =>
        await _store.GetStateAsync(EventStoreNames.Command(stream, commandId), cancellationToken).ConfigureAwait(false) is not null;

    /// <summary>The snapshot, unless it is of another shape.</summary>
    private async ValueTask<LoadedState<TState>?> ReadSnapshotAsync<TState>(string stream, SnapshotPolicy policy, CancellationToken cancellationToken)
        where TState : notnull
    {
        if (await _store.GetStateAsync(EventStoreNames.Snapshot(stream), cancellationToken).ConfigureAwait(false) is not { Payload: var payload })
            return null;
        var end = payload.Span.IndexOf(EndOfHeader);
        var header = Encoding.ASCII.GetString(payload.Span[..end]).Split(' ');
        if (int.Parse(header[0], CultureInfo.InvariantCulture) != policy.SchemaVersion ||
            _codec.Deserialize<TState>(payload.Span[(end + 1)..]) is not { } state)
            return null;
        var version = long.Parse(header[1], CultureInfo.InvariantCulture);
        return new(state, version, IsDeleted: false)
        {
            SnapshotVersion = version,
            SnapshotTime = DateTimeOffset.FromUnixTimeMilliseconds(long.Parse(header[2], CultureInfo.InvariantCulture)),
        };
    }
}
