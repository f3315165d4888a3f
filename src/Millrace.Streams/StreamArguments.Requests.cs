namespace Millrace.Streams;

public static partial class StreamArguments
{
    /// <summary>The names of a stream and a group.</summary>
    public static void CheckGroup(string stream, string group)
    {
        CheckName(stream);
        CheckName(group);
    }

    /// <summary>A range of a stream.</summary>
    public static void CheckRange(string stream, StreamRange range)
    {
        CheckName(stream);
        ArgumentNullException.ThrowIfNull(range);
        CheckCount(range.Count);
    }

    /// <summary>A read without a group: its streams, count and wait.</summary>
    public static void CheckRead(IReadOnlyList<StreamPosition> positions, int count, TimeSpan block)
    {
        CheckStreams(positions);
        foreach (var position in positions)
            CheckName(position.Stream, nameof(positions));
        CheckCount(count);
        CheckDuration(block);
    }

    /// <summary>A read for a consumer of a group.</summary>
    public static void CheckRead(GroupRead read)
    {
        ArgumentNullException.ThrowIfNull(read);
        CheckName(read.Group);
        CheckName(read.Consumer);
        CheckStreams(read.Streams);
        foreach (var stream in read.Streams)
            CheckName(stream, nameof(read));
        CheckCount(read.Count);
        CheckDuration(read.Block);
    }

    /// <summary>A claim.</summary>
    public static void CheckClaim(string stream, string group, ClaimRequest claim)
    {
        CheckGroup(stream, group);
        ArgumentNullException.ThrowIfNull(claim);
        CheckName(claim.Consumer);
        CheckBatch(claim.Ids);
        CheckDuration(claim.MinIdleTime);
    }

    /// <summary>A question for pending entries.</summary>
    public static void CheckPending(string stream, string group, PendingQuery query)
    {
        CheckGroup(stream, group);
        ArgumentNullException.ThrowIfNull(query);
        if (query.Consumer is not null)
            CheckName(query.Consumer, nameof(query));
        CheckCount(query.Count);
        CheckDuration(query.MinIdleTime);
    }

    private static void CheckStreams<T>(IReadOnlyList<T> streams)
    {
        ArgumentNullException.ThrowIfNull(streams);
        if (streams.Count is < 1 or > StreamLimits.MaxStreamsPerRead)
            throw new ArgumentException(
                $"A read names 1 to {StreamLimits.MaxStreamsPerRead} streams; there are {streams.Count}.", nameof(streams));
    }
}
