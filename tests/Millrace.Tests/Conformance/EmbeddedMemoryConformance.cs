using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.Conformance;

public sealed class EmbeddedMemoryConformance : StoreConformance
{
    protected override ValueTask<IStreamStore> CreateStoreAsync() => new(new EmbeddedStreamStore(new()));
}
