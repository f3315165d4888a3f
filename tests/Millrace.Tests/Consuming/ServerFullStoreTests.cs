using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

/// <summary>Our server.</summary>
public sealed class ServerFullStoreTests : FullStoreContract
{
    protected override Task<LimitedStore> StartAsync() => LimitedStore.StartServerAsync();
}
