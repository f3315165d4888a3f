using System.Globalization;
using System.Net;
using System.Net.Sockets;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Redis;
using Millrace.Redis.Connections;
using Millrace.Resp;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Journal;

namespace Millrace.Tests.Redis.Connections;

public sealed class HandshakeTests
{
    private const string Secret = "canary-5ecret";

    [Fact]
    public async Task Connection_has_name_database_and_protocol_3()
    {
        await using var server = await RedisServer.StartAsync();
        await using var client = ClientOf(server, options => (options.Database, options.ClientName) = (3, "shop"));

        var info = (await client.ExecuteAsync(new RespCommand("CLIENT").Add("INFO"), default)).Text;

        Assert.Contains(" name=shop ", info, StringComparison.Ordinal);
        Assert.Contains(" db=3 ", info, StringComparison.Ordinal);
        Assert.Contains(" resp=3", info, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Server_without_hello_is_spoken_to_in_protocol_2()
    {
        await using var server = await RedisServer.StartAsync("--rename-command", "HELLO", "", "--requirepass", Secret);
        await using var client = ClientOf(server, options => (options.Password, options.ClientName) = (Secret, "shop"));

        var info = (await client.ExecuteAsync(new RespCommand("CLIENT").Add("INFO"), default)).Text;
        await client.ExecuteAsync(new RespCommand("HSET").Add("h").Add("field").Add("value"), default);
        var map = await client.ExecuteAsync(new RespCommand("HGETALL").Add("h"), default);

        Assert.Contains(" resp=2", info, StringComparison.Ordinal);
        Assert.Contains(" name=shop ", info, StringComparison.Ordinal);
        Assert.Equal(RespKind.Array, map.Kind);
        Assert.True(map.TryGet("field"u8, out var value));
        Assert.Equal("value", value.Text);
    }

    [Theory]
    [InlineData(null)]
    [InlineData(Secret)]
    public async Task Server_with_too_many_clients_is_tried_again_until_there_is_a_place(string? password)
    {
        await using var server = await RedisServer.StartAsync(["--maxclients", "1", .. password is null ? Array.Empty<string>() : ["--requirepass", password]]);
        await using var first = ClientOf(server, options => options.Password = password);
        await first.ExecuteAsync(new RespCommand("PING"), default);
        var log = new ListLogger();
        var second = new RedisConnector(
            new() { Port = server.Port, Password = password, ReconnectDelay = TimeSpan.FromMilliseconds(1) }, TimeProvider.System, log);

        var refused = await Assert.ThrowsAsync<StreamException>(() => second.ConnectAsync(3, [], default));
        Assert.Equal((StreamErrorCode.Unavailable, 1), (refused.Code, log.Lines.Count)); // A line a minute, for all attempts.
        Assert.Contains("3 attempts failed", refused.Message, StringComparison.Ordinal);

        await first.DisposeAsync();
        await using var connection = await second.ConnectAsync(1_000, [], default);
        Assert.True(connection.IsOpen);
    }

    [Theory]
    [InlineData("RESP3")]
    [InlineData("RESP2")]
    public async Task User_logs_in_and_lacks_what_it_may_not_do(string protocol)
    {
        string[] fallback = protocol == "RESP2" ? ["--rename-command", "HELLO", ""] : [];
        await using var server = await RedisServer.StartAsync(
            [.. fallback, "--user", "shop", "on", $">{Secret}", "~orders*", "+@all", "-flushall"]);
        await using var client = ClientOf(server, options => (options.User, options.Password) = ("shop", Secret));

        Assert.Equal("shop", (await client.ExecuteAsync(new RespCommand("ACL").Add("WHOAMI"), default)).Text);
        var exception = await Assert.ThrowsAsync<StreamException>(
            async () => await client.ExecuteAsync(new RespCommand("FLUSHALL"), default));

        Assert.Equal(StreamErrorCode.PermissionDenied, exception.Code);
    }

    [Theory]
    [InlineData("RESP3", "wrong-" + Secret)]
    [InlineData("RESP2", "wrong-" + Secret)]
    [InlineData("RESP3", null)]
    [InlineData("RESP2", null)]
    public async Task Log_in_refused_fails_at_once_and_tells_no_secret(string protocol, string? password)
    {
        string[] fallback = protocol == "RESP2" ? ["--rename-command", "HELLO", ""] : [];
        await using var server = await RedisServer.StartAsync([.. fallback, "--requirepass", Secret]);
        await using var client = ClientOf(server, options =>
        {
            // A second attempt would come too late for this test.
            options.Password = password;
            options.ReconnectDelay = options.MaxReconnectDelay = TimeSpan.FromHours(1);
        });

        var exception = await Assert.ThrowsAsync<StreamException>(async () => await client.ConnectAsync(default));

        Assert.Equal(StreamErrorCode.AuthenticationFailed, exception.Code);
        Assert.DoesNotContain(Secret, exception.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task Prologue_runs_on_each_shared_connection_before_any_command()
    {
        await using var server = await RedisServer.StartAsync();
        await using var client = new RedisClient(OptionsOf(server), TimeProvider.System, NullLogger.Instance)
        {
            Prologue = [new RespCommand("SCRIPT").Add("LOAD").Add("return 42")],
        };
        var call = new RespCommand("EVALSHA").Add(Convert.ToHexStringLower(SHA1.HashData("return 42"u8))).Add(0);
        Assert.Equal(42, (await client.ExecuteAsync(call, default)).Integer);

        await server.KillAsync();
        await server.StartAgainAsync();
        await client.ConnectAsync(default);

        using var deadline = new CancellationTokenSource(TimeSpan.FromSeconds(30));
        Assert.Equal(42, await CallAsync());

        async Task<long> CallAsync()
        {
            while (true)
            {
                try
                {
                    return (await client.ExecuteAsync(call, deadline.Token)).Integer;
                }
                catch (StreamException exception) when (exception.Code == StreamErrorCode.OutcomeUnknown)
                {
                    // Sent before the break was noticed.
                }
            }
        }
    }

    [Fact]
    public async Task Prologue_refused_fails_the_connection()
    {
        await using var server = await RedisServer.StartAsync();
        await using var client = new RedisClient(OptionsOf(server), TimeProvider.System, NullLogger.Instance)
        {
            Prologue = [new RespCommand("SCRIPT").Add("LOAD").Add("not lua")],
        };

        var exception = await Assert.ThrowsAsync<StreamException>(async () => await client.ConnectAsync(default));

        Assert.Equal(StreamErrorCode.ServerError, exception.Code);
    }

    [Theory]
    [InlineData("localhost", true)]
    [InlineData("redis.example", false)]
    public async Task Tls_is_used_only_with_a_certificate_valid_for_the_host(string certifiedHost, bool isAccepted)
    {
        using var files = new TlsFiles(certifiedHost);
        await using var server = await RedisServer.StartAsync(
            "--tls-cert-file", files.Certificate, "--tls-key-file", files.Key,
            "--tls-ca-cert-file", files.Authority, "--tls-auth-clients", "no");
        var tlsPort = FreePort();
        await server.CliAsync("CONFIG", "SET", "tls-port", tlsPort.ToString(CultureInfo.InvariantCulture));
        var options = new RedisOptions { Host = "localhost", Port = tlsPort, UseTls = true, TlsAuthorityFile = files.Authority };
        await using var client = new RedisClient(options, TimeProvider.System, NullLogger.Instance);

        if (isAccepted)
        {
            Assert.Equal("PONG", (await client.ExecuteAsync(new RespCommand("PING"), default)).Text);
            return;
        }

        var exception = await Assert.ThrowsAsync<StreamException>(async () => await client.ConnectAsync(default));
        Assert.Equal(StreamErrorCode.AuthenticationFailed, exception.Code);
    }

    /// <summary>Somebody replaces the file, and it is half written or not yet for everybody to read.</summary>
    [Theory]
    [InlineData("")]
    [InlineData("-----BEGIN CERTIFICATE-----\nMIIB")]
    [InlineData("-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n")]
    public async Task File_of_the_authority_that_is_damaged_for_a_while_is_read_again(string damaged)
    {
        using var files = new TlsFiles("localhost");
        await using var server = await RedisServer.StartAsync(
            "--tls-cert-file", files.Certificate, "--tls-key-file", files.Key,
            "--tls-ca-cert-file", files.Authority, "--tls-auth-clients", "no");
        var tlsPort = FreePort();
        await server.CliAsync("CONFIG", "SET", "tls-port", tlsPort.ToString(CultureInfo.InvariantCulture));
        var whole = await File.ReadAllTextAsync(files.Authority);
        await File.WriteAllTextAsync(files.Authority, damaged);
        var options = new RedisOptions
        {
            Host = "localhost", Port = tlsPort, UseTls = true, TlsAuthorityFile = files.Authority, ReconnectDelay = TimeSpan.FromMilliseconds(5),
        };
        await using var client = new RedisClient(options, TimeProvider.System, NullLogger.Instance);

        var exception = await Assert.ThrowsAsync<StreamException>(async () => await client.ConnectAsync(default));
        await File.WriteAllTextAsync(files.Authority, whole);

        Assert.Equal(StreamErrorCode.Unavailable, exception.Code);
        Assert.Equal("PONG", (await client.ExecuteAsync(new RespCommand("PING"), default)).Text);
    }

    private static int FreePort()
    {
        using var listener = new TcpListener(IPAddress.Loopback, 0);
        listener.Start();
        return ((IPEndPoint)listener.LocalEndpoint).Port;
    }

    private static RedisOptions OptionsOf(RedisServer server) =>
        new() { Host = "127.0.0.1", Port = server.Port, ReconnectDelay = TimeSpan.FromMilliseconds(5) };

    private static RedisClient ClientOf(RedisServer server, Action<RedisOptions> configure)
    {
        var options = OptionsOf(server);
        configure(options);
        return new(options, TimeProvider.System, NullLogger.Instance);
    }

    // An authority of our own and a certificate by it, as PEM files.
    private sealed class TlsFiles : IDisposable
    {
        private readonly DirectoryInfo _directory = Directory.CreateTempSubdirectory("millrace-tls-");

        public TlsFiles(string host)
        {
            var start = DateTimeOffset.FromUnixTimeSeconds(TimeProvider.System.GetUtcNow().ToUnixTimeSeconds()).AddDays(-1);
            using var authorityKey = RSA.Create(2048);
            var authorityRequest = new CertificateRequest(
                "CN=Millrace test authority", authorityKey, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
            authorityRequest.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
            using var authority = authorityRequest.CreateSelfSigned(start, start.AddDays(10));

            using var key = RSA.Create(2048);
            var request = new CertificateRequest($"CN={host}", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
            var names = new SubjectAlternativeNameBuilder();
            names.AddDnsName(host);
            request.CertificateExtensions.Add(names.Build());
            using var certificate = request.Create(authority, start, start.AddDays(9), [1, 2, 3, 4]);

            File.WriteAllText(Authority, authority.ExportCertificatePem());
            File.WriteAllText(Certificate, certificate.ExportCertificatePem());
            File.WriteAllText(Key, key.ExportPkcs8PrivateKeyPem());
        }

        public string Authority => Path.Combine(_directory.FullName, "authority.pem");

        public string Certificate => Path.Combine(_directory.FullName, "server.pem");

        public string Key => Path.Combine(_directory.FullName, "server.key");

        public void Dispose() => _directory.Delete(recursive: true);
    }
}
