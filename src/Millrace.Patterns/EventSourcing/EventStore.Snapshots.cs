using System.Globalization;
using System.Text;
using Millrace.Streams;

namespace Millrace.EventSourcing;

public sealed partial class EventStore
{
    private const byte EndOfHeader = (byte)'\n';

    /// <summary>
    /// Trims the events that the stream's snapshot covers. Nobody can tell older states afterwards, and a fold of another shape cannot be built any more:
    /// raising <see cref="SnapshotPolicy.SchemaVersion"/> makes the stream unreadable.
    /// </summary>
    /// <param name="stream">The stream.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>The events trimmed; 0 when there is no snapshot.</returns>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<long> TrimToSnapshotAsync(string stream, CancellationToken cancellationToken = default)
    {
        _options.CheckStream(stream);
        var document = await _store.GetStateAsync(EventStoreNames.Snapshot(stream), cancellationToken).ConfigureAwait(false);
        return document is not null && SnapshotHeader.TryRead(document.Payload.Span, out var header, out _)
            ? await _store.TrimAsync(stream, StreamTrim.ToMinId(header.LastId.Next()), cancellationToken).ConfigureAwait(false)
            : 0;
    }

    /// <summary>
    /// Takes a snapshot now, whatever the policy says: for streams that are written by <see cref="AppendAsync"/> and <see cref="EnlistAsync"/>, which
    /// take none. Costs a load, and one round trip.
    /// </summary>
    /// <typeparam name="TState">The state.</typeparam>
    /// <param name="stream">The stream.</param>
    /// <param name="fold">How the state follows from events; has <see cref="EventFold{TState}.Snapshots"/>, which says what shape it is of.</param>
    /// <param name="cancellationToken">Stops the waiting; the snapshot may still be taken.</param>
    /// <returns>
    /// Whether it was taken. <see langword="false"/>: no event came since the last one, the stream was deleted, or another process took one meanwhile.
    /// </returns>
    /// <exception cref="ArgumentException">The fold has no policy.</exception>
    /// <exception cref="UndecodableMessageException">An event cannot be read.</exception>
    /// <exception cref="InvalidOperationException">See <see cref="LoadAsync"/>.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<bool> TakeSnapshotAsync<TState>(string stream, EventFold<TState> fold, CancellationToken cancellationToken = default)
        where TState : notnull
    {
        ArgumentNullException.ThrowIfNull(fold);
        if (fold.Snapshots is null)
            throw new ArgumentException("The fold has no Snapshots, so that no load would read what is taken. Give it a policy.", nameof(fold));
        var loaded = await LoadAsync(stream, fold, cancellationToken: cancellationToken).ConfigureAwait(false);
        return loaded.Version > loaded.SnapshotVersion && !loaded.IsDeleted
            && await CommitSnapshotAsync(stream, MakeSnapshot(stream, fold, loaded), cancellationToken).ConfigureAwait(false);
    }

    /// <summary>The state of the snapshot, unless it is of another shape, of later events, or unreadable.</summary>
    private async ValueTask<LoadedState<TState>> ReadSnapshotAsync<TState>(
        string stream, EventFold<TState> fold, LoadedState<TState> initial, long toVersion, CancellationToken cancellationToken)
        where TState : notnull
    {
        if (await _store.GetStateAsync(EventStoreNames.Snapshot(stream), cancellationToken).ConfigureAwait(false) is not { } document)
            return initial;
        initial = initial with { SnapshotDocument = document.Version };
        try
        {
            if (!SnapshotHeader.TryRead(document.Payload.Span, out var header, out var json))
                throw new FormatException("It has no header.");
            if (header.SchemaVersion != fold.Snapshots!.SchemaVersion || header.Version > toVersion)
                return initial;
            if ((fold.SnapshotForm is { } form ? form.Read(_codec, json) : _codec.Deserialize<TState>(json)) is not { } state)
                return initial;
            return initial with
            {
                State = state,
                Version = header.Version,
                LastId = header.LastId,
                SnapshotVersion = header.Version,
                UnkeptSince = header.Time,
            };
        }
        catch (Exception exception)
        {
            // The application's converters and constructors may throw anything. The events have it all.
            LogMessages.SnapshotUnreadable(_logger, exception, stream);
            return initial;
        }
    }

