using Millrace.Embedded;

namespace Millrace.Tests.Simulation;

/// <summary>Up to which record the store has promised what, so that it can be held to it after a crash.</summary>
internal sealed class Promises
{
    /// <summary>What <see cref="SyncPolicy.EverySecond"/> may lose: the timer runs a second after the first unsynced write.</summary>
    private const long WindowMs = 1_000;

    private readonly List<(long Lsn, long Ms)> _window = [];

    /// <summary>Acknowledged: survives the end of the process.</summary>
    public long Written { get; private set; }

    /// <summary>Survives the end of the machine.</summary>
    public long Synced { get; private set; }

    /// <summary>A reply left that shows everything up to a record.</summary>
    public void Acknowledge(long lsn, SyncPolicy policy, long nowMs)
    {
        Written = Math.Max(Written, lsn);
        if (policy == SyncPolicy.Always)
            Sync(lsn);
        else if (policy == SyncPolicy.EverySecond && (_window.Count == 0 || _window[^1].Lsn < lsn))
            _window.Add((lsn, nowMs));
    }

    /// <summary>Everything up to a record is on the device, and the store said so.</summary>
    public void Sync(long lsn)
    {
        Written = Math.Max(Written, lsn);
        Synced = Math.Max(Synced, lsn);
    }

    /// <summary>A sync failed: what was not on the device by now may never be, and the store takes no more.</summary>
    public void FailSync(SyncPolicy policy, long nowMs)
    {
        Age(policy, nowMs);
        Written = Synced;
        _window.Clear();
    }

    /// <summary>What must be there after the end of the process, or of the machine.</summary>
    public long Floor(bool isPowerCut, SyncPolicy policy, long nowMs)
    {
        Age(policy, nowMs);
        return isPowerCut ? Synced : Written;
    }

    /// <summary>The store was recovered up to a record, and shows it.</summary>
    public void Recover(long lsn, bool isPowerCut, SyncPolicy policy, long nowMs)
    {
        _window.Clear();
        Written = lsn;
        Synced = isPowerCut ? lsn : Math.Min(Synced, lsn);
        Acknowledge(lsn, policy, nowMs);
    }

    private void Age(SyncPolicy policy, long nowMs)
    {
        if (policy != SyncPolicy.EverySecond)
            return;
        foreach (var (lsn, ms) in _window)
        {
            if (ms + WindowMs < nowMs)
                Synced = Math.Max(Synced, lsn);
        }
    }
}
