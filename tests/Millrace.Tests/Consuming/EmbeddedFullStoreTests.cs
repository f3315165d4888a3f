using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Server;

namespace Millrace.Tests.Consuming;

/// <summary>In this process; publishers wait for ever, which nothing of this may.</summary>
public sealed class EmbeddedFullStoreTests : FullStoreContract
{
    private readonly EmbeddedStreamStore _store = new(new() { WhenFull = WhenFull.Wait, MaxWaitWhenFull = TimeSpan.FromDays(1) });

    protected override IStreamStore Store => _store;

    public override ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public override ValueTask DisposeAsync() => _store.DisposeAsync();

    protected override Task LimitAsync(long maxMemoryBytes)
    {
        _store.LimitMemory(maxMemoryBytes);
        return Task.CompletedTask;
    }
}