    /// <summary>Takes a snapshot when the fold's policy says so. One round trip, or none.</summary>
    /// <returns>Whether it was due.</returns>
    internal async ValueTask<bool> SnapshotIfDueAsync<TState>(
        string stream, EventFold<TState> fold, LoadedState<TState> loaded, CancellationToken cancellationToken)
        where TState : notnull
    {
        if (SnapshotIfDue(stream, fold, loaded) is not { } commit)
            return false;
        try
        {
            await CommitSnapshotAsync(stream, commit, cancellationToken).ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            // The events are there, and that is what was asked for. The next decision tries again.
            LogMessages.SnapshotFailed(_logger, exception, stream, loaded.Version);
        }

        return true;
    }

    /// <summary>The commit of a snapshot, when the fold's policy says so.</summary>
    private Commit? SnapshotIfDue<TState>(string stream, EventFold<TState> fold, LoadedState<TState> loaded)
        where TState : notnull
    {
        if (fold.Snapshots is not { } policy)
            return null;
        var isOld = policy.MaxAge is { } age && _time.GetUtcNow() - loaded.UnkeptSince >= age;
        if (loaded.Version - loaded.SnapshotVersion < policy.Every && !isOld)
            return null;

        try
        {
            return MakeSnapshot(stream, fold, loaded);
        }
        catch (Exception exception)
        {
            // The application's converters may throw anything. The events have it all.
            LogMessages.SnapshotFailed(_logger, exception, stream, loaded.Version);
            return null;
        }
    }

    /// <summary>
    /// The commit of a snapshot. Replaces the one that the load found and no other, so that a slow process puts none back; and none after a deletion.
    /// </summary>
    private Commit MakeSnapshot<TState>(string stream, EventFold<TState> fold, LoadedState<TState> loaded)
        where TState : notnull
    {
        var key = EventStoreNames.Snapshot(stream);
        var header = new SnapshotHeader(fold.Snapshots!.SchemaVersion, loaded.LastId, _time.GetUtcNow());
        var json = fold.SnapshotForm?.Write(_codec, loaded.State) ?? _codec.Serialize(loaded.State);
        byte[] payload = [.. Encoding.ASCII.GetBytes(header.ToString()), .. json.Span];
        return new()
        {
            Conditions =
            [
                CommitCondition.StateAbsent(EventStoreNames.Deleted(stream)),
                loaded.SnapshotDocument is { } version ? CommitCondition.StateIs(key, version) : CommitCondition.StateAbsent(key),
            ],
            Changes = [new CommitChange.PutState(key, payload)],
        };
    }

    private async ValueTask<bool> CommitSnapshotAsync(string stream, Commit commit, CancellationToken cancellationToken)
    {
        var isTaken = (await _store.CommitAsync(commit, cancellationToken).ConfigureAwait(false)).IsApplied;
        if (isTaken)
            _meter.Snapshotted(_options.CategoryOf(stream));
        return isTaken;
    }

    /// <summary>The first line of a snapshot: version of the shape, ID of the last entry, Unix milliseconds of its making. JSON follows.</summary>
    private readonly record struct SnapshotHeader(int SchemaVersion, EntryId LastId, DateTimeOffset Time)
    {
        public long Version => (long)LastId.Milliseconds;

        public static bool TryRead(ReadOnlySpan<byte> payload, out SnapshotHeader header, out ReadOnlySpan<byte> json)
        {
            header = default;
            json = default;
            var end = payload.IndexOf(EndOfHeader);
            if (end < 0 || Encoding.ASCII.GetString(payload[..end]).Split(' ') is not [var schema, var last, var time] ||
                !int.TryParse(schema, CultureInfo.InvariantCulture, out var schemaVersion) ||
                !EntryId.TryParse(last, CultureInfo.InvariantCulture, out var lastId) ||
                !long.TryParse(time, CultureInfo.InvariantCulture, out var milliseconds))
                return false;
            header = new(schemaVersion, lastId, DateTimeOffset.FromUnixTimeMilliseconds(milliseconds));
            json = payload[(end + 1)..];
            return true;
        }

        public override string ToString() =>
            string.Create(CultureInfo.InvariantCulture, $"{SchemaVersion} {LastId} {Time.ToUnixTimeMilliseconds()}\n");
    }
}
