using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.Consuming.Breaker;

public sealed class EmbeddedBreakerTests : BreakerContract, IAsyncDisposable
{
    protected override IStreamStore Store { get; } = new EmbeddedStreamStore(new());

    public ValueTask DisposeAsync() => Store.DisposeAsync();
}
