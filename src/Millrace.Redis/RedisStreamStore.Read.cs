using Millrace.Redis.Commands;
using Millrace.Redis.Connections;
using Millrace.Streams;

namespace Millrace.Redis;

public sealed partial class RedisStreamStore
{
    // A longer wait is a row of waits of this length, so that a connection whose other end is gone is noticed. Each one costs a round trip
    // and the reader's place in the line of waiting readers.
    private static readonly TimeSpan MaxLongestBlock = TimeSpan.FromSeconds(30);

    private readonly TimeSpan _longestBlock;

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<StreamEntry>> RangeAsync(
        string stream, StreamRange range, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckRange(stream, range);
        var client = (long)range.Count * StreamLimits.MaxEntryBytes < _maxReplyBytes ? _client : _longReads;
        var reply = await client.ExecuteAsync(StreamCommands.XRange(stream, range), cancellationToken).ConfigureAwait(false);
        return EntryReader.ReadEntries(reply);
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<StreamBatch<StreamEntry>>> ReadAsync(
        IReadOnlyList<StreamPosition> positions, int count, TimeSpan block, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckRead(positions, count, block);

        string[] streams = [.. positions.Select(position => position.Stream)];
        var reply = await WaitAsync(streams, wait => StreamCommands.XRead(positions, count, wait), block, cancellationToken)
            .ConfigureAwait(false);
        return EntryReader.ReadBatches(reply, static (id, fields) => new StreamEntry(id, fields));
    }

    /// <inheritdoc/>
    public async ValueTask<IReadOnlyList<StreamBatch<DeliveredEntry>>> ReadGroupAsync(
        GroupRead read, CancellationToken cancellationToken = default)
    {
        StreamArguments.CheckRead(read);

        var reply = await WaitAsync(read.Streams, wait => StreamCommands.XReadGroup(read, wait), read.Block, cancellationToken)
            .ConfigureAwait(false);
        return EntryReader.ReadBatches(reply, static (id, fields) => new DeliveredEntry(id, fields, DeliveryCount: 1));
    }

    /// <summary>Sends a read until it brings something or the wait is over. The reply is then null.</summary>
    private async ValueTask<RespReply> WaitAsync(
        IReadOnlyList<string> streams, Func<TimeSpan, RespCommand> read, TimeSpan block, CancellationToken cancellationToken)
    {
        Watch(streams);
        if (block == TimeSpan.Zero)
            return await ReadNowAsync(read(TimeSpan.Zero), cancellationToken).ConfigureAwait(false);

        for (var left = block; left > TimeSpan.Zero; left -= _longestBlock)
        {
            cancellationToken.ThrowIfCancellationRequested();
            var wait = left < _longestBlock ? left : _longestBlock;
            var reply = await WaitOnceAsync(read, wait, cancellationToken).ConfigureAwait(false);
            if (!reply.IsNull)
                return reply;
            Watch(streams);
        }

        return default;
    }

    private async ValueTask<RespReply> WaitOnceAsync(Func<TimeSpan, RespCommand> read, TimeSpan wait, CancellationToken cancellationToken)
    {
        try
        {
            return await _client.ExecuteBlockingAsync(read(wait), wait, cancellationToken).ConfigureAwait(false);
        }
        catch (StreamException exception) when (exception.Code == StreamErrorCode.Busy)
        {
            // Redis 7.0 says UNBLOCKED when the stream is deleted or replaced during a wait; asked again, it says what is there now.
            return await ReadNowAsync(read(TimeSpan.Zero), cancellationToken).ConfigureAwait(false);
        }
        catch (StreamException exception) when (exception.Code == StreamErrorCode.OutcomeUnknown && _isClosed)
        {
            // Our own doing. What a group read may have been given meanwhile is pending for its consumer.
            throw new StreamException(StreamErrorCode.Closed, "The store was closed during a read.", exception);
        }
    }

    private async ValueTask<RespReply> ReadNowAsync(RespCommand read, CancellationToken cancellationToken)
    {
        if (read.Name != "XREADGROUP")
            return await _longReads.ExecuteAsync(read, cancellationToken).ConfigureAwait(false);

        // Once it is sent it may have been given entries, which only its reply names: from there on nothing ends the waiting for that.
        await _client.ConnectAsync(cancellationToken).ConfigureAwait(false);
        cancellationToken.ThrowIfCancellationRequested();
        return await _client.ExecuteAsync(read, CancellationToken.None).ConfigureAwait(false);
    }

    private void Watch(IReadOnlyList<string> streams)
    {
        foreach (var stream in streams)
            _schedules.Watch(stream);
    }
}
