using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.Consuming.Control;

public sealed class EmbeddedConsumerControlTests : ConsumerControlContract, IAsyncDisposable
{
    protected override IStreamStore Store { get; } = new EmbeddedStreamStore(new());

    public ValueTask DisposeAsync() => Store.DisposeAsync();
}
