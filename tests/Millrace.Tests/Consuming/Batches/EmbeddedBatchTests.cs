using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.Consuming.Batches;

public sealed class EmbeddedBatchTests : BatchContract, IAsyncDisposable
{
    protected override IStreamStore Store { get; } = new EmbeddedStreamStore(new());

    public ValueTask DisposeAsync() => Store.DisposeAsync();
}
