using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.Consuming;

public sealed class EmbeddedDeduplicationTests : DeduplicationContract, IAsyncDisposable
{
    protected override IStreamStore Store { get; } = new EmbeddedStreamStore(new());

    public ValueTask DisposeAsync() => Store.DisposeAsync();
}
