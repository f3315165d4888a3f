using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.Recovery;

public sealed class EmbeddedRecoveryTests : RecoveryContract, IAsyncDisposable
{
    protected override IStreamStore Store { get; } = new EmbeddedStreamStore(new());

    public ValueTask DisposeAsync() => Store.DisposeAsync();
}
