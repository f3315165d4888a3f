using Millrace.Tests.Clients;

namespace Millrace.Tests.Conformance;

/// <summary>Our server through our client: the engine, the wire and both their translations at once.</summary>
public sealed class ServerConformance(SharedMillrace millrace) : RemoteConformance
{
    protected override async Task<int> StartedPortAsync() => (await millrace.StartedAsync()).Endpoint.Port;
}
