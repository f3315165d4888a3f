using Millrace.Streams;

namespace Millrace.EventSourcing;

public sealed partial class EventStore
{
    // What is trimmed while it is read is read again, from the snapshot that allowed it.
    private const int MaxLoads = 3;

    /// <summary>
    /// Folds a stream's events into a state, from the last snapshot on if there is one that fits. One round trip for the snapshot, if the fold has them,
    /// one for each 128 events after it, and one more where events seem to be missing or there are none.
    /// </summary>
    /// <typeparam name="TState">The state.</typeparam>
    /// <param name="stream">The stream; it need not exist.</param>
    /// <param name="fold">How the state follows from events.</param>
    /// <param name="toVersion">The last version to fold in. Default: the last there is.</param>
    /// <param name="toTime">The last moment to fold in, by the time the events carry. Default: now.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <exception cref="UndecodableMessageException">An event cannot be read.</exception>
    /// <exception cref="InvalidOperationException">Events that the state needs were trimmed, and no snapshot covers them.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<LoadedState<TState>> LoadAsync<TState>(
        string stream,
        EventFold<TState> fold,
        long toVersion = long.MaxValue,
        DateTimeOffset? toTime = null,
        CancellationToken cancellationToken = default)
        where TState : notnull
    {
        _options.CheckStream(stream);
        ArgumentNullException.ThrowIfNull(fold);
        ArgumentOutOfRangeException.ThrowIfNegative(toVersion);
        using var measured = _meter.Load(stream, _options.CategoryOf(stream));
        try
        {
            return await LoadCoreAsync(stream, fold, toVersion, toTime, measured, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            measured.Fail(exception);
            throw;
        }
    }

    private async ValueTask<LoadedState<TState>> LoadCoreAsync<TState>(
        string stream, EventFold<TState> fold, long toVersion, DateTimeOffset? toTime, EventStoreMeter.Measured measured, CancellationToken cancellationToken)
        where TState : notnull
    {
        for (var loads = 1; ; loads++)
        {
            var loaded = new LoadedState<TState>(fold.Initial(), 0, IsDeleted: false);
            if (fold.Snapshots is not null && toTime is null)
                loaded = await ReadSnapshotAsync(stream, fold, loaded, toVersion, cancellationToken).ConfigureAwait(false);
            (loaded, var gapAfter) = await FoldAsync(stream, fold, loaded, toVersion, toTime, measured, cancellationToken).ConfigureAwait(false);
            if (gapAfter is not { } last || !await IsTrimmedAsync(stream, last, toVersion, cancellationToken).ConfigureAwait(false))
                return loaded with { UnkeptSince = loaded.UnkeptSince ?? _time.GetUtcNow() };
            if (loads == MaxLoads)
                throw new InvalidOperationException(
                    $"Events of '{stream}' after {last.Milliseconds} were trimmed and no snapshot covers them: its state cannot be told.");
        }
    }

    /// <summary>
    /// Loads a state, decides a command in it and appends what follows; again, on the newer state, when others append meanwhile. Two round trips as a
    /// rule, the load and the append; one more with a command ID, and one or two with snapshots.
    /// </summary>
    /// <typeparam name="TState">The state.</typeparam>
    /// <typeparam name="TCommand">What is asked for.</typeparam>
    /// <param name="stream">The stream; it need not exist.</param>
    /// <param name="decider">What follows.</param>
    /// <param name="command">What is asked for.</param>
    /// <param name="options">More about the append. With a command ID, what a command led to is appended once.</param>
    /// <param name="cancellationToken">Stops the waiting; the events may still be appended.</param>
    /// <exception cref="StreamDeletedException">The stream was deleted.</exception>
    /// <exception cref="UndecodableMessageException">An event cannot be read.</exception>
    /// <exception cref="InvalidOperationException">See <see cref="LoadAsync"/>.</exception>
    /// <exception cref="StreamException">
    /// The store failed, see <see cref="AppendAsync"/>.
    /// <see cref="StreamErrorCode.Busy"/>: others were faster at each of <see cref="EventStoreOptions.MaxTries"/> tries.
    /// </exception>
    public async ValueTask<Decided<TState>> DecideAsync<TState, TCommand>(
        string stream, Decider<TState, TCommand> decider, TCommand command, AppendOptions? options = null, CancellationToken cancellationToken = default)
        where TState : notnull
    {
        ArgumentNullException.ThrowIfNull(decider);
        for (var tries = 1; tries <= _options.MaxTries; tries++)
        {
            // Before the load, so that the state has the events of a command that was decided.
            var wasDecided = options?.CommandId is { } id && await WasDecidedAsync(stream, id, cancellationToken).ConfigureAwait(false);
            var loaded = await LoadAsync(stream, decider.Fold, cancellationToken: cancellationToken).ConfigureAwait(false);
            if (loaded.IsDeleted)
                throw new StreamDeletedException(stream);
            if (wasDecided)
            {
                var position = await FindPositionAsync(stream, loaded.LastId, cancellationToken).ConfigureAwait(false);
                return new(loaded.State, loaded.Version, []) { Position = position };
            }

            var events = decider.Decide(loaded.State, command);
            if (events.Count == 0)
                return new(loaded.State, loaded.Version, []);

            // Before the append, so that an event nobody can fold is never recorded.
            var state = events.Aggregate(loaded.State, decider.Fold.Evolve);
            var result = await AppendEventsAsync(
                stream, ExpectedVersion.After(loaded.LastId), events, options, tellBetween: false, cancellationToken).ConfigureAwait(false);
            if (result.Outcome == AppendOutcome.Deleted)
                throw new StreamDeletedException(stream);
            if (result.Outcome == AppendOutcome.Appended)
            {
                var after = loaded with { State = state, Version = result.Version, LastId = new((ulong)result.Version, 0) };
                await SnapshotIfDueAsync(stream, decider.Fold, after, cancellationToken).ConfigureAwait(false);
                return new(state, result.Version, events) { Position = result.Position };
            }

            // Somebody was faster, perhaps with this very command.
            await WaitAsync(tries, cancellationToken).ConfigureAwait(false);
        }

        throw Overtaken(stream, _options.MaxTries);
    }

    /// <summary>Folds in what follows, and tells after which entry something may be missing.</summary>
    private async ValueTask<(LoadedState<TState> Loaded, EntryId? GapAfter)> FoldAsync<TState>(
        string stream,
        EventFold<TState> fold,
        LoadedState<TState> loaded,
        long toVersion,
        DateTimeOffset? toTime,
        EventStoreMeter.Measured measured,
        CancellationToken cancellationToken)
        where TState : notnull
    {
        // Nothing at all looks the same whether it was trimmed or never there.
        EntryId? gapAfter = loaded.Version < toVersion ? loaded.LastId : null;
        var isFirst = true;
        await foreach (var one in ReadRangeAsync(stream, loaded.LastId.Next(), toVersion, backwards: false, cancellationToken).ConfigureAwait(false))
        {
            if (isFirst)
                gapAfter = null;
            isFirst = false;
            if (one.Event is StreamDeleted)
            {
                // What is before it is gone, or about to be.
                (loaded, gapAfter) = (loaded with { State = fold.Initial(), Version = one.Version, LastId = one.EntryId, IsDeleted = true }, null);
                break;
            }

            if (one.Version > loaded.Version + 1)
                gapAfter ??= loaded.LastId;
            if (one.Headers.Time > toTime)
                break;
            measured.Events++;
            loaded = loaded with
            {
                State = fold.Evolve(loaded.State, one.Event),
                Version = one.Version,
                LastId = one.EntryId,
                UnkeptSince = loaded.UnkeptSince ?? one.Headers.Time,
            };
        }

        return (loaded, gapAfter);
    }

    /// <summary>Whether the stream begins behind what comes next. Otherwise single entries were deleted, or nothing follows.</summary>
    private async ValueTask<bool> IsTrimmedAsync(string stream, EntryId last, long toVersion, CancellationToken cancellationToken)
    {
        var info = await _store.GetStreamInfoAsync(stream, cancellationToken).ConfigureAwait(false);
        if (info is null)
            return last != EntryId.Zero;
        var follows = new EntryId(last.Milliseconds + 1, 0);
        return info.LastGeneratedId >= follows && toVersion > (long)last.Milliseconds && (info.FirstEntry is not { } first || first.Id > follows);
    }

    private async ValueTask<bool> WasDecidedAsync(string stream, string commandId, CancellationToken cancellationToken) =>
        await _store.GetStateAsync(EventStoreNames.Command(stream, commandId), cancellationToken).ConfigureAwait(false) is not null;
}
