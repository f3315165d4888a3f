using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.DeadLetters;

public sealed class EmbeddedDeadLettersTests : DeadLettersContract, IAsyncDisposable
{
    protected override IStreamStore Store { get; } = new EmbeddedStreamStore(new());

    public ValueTask DisposeAsync() => Store.DisposeAsync();
}
