using Millrace.ChaosWorker;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Chaos;

/// <summary>One of the hosts of a virtual run: what a worker process is to a real one.</summary>
internal sealed class VirtualHost : IAsyncDisposable
{
    private static readonly TimeSpan Tick = TimeSpan.FromMilliseconds(10);

    private readonly Freezer _freezer;
    private readonly ConsumerHost _host;
    private readonly TimeProvider _time;
    private readonly CancellationTokenSource _stopTicking = new();
    private long _tickedAt;

    private VirtualHost(string name, ConsumerHost host, Freezer freezer, TimeProvider time)
    {
        (Name, _host, _freezer, _time) = (name, host, freezer, time);
        _tickedAt = time.GetTimestamp();
        _ = TickAsync(freezer.Slow(time));
    }

    public string Name { get; }

    public Publisher Publisher => _host.Publisher;

    public bool IsFrozen => !_freezer.Running.IsCompleted;

    /// <summary>Whether its timers have come so far as the clock: whoever is behind has work to do first.</summary>
    public bool IsUpToDate => IsFrozen || _time.GetElapsedTime(Volatile.Read(ref _tickedAt)) <= Tick;

    /// <summary>Starts one.</summary>
    /// <param name="name">Its name in the history.</param>
    /// <param name="instance">Its name in its groups.</param>
    /// <param name="store">The store that all hosts share.</param>
    /// <param name="time">The clock.</param>
    /// <param name="history">Where it writes.</param>
    /// <param name="die">Ends the process, with all hosts in it.</param>
    public static async Task<VirtualHost> StartAsync(
        string name, string instance, IStreamStore store, TimeProvider time, IHistory history, Action die)
    {
        var freezer = new Freezer();
        var own = freezer.Slow(time);
        var workload = new ChaosWorkload(name, history, own, die);
        var log = new HistoryLog(name, history);
        var host = await ConsumerHost.StartAsync(
            millrace => workload.AddTo(millrace), freezer.Slow(RecordingStore.Wrap(store, name, history)), own, instance: instance, log: log);
        return new(name, host, freezer, time);
    }

    public void Freeze() => _freezer.Freeze();

    public void Thaw() => _freezer.Thaw();

    public Task StopAsync() => _host.StopAsync();

    public Task AbortAsync()
    {
        Thaw();
        return _host.AbortAsync();
    }

    public async ValueTask DisposeAsync()
    {
        await _stopTicking.CancelAsync();
        _stopTicking.Dispose();
        await _host.DisposeAsync();
    }

    private async Task TickAsync(TimeProvider own)
    {
        using var timer = new PeriodicTimer(Tick, own);
        try
        {
            while (await timer.WaitForNextTickAsync(_stopTicking.Token))
                Volatile.Write(ref _tickedAt, _time.GetTimestamp());
        }
        catch (OperationCanceledException)
        {
            // The host has ended.
        }
    }
}
