using Microsoft.Extensions.Configuration;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.Fixtures;

/// <summary>A real host around a store in memory, or one that several hosts of a test share.</summary>
public sealed class ConsumerHost : IAsyncDisposable
{
    private readonly bool _ownsStore;
    private readonly TimeProvider? _time;
    private bool _isStopped;

    private ConsumerHost(IHost host, IStreamStore store, bool ownsStore, TimeProvider? time) =>
        (Host, Store, _ownsStore, _time) = (host, store, ownsStore, time);

    public IHost Host { get; }

    public IStreamStore Store { get; }

    public Publisher Publisher => Host.Services.GetRequiredService<Publisher>();

    public MessageReader Reader => Host.Services.GetRequiredService<MessageReader>();

    public static async Task<ConsumerHost> StartAsync(
        Action<MillraceBuilder> configure,
        IStreamStore? store = null,
        TimeProvider? time = null,
        IReadOnlyDictionary<string, string?>? configuration = null,
        string instance = "local",
        ILoggerProvider? log = null)
    {
        var builder = Microsoft.Extensions.Hosting.Host.CreateEmptyApplicationBuilder(new() { ApplicationName = "tests" });
        builder.Configuration.AddInMemoryCollection(configuration ?? new Dictionary<string, string?>());
        builder.Services.AddSingleton(time ?? TimeProvider.System);
        if (log is not null)
            builder.Logging.AddProvider(log).SetMinimumLevel(LogLevel.Debug);
        var used = store ?? new EmbeddedStreamStore(new(), time);
        builder.Services.AddMillrace(millrace => configure(millrace.UseStore(used).UseInstanceName(instance)));
        var host = builder.Build();
        try
        {
            await host.StartAsync();
        }
        catch
        {
            host.Dispose();
            throw;
        }

        return new(host, used, store is null, time);
    }

    /// <summary>Drains and stops.</summary>
    public async Task StopAsync()
    {
        _isStopped = true;
        await Host.StopAsync();
    }

    /// <summary>Ends as a killed process would: nothing is settled, nothing handed back.</summary>
    public async Task AbortAsync()
    {
        _isStopped = true;
        await Host.StopAsync(new CancellationToken(canceled: true));
    }

    /// <summary>Waits for this many entries of a stream and returns them.</summary>
    public async Task<IReadOnlyList<StreamEntry>> ReadAsync(string stream, int count = 1)
    {
        List<StreamEntry> entries = [];
        using var deadline = new CancellationTokenSource(Eventually.Deadline);
        while (entries.Count < count)
        {
            var after = entries.Count == 0 ? EntryId.Zero : entries[^1].Id;
            foreach (var batch in await Store.ReadAsync([new(stream, after)], count, TimeSpan.FromDays(1), deadline.Token))
                entries.AddRange(batch.Entries);
        }

        return entries;
    }

    /// <summary>Waits until the group has read everything of the stream and nothing is pending.</summary>
    public Task WhenSettledAsync(string stream, string group) =>
        Eventually.TrueAsync($"group {group} settles all of {stream}", async () =>
            (await Store.GetGroupsAsync(stream)).FirstOrDefault(info => info.Name == group) is { PendingCount: 0, Lag: 0 });

    public async ValueTask DisposeAsync()
    {
        if (!_isStopped)
            await LetTimePassAsync(AbortAsync());
        Host.Dispose();
        if (_ownsStore)
            await Store.DisposeAsync();
    }

    /// <summary>A handler that ignores its token is waited for a while: where a test failed nobody else lets that time pass.</summary>
    private async Task LetTimePassAsync(Task stopping)
    {
        while (await Task.WhenAny(stopping, Task.Delay(TimeSpan.FromSeconds(1))) != stopping)
            (_time as ManualTimeProvider)?.Advance(TimeSpan.FromSeconds(1));
        await stopping;
    }
}
