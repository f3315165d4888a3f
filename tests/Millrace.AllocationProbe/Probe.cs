using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Microsoft.Extensions.Logging;
using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.AllocationProbe;

/// <summary>A host on an embedded store in memory whose only handler does nothing, and counts what it takes.</summary>
internal sealed class Probe : IAsyncDisposable
{
    private const string Stream = "orders";
    private const int BatchSize = 1_000;

    private static readonly Order Sample = new(4711, "customer-17", 12.5m);

    private readonly EmbeddedStreamStore _store = new(new());
    private readonly IHost _host;
    private readonly EntryFields[] _batch = new EntryFields[BatchSize];

    // Set while messages are put in place, so that handling them all is one span of time.
    private TaskCompletionSource? _closed;
    private TaskCompletionSource _handledAll = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private int _left;

    private Probe()
    {
        var builder = Host.CreateEmptyApplicationBuilder(new());
        builder.Services.AddMillrace(millrace => millrace.UseStore(_store).AddConsumer<Order>(Stream, "nothing", (_, _, _) => HandleAsync()));
        _host = builder.Build();
    }

    /// <summary>Bytes of the entry's fields.</summary>
    public int PayloadBytes => _batch[0].Packed.Length;

    /// <summary>Bytes of the object a handler gets, and of what the JSON reader needs to make it.</summary>
    public long ObjectBytes { get; } = MeasureObject();

    public static async Task<Probe> StartAsync()
    {
        var probe = new Probe();
        await probe._host.StartAsync();

        // One message through the front door shows what its entry looks like; copies of it need no publisher.
        probe._left = 1;
        await probe._host.Services.GetRequiredService<Publisher>().PublishAsync(Stream, Sample);
        await probe._handledAll.Task;
        var entries = await probe._store.RangeAsync(Stream, new() { Count = 1 });
        Array.Fill(probe._batch, entries[0].Fields);
        return probe;
    }

    /// <summary>Handles messages that are all in the stream when it begins.</summary>
    /// <returns>Bytes allocated for each, beyond payload and object.</returns>
    public async Task<double> HandleAsync(int messages, TypeSampler? sampler = null)
    {
        _closed = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _handledAll = new(TaskCreationOptions.RunContinuationsAsynchronously);
        _left = messages;
        for (var sent = 0; sent < messages; sent += BatchSize)
            await _store.AppendManyAsync(Stream, _batch[..Math.Min(BatchSize, messages - sent)]);

        sampler?.Start();
        var before = GC.GetTotalAllocatedBytes(precise: true);
        var closed = _closed;
        _closed = null;
        closed.SetResult();
        await _handledAll.Task;
        var allocated = GC.GetTotalAllocatedBytes(precise: true) - before;
        await _store.TrimAsync(Stream, StreamTrim.ToLength(0));
        return ((double)allocated / messages) - PayloadBytes - ObjectBytes;
    }

    public async ValueTask DisposeAsync()
    {
        await _host.StopAsync();
        _host.Dispose();
        await _store.DisposeAsync();
    }

    private Task HandleAsync()
    {
        if (Volatile.Read(ref _closed) is { } closed)
            return HandleLaterAsync(closed.Task);
        CountDown();
        return Task.CompletedTask;
    }

    private async Task HandleLaterAsync(Task opened)
    {
        await opened;
        CountDown();
    }

    private void CountDown()
    {
        if (Interlocked.Decrement(ref _left) == 0)
            _handledAll.SetResult();
    }

    private static long MeasureObject()
    {
        var json = new JsonSerializerOptions(JsonSerializerDefaults.Web);
        var data = JsonSerializer.SerializeToUtf8Bytes(Sample, json);
        var least = long.MaxValue;
        for (var i = 0; i < 100; i++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            GC.KeepAlive(JsonSerializer.Deserialize<Order>(data, json));
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
        }

        return least;
    }

    [Message("probe.order")]
    private sealed record Order(int Number, string Customer, decimal Total);
}
