using Millrace.ChaosWorker;

namespace Millrace.Tests.Chaos;

/// <summary>What happens in this process.</summary>
/// <param name="nowMs">The clock.</param>
internal sealed class MemoryHistory(Func<double> nowMs) : IHistory
{
    private readonly Lock _lock = new();
    private readonly List<HistoryEvent> _events = [];

    public double NowMs => nowMs();

    public int Count
    {
        get
        {
            lock (_lock)
                return _events.Count;
        }
    }

    public void Add(HistoryEvent happened)
    {
        lock (_lock)
            _events.Add(happened);
    }

    public IReadOnlyList<HistoryEvent> Snapshot()
    {
        lock (_lock)
            return [.. _events];
    }

    /// <summary>The part of one process, which can write nothing after its end.</summary>
    public IHistory While(Func<bool> isAlive) => new Part(this, isAlive);

    private sealed class Part(MemoryHistory whole, Func<bool> isAlive) : IHistory
    {
        public double NowMs => whole.NowMs;

        public void Add(HistoryEvent happened)
        {
            if (isAlive())
                whole.Add(happened);
        }
    }
}
