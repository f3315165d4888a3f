using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.Consuming.Limits;

public sealed class EmbeddedRateLimitTests : RateLimitContract, IAsyncDisposable
{
    protected override IStreamStore Store { get; } = new EmbeddedStreamStore(new());

    public ValueTask DisposeAsync() => Store.DisposeAsync();
}
