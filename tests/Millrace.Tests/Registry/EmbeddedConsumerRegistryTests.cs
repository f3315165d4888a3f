using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.Registry;

public sealed class EmbeddedConsumerRegistryTests : ConsumerRegistryContract, IAsyncDisposable
{
    protected override IStreamStore Store { get; } = new EmbeddedStreamStore(new());

    public ValueTask DisposeAsync() => Store.DisposeAsync();
}
