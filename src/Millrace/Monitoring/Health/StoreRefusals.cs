using Millrace.Streams;

namespace Millrace.Monitoring.Health;

/// <summary>
/// The last write that the store refused because it takes none: its memory is full, it is a replica, or its disk failed. A server that answers reads says
/// nothing of that, and a write of ours to find out would be one more to refuse.
/// </summary>
internal sealed class StoreRefusals(TimeProvider time)
{
    // Longer than between two writes of what repeats itself: the document of a consumer each 10 s, a settlement each 5 s.
    private static readonly TimeSpan Memory = TimeSpan.FromSeconds(30);

    private (StreamException Refusal, long At)? _last;

    private readonly Lock _lock = new();

    /// <summary>The refusal, if there was one within the last 30 s.</summary>
    public StreamException? Last
    {
        get
        {
            lock (_lock)
                return _last is var (refusal, at) && time.GetElapsedTime(at) < Memory ? refusal : null;
        }
    }

    /// <summary>Notes a failure, if it is one of these.</summary>
    public void Note(Exception? failure)
    {
        if (failure is not StreamException { Code: StreamErrorCode.OutOfMemory or StreamErrorCode.ReadOnly } refusal)
            return;
        lock (_lock)
            _last = (refusal, time.GetTimestamp());
    }
}
