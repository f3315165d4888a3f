using Millrace.Messages;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// Publishes messages. A singleton, safe for concurrent use; back-pressure is the store's. A loop of it on the thread pool yields every thousand messages.
/// </summary>
public sealed class Publisher
{
    // Less than a millisecond of publishing.
    private const int MaxTurn = 1_000;

    [ThreadStatic]
    private static int t_published;

    private readonly IStreamStore _store;
    private readonly MillraceCore _core;

    internal Publisher(MillraceCore core, IStreamStore store) => (_core, _store) = (core, store);

    /// <summary>
    /// Publishes a message: appends it to the stream, or schedules it when <see cref="PublishOptions.Delay"/> is set. One round trip.
    /// </summary>
    /// <typeparam name="T">The message type; the class of the instance decides the name it travels under.</typeparam>
    /// <param name="stream">The stream; made when it is new.</param>
    /// <param name="message">The message.</param>
    /// <param name="options">More about the message. Default: nothing.</param>
    /// <param name="cancellationToken">Stops the waiting; the message may still be published.</param>
    /// <returns>The ID of its entry; <see cref="EntryId.Zero"/> when it was scheduled, since it has none yet.</returns>
    /// <exception cref="ArgumentException">The stream has no such lane, or the message has more than 960 fields or 8 MiB less 64 KiB.</exception>
    /// <exception cref="InvalidOperationException">The message type has no declared name.</exception>
    /// <exception cref="StreamException">
    /// The store failed. <see cref="StreamErrorCode.OutcomeUnknown"/>: the message may have been published; publish it again with the same
    /// <see cref="PublishOptions.MessageId"/> if its consumers are idempotent.
    /// </exception>
    public async ValueTask<EntryId> PublishAsync<T>(
        string stream, T message, PublishOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(message);
        stream = _core.StreamOf(stream, options);
        using var activity = Telemetry.StartSend(stream);
        var fields = _core.Encode(message, options);
        var send = _core.Meter.StartSend(stream, 1, isScheduled: options?.Delay is not null);
        try
        {
            var id = EntryId.Zero;
            if (options?.Delay is { } delay)
                await ScheduleAsync([new CommitChange.Schedule(stream, fields, delay)], options, cancellationToken).ConfigureAwait(false);
            else
                id = await _store.AppendAsync(stream, fields, options?.Trim, cancellationToken).ConfigureAwait(false);
            send.End();
            if (IsTurnOver(1))
                await Task.Yield();
            return id;
        }
        catch (Exception exception)
        {
            send.End(exception);
            _core.Refusals.Note(exception);
            Telemetry.Fail(activity, exception);
            throw;
        }
    }

    /// <summary>
    /// Publishes messages in order, in one round trip. Not all or nothing: a failure in mid-way may leave the first ones published; for all
    /// or nothing use <see cref="NewCommit"/>.
    /// </summary>
    /// <typeparam name="T">The message type; the class of each instance decides the name it travels under.</typeparam>
    /// <param name="stream">The stream; made when it is new.</param>
    /// <param name="messages">
    /// The messages; at most <see cref="StreamLimits.MaxBatch"/>, or <see cref="StreamLimits.MaxCommitChanges"/> with a delay.
    /// </param>
    /// <param name="options">More about each of the messages. A message ID is not allowed, since IDs are unique.</param>
    /// <param name="cancellationToken">Stops the waiting; messages may still be published.</param>
    /// <returns>The IDs of the entries, in order; each <see cref="EntryId.Zero"/> when they were scheduled.</returns>
    /// <exception cref="ArgumentException">The stream has no such lane.</exception>
    /// <exception cref="InvalidOperationException">A message type has no declared name.</exception>
    /// <exception cref="StreamException">The store failed, see <see cref="PublishAsync"/>.</exception>
    public async ValueTask<IReadOnlyList<EntryId>> PublishManyAsync<T>(
        string stream, IReadOnlyList<T> messages, PublishOptions? options = null, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(messages);
        if (options?.MessageId is not null)
            throw new ArgumentException("Several messages cannot share one message ID.", nameof(options));
        if (messages.Count == 0)
            return [];

        stream = _core.StreamOf(stream, options);
        using var activity = Telemetry.StartSend(stream);
        var entries = new EntryFields[messages.Count];
        var now = _core.Time.GetUtcNow();
        for (var i = 0; i < entries.Length; i++)
            entries[i] = _core.Encode(messages[i] ?? throw new ArgumentException($"Message {i} is null.", nameof(messages)), options, now);
        var send = _core.Meter.StartSend(stream, entries.Length, isScheduled: options?.Delay is not null);
        try
        {
            IReadOnlyList<EntryId> ids = [];
            if (options?.Delay is { } delay)
                await ScheduleAsync([.. entries.Select(fields => new CommitChange.Schedule(stream, fields, delay))], options, cancellationToken)
                    .ConfigureAwait(false);
            else
                ids = await _store.AppendManyAsync(stream, entries, options?.Trim, cancellationToken).ConfigureAwait(false);
            send.End();
            if (IsTurnOver(entries.Length))
                await Task.Yield();
            return ids.Count > 0 ? ids : new EntryId[entries.Length];
        }
        catch (Exception exception)
        {
            send.End(exception);
            _core.Refusals.Note(exception);
            Telemetry.Fail(activity, exception);
            throw;
        }
    }

    /// <summary>Begins a commit: several messages and state documents that are applied all together or not at all.</summary>
    /// <param name="stream">
    /// The stream whose state documents <see cref="CommitScope.State"/> names; on a cluster, the hash slot of the commit.
    /// </param>
    /// <param name="options">What is said about each message that is published without options of its own. Default: nothing.</param>
    public CommitScope NewCommit(string stream, PublishOptions? options = null) => new(_core, _store, stream, options);

    /// <summary>
    /// The embedded store seldom makes a caller wait, and so a loop that publishes would keep a thread of the pool to itself; two of them, on two
    /// processors, all there are. After so many messages its thread does first what else waits for one.
    /// </summary>
    private static bool IsTurnOver(int messages)
    {
        if ((t_published += messages) < MaxTurn || !Thread.CurrentThread.IsThreadPoolThread)
            return false;
        t_published = 0;
        return true;
    }

    private async ValueTask ScheduleAsync(
        IReadOnlyList<CommitChange> changes, PublishOptions options, CancellationToken cancellationToken)
    {
        RefuseTrim(options);
        await _store.CommitAsync(new Commit { Changes = changes }, cancellationToken).ConfigureAwait(false);
    }

    internal static void RefuseTrim(PublishOptions? options)
    {
        if (options?.Trim is not null)
            throw new ArgumentException(
                "A stream cannot be trimmed in a commit or by a scheduled message; trim it with IStreamStore.TrimAsync.", nameof(options));
    }
}
