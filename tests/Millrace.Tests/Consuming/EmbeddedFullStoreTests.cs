using Millrace.Embedded;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

/// <summary>In this process; publishers wait for ever, which nothing of this may.</summary>
public sealed class EmbeddedFullStoreTests : FullStoreContract
{
    protected override Task<LimitedStore> StartAsync() => LimitedStore.StartEmbeddedAsync(WhenFull.Wait);
}
