namespace Millrace.ChaosWorker;

/// <summary>Where workers and publishers write down what they do, at once: in a file that outlives a killed process, or in memory.</summary>
public interface IHistory
{
    /// <summary>The clock of the history.</summary>
    double NowMs { get; }

    void Add(HistoryEvent happened);
}
