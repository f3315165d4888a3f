using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.Retention;

public sealed class EmbeddedRetentionTests : RetentionContract, IAsyncDisposable
{
    protected override IStreamStore Store { get; } = new EmbeddedStreamStore(new());

    public ValueTask DisposeAsync() => Store.DisposeAsync();
}
