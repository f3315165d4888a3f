using System.Net;
using System.Net.Security;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using System.Text;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Server;

/// <summary>What TLS does to a connection besides hiding it: its reads go through a stream.</summary>
public sealed class TlsConnectionTests
{
    [Fact]
    public async Task Requests_behind_a_wait_are_run_when_it_ends()
    {
        using var certificate = CreateCertificate();
        await using var server = await TestServer.StartAsync(options => options.Certificate = certificate);
        await using var client = await ConnectAsync(server.Port);
        await client.WriteAsync("XREAD BLOCK 0 STREAMS s 0\r\nPING\r\n"u8.ToArray());
        await Eventually.TrueAsync("the client waits", () => new(server.WaitingCount == 1));

        await using (var writer = await ConnectAsync(server.Port))
            await writer.WriteAsync("XADD s 1-0 f v\r\n"u8.ToArray());

        var expected = "*1\r\n*2\r\n$1\r\ns\r\n*1\r\n*2\r\n$3\r\n1-0\r\n*2\r\n$1\r\nf\r\n$1\r\nv\r\n+PONG\r\n";
        Assert.Equal(expected, await ReadAsync(client, expected.Length));

        // The read that was given up in between has lost nothing.
        await client.WriteAsync("PING\r\n"u8.ToArray());
        Assert.Equal("+PONG\r\n", await ReadAsync(client, 7));
    }

    [Fact]
    public async Task Requests_held_by_a_pause_are_run_when_it_ends()
    {
        using var certificate = CreateCertificate();
        await using var server = await TestServer.StartAsync(options => options.Certificate = certificate);
        await using var pauser = await ConnectAsync(server.Port);
        await using var client = await ConnectAsync(server.Port);
        await pauser.WriteAsync("CLIENT PAUSE 100000 WRITE\r\n"u8.ToArray());
        Assert.Equal("+OK\r\n", await ReadAsync(pauser, 5));
        await client.WriteAsync("SET k v\r\n"u8.ToArray());
        await Eventually.TrueAsync("the client is held", () => new(server.Server.Clients.Values.Any(one => one.IsHeld)));

        await pauser.WriteAsync("CLIENT UNPAUSE\r\n"u8.ToArray());

        Assert.Equal("+OK\r\n", await ReadAsync(client, 5));
    }

    private static async Task<SslStream> ConnectAsync(int port)
    {
        var socket = new Socket(AddressFamily.InterNetwork, SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        await socket.ConnectAsync(IPAddress.Loopback, port);
        var stream = new SslStream(new NetworkStream(socket, ownsSocket: true));
        await stream.AuthenticateAsClientAsync(new SslClientAuthenticationOptions
        {
            TargetHost = "localhost",
            RemoteCertificateValidationCallback = static (_, certificate, _, _) => certificate?.Subject == "CN=localhost",
        });
        return stream;
    }

    private static async Task<string> ReadAsync(SslStream stream, int length)
    {
        var bytes = new byte[length];
        await stream.ReadExactlyAsync(bytes).AsTask().WaitAsync(Eventually.Deadline);
        return Encoding.ASCII.GetString(bytes);
    }

    private static X509Certificate2 CreateCertificate()
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        var now = TimeProvider.System.GetUtcNow();
        return request.CreateSelfSigned(now.AddDays(-1), now.AddDays(2));
    }
}
