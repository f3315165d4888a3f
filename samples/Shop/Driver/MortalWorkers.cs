using Millrace.Streams;

namespace Shop.Driver;

/// <summary>
/// Runs every service in a host of its own on the store of this process, and kills one after the other at random moments: handlers are
/// cut off, nothing is settled, nothing is handed back. A killed service comes back at once, alternately under its old name, where it
/// finds what it left, and under a new one, where the old one's work is taken over when its lease is over.
/// </summary>
internal sealed class MortalWorkers(ShopOptions options, IStreamStore store) : IAsyncDisposable
{
    private const int MinKills = 8;
    private static readonly TimeSpan ShortestLife = TimeSpan.FromMilliseconds(50);
    private static readonly TimeSpan LongestLife = TimeSpan.FromMilliseconds(400);

    private readonly Random _random = new(options.Seed);
    private readonly Dictionary<Role, (IHost Host, string Instance)> _hosts = [];

    /// <summary>Kills so far.</summary>
    public int Kills { get; private set; }

    public async Task StartAsync()
    {
        foreach (var role in Enum.GetValues<Role>())
            await StartAsync(role, $"{role}-0");
    }

    /// <summary>Kills until all orders are placed and there were enough kills.</summary>
    public async Task KillAsync(Task allPlaced, TimeProvider time, CancellationToken cancellationToken)
    {
        while (!allPlaced.IsCompleted || Kills < MinKills)
        {
            await Task.Delay(ShortestLife + _random.NextDouble() * (LongestLife - ShortestLife), time, cancellationToken);
            var role = (Role)_random.Next(_hosts.Count);
            var (host, instance) = _hosts[role];
            await AbortAsync(host);
            Kills++;
            await StartAsync(role, Kills % 2 == 0 ? instance : $"{role}-{Kills}");
        }
    }

    public async ValueTask DisposeAsync()
    {
        foreach (var (host, _) in _hosts.Values)
        {
            await host.StopAsync();
            host.Dispose();
        }
    }

    private static async Task AbortAsync(IHost host)
    {
        try
        {
            await host.StopAsync(new CancellationToken(canceled: true));
        }
        catch (OperationCanceledException)
        {
            // This is what a kill looks like from here: stopping was cut short.
        }

        host.Dispose();
    }

    private async Task StartAsync(Role role, string instance)
    {
        var host = ShopHost.BuildMortalWorker(options, role, store, instance);
        _hosts[role] = (host, instance);
        await host.StartAsync();
    }
}
