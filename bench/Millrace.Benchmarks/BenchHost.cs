using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.Benchmarks;

/// <summary>The message every benchmark sends; about 200 bytes as an entry's data.</summary>
/// <param name="Number">Counts up.</param>
/// <param name="SentAt">The sender's timestamp, for the way to the handler.</param>
/// <param name="Text">Makes up the size.</param>
internal sealed record BenchMessage(long Number, long SentAt, string Text)
{
    /// <summary>One hundred and fifty bytes of text: a small business event.</summary>
    public static readonly string Filling = new('x', 150);
}

/// <summary>The whole framework in a generic host, as an application runs it: one store, one consumer of <see cref="BenchMessage"/>.</summary>
internal sealed class BenchHost : IAsyncDisposable
{
    public const string Stream = "bench";
    public const string Group = "handlers";

    private readonly IHost _host;
    private readonly DiskDirectory? _directory;

    private BenchHost(IHost host, DiskDirectory? directory)
    {
        _host = host;
        _directory = directory;
        Publisher = host.Services.GetRequiredService<Publisher>();
        Store = host.Services.GetRequiredService<IStreamStore>();
    }

    public Publisher Publisher { get; }

    public IStreamStore Store { get; }

    /// <summary>On a real Redis.</summary>
    public static Task<BenchHost> StartOnRedisAsync(string endpoint, Func<BenchMessage, CancellationToken, Task> handler, int concurrency = 1) =>
        StartOnRedisAsync(endpoint, (message, _) => handler(message, default), options => options.Concurrency = concurrency);

    /// <summary>On a real Redis.</summary>
    public static Task<BenchHost> StartOnRedisAsync(
        string endpoint, Func<BenchMessage, MessageContext, Task> handler, Action<ConsumerOptions> configure, string stream = Stream) =>
        StartAsync(millrace => millrace.UseRedis(endpoint), null, handler, configure, stream);

    /// <summary>On the embedded store, on disk, with its default sync policy.</summary>
    public static Task<BenchHost> StartEmbeddedAsync(Func<BenchMessage, CancellationToken, Task> handler, int concurrency = 1) =>
        StartEmbeddedAsync((message, _) => handler(message, default), options => options.Concurrency = concurrency);

    /// <summary>On the embedded store, on disk, with its default sync policy.</summary>
    public static Task<BenchHost> StartEmbeddedAsync(Func<BenchMessage, MessageContext, Task> handler, Action<ConsumerOptions> configure)
    {
        var directory = new DiskDirectory();
        return StartAsync(millrace => millrace.UseEmbedded(directory.Path), directory, handler, configure);
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        if (_host is IAsyncDisposable disposable)
            await disposable.DisposeAsync();
        _directory?.Dispose();
    }

    private static async Task<BenchHost> StartAsync(
        Action<MillraceBuilder> useStore,
        DiskDirectory? directory,
        Func<BenchMessage, MessageContext, Task> handler,
        Action<ConsumerOptions> configure,
        string stream = Stream)
    {
        var builder = Host.CreateEmptyApplicationBuilder(new HostApplicationBuilderSettings());
        builder.Logging.SetMinimumLevel(LogLevel.Warning).AddConsole(console => console.LogToStandardErrorThreshold = LogLevel.Trace);
        builder.Services.AddMillrace(millrace =>
        {
            useStore(millrace);
            millrace.AddMessage<BenchMessage>("bench.message", 1);
            millrace.AddConsumer<BenchMessage>(stream, Group, (message, context, _) => handler(message, context), configure);
        });
        var host = builder.Build();
        await host.StartAsync();
        return new(host, directory);
    }
}
