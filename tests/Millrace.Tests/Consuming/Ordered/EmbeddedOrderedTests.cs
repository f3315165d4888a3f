using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.Consuming.Ordered;

public sealed class EmbeddedOrderedTests : OrderedContract, IAsyncDisposable
{
    protected override IStreamStore Store { get; } = new EmbeddedStreamStore(new());

    public ValueTask DisposeAsync() => Store.DisposeAsync();
}
