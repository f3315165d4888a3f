using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.Consuming.Retries;

public sealed class EmbeddedRetryTests : RetryContract, IAsyncDisposable
{
    protected override IStreamStore Store { get; } = new EmbeddedStreamStore(new());

    public ValueTask DisposeAsync() => Store.DisposeAsync();
}
