using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Embedded;

/// <summary>Reading, with and without a group, at once or when entries come.</summary>
public sealed partial class EmbeddedStreamStore
{
    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<StreamEntry>> RangeAsync(
        string stream, StreamRange range, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckRange(stream, range);
        return QueryAsync<(string, StreamRange), IReadOnlyList<StreamEntry>>(
            (stream, range), static (engine, what, _) => engine.Range(what.Item1, what.Item2), cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<StreamBatch<StreamEntry>>> ReadAsync(
        IReadOnlyList<StreamPosition> positions, int count, TimeSpan block, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckRead(positions, count, block);
        return ReadOrWaitAsync(
            [.. positions.Select(position => position.Stream)],
            null,
            block,
            (positions, count),
            static (store, what, _) => store.TryReadNeedsLock(what.positions, what.count),
            cancellationToken);
    }

    /// <inheritdoc/>
    public ValueTask<IReadOnlyList<StreamBatch<DeliveredEntry>>> ReadGroupAsync(
        GroupRead read, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckRead(read);
        return ReadOrWaitAsync(
            read.Streams,
            read.Group,
            read.Block,
            read,
            static (store, read, nowMs) => store.TryReadGroupNeedsLock(read, nowMs),
            cancellationToken);
    }

    private IReadOnlyList<StreamBatch<StreamEntry>> TryReadNeedsLock(IReadOnlyList<StreamPosition> positions, int count)
    {
        List<StreamBatch<StreamEntry>>? batches = null;
        for (var i = 0; i < positions.Count; i++)
        {
            var entries = _engine.ReadAfter(positions[i].Stream, positions[i].After, count);
            if (entries.Length > 0)
                (batches ??= []).Add(new(positions[i].Stream, entries));
        }

        if (batches is not null)
            ThrowIfUnshowableNeedsLock();
        return batches ?? (IReadOnlyList<StreamBatch<StreamEntry>>)[];
    }

    private IReadOnlyList<StreamBatch<DeliveredEntry>> TryReadGroupNeedsLock(GroupRead read, long nowMs)
    {
        // All groups must be there before anything is delivered from one of them.
        for (var i = 0; i < read.Streams.Count; i++)
            _engine.GetGroup(read.Streams[i], read.Group, out _);

        List<StreamBatch<DeliveredEntry>>? batches = null;
        for (var i = 0; i < read.Streams.Count; i++)
        {
            var delivered = ApplyNeedsLock<ReadGroup, DeliveredRange>(new(read.Streams[i], read.Group, read.Consumer, read.Count), nowMs);
            if (delivered.Count > 0)
                (batches ??= new(1)).Add(new(read.Streams[i], _engine.FindStream(read.Streams[i])!.Copy(delivered)));
        }

        return batches ?? (IReadOnlyList<StreamBatch<DeliveredEntry>>)[];
    }

    private async ValueTask<IReadOnlyList<StreamBatch<TEntry>>> ReadOrWaitAsync<TArguments, TEntry>(
        IReadOnlyList<string> streams,
        string? group,
        TimeSpan block,
        TArguments arguments,
        Func<EmbeddedStreamStore, TArguments, long, IReadOnlyList<StreamBatch<TEntry>>> tryRead,
        CancellationToken cancellationToken)
        where TEntry : struct
    {
        cancellationToken.ThrowIfCancellationRequested();
        if (!IsReady)
            await WhenReadyAsync(cancellationToken).ConfigureAwait(false);

        IReadOnlyList<StreamBatch<TEntry>> batches;
        BlockedRead<TEntry>? blocked = null;
        long lsn;
        lock (_lock)
        {
            var nowMs = EnterNeedsLock();
            try
            {
                batches = tryRead(this, arguments, nowMs);
                if (batches.Count == 0 && block > TimeSpan.Zero)
                    blocked = BlockNeedsLock(streams, group, arguments, tryRead);
            }
            finally
            {
                lsn = LeaveNeedsLock(nowMs);
            }
        }

        if (blocked is not null)
        {
            batches = await WaitAsync(blocked, block, cancellationToken).ConfigureAwait(false);

            // Never below the record that delivered the entries, which was journaled before the wait ended.
            lsn = Volatile.Read(ref _lastLsn);
        }

        return await WhenDurableAsync(lsn, batches).ConfigureAwait(false);
    }

    /// <summary>Apart, so that a read which finds entries allocates no closure.</summary>
    private BlockedRead<TEntry> BlockNeedsLock<TArguments, TEntry>(
        IReadOnlyList<string> streams,
        string? group,
        TArguments arguments,
        Func<EmbeddedStreamStore, TArguments, long, IReadOnlyList<StreamBatch<TEntry>>> tryRead)
        where TEntry : struct
    {
        var blocked = new BlockedRead<TEntry>(streams, group, nowMs => tryRead(this, arguments, nowMs));
        _blocked.Add(blocked);
        return blocked;
    }

    /// <summary>
    /// Waits until the read is served, its time is over or it is cancelled, whichever takes it out of the queue first. Who comes
    /// later finds that it waits no longer: entries that were delivered are answered, never lost to a cancellation.
    /// </summary>
    private async Task<IReadOnlyList<StreamBatch<TEntry>>> WaitAsync<TEntry>(
        BlockedRead<TEntry> blocked, TimeSpan block, CancellationToken cancellationToken)
        where TEntry : struct
    {
        SetWaitTimer(blocked, block);
        await using var cancellation = cancellationToken.UnsafeRegister(
            (_, token) => EndWait(blocked, static (read, token) => read.Cancel(token), token), null).ConfigureAwait(false);
        return await blocked.Answer.ConfigureAwait(false);
    }

    private void SetWaitTimer(BlockedRead blocked, TimeSpan block)
    {
        // A wait that no timer can measure is one without an end.
        if (block > LongestTimer)
            return;
        var timer = _time.CreateTimer(
            _ => EndWait(blocked, static (read, _) => read.Expire(), default), null, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        lock (_lock)
        {
            if (blocked.Places.Count == 0)
            {
                timer.Dispose();
                return;
            }

            blocked.Timer = timer;
            timer.Change(block, Timeout.InfiniteTimeSpan);
        }
    }

    private void EndWait(BlockedRead blocked, Action<BlockedRead, CancellationToken> end, CancellationToken cancellationToken)
    {
        lock (_lock)
        {
            if (_blocked.Remove(blocked))
                end(blocked, cancellationToken);
        }
    }
}
