using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace Millrace.Server.Transport;

/// <summary>
/// The sockets under Kestrel. Its own transport copies every byte through two pipes and hops threads between them, which costs a third of the
/// rate of single commands; here the connection's loop receives and sends on the socket itself.
/// </summary>
internal sealed class SocketListenerFactory(int maxConnections, TimeProvider time, ILogger logger) : IConnectionListenerFactory
{
    public ValueTask<IConnectionListener> BindAsync(EndPoint endpoint, CancellationToken cancellationToken = default) =>
        new(new SocketListener(endpoint, maxConnections, time, logger));
}
