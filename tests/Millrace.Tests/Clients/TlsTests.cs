using System.Globalization;
using System.Net;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;

namespace Millrace.Tests.Clients;

/// <summary>redis-cli over TLS, with a password.</summary>
public sealed class TlsTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("millrace-tls-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public async Task Redis_cli_with_the_certificate_and_the_password_is_served()
    {
        var (certificate, key) = WriteCertificate();
        await using var server = await MillraceServer.StartAsync(
            "--memory", "--tls-cert", certificate, "--tls-key", key, "--password", "se cret");
        string[] address = ["-h", "127.0.0.1", "-p", server.Endpoint.Port.ToString(CultureInfo.InvariantCulture)];
        string[] secure = [.. address, "--tls", "--cacert", certificate, "--no-auth-warning"];

        Assert.Equal("1-1", await Tool.RunAsync("", "redis-cli", [.. secure, "-a", "se cret", "XADD", "s", "1-1", "f", "v"]));
        Assert.Equal("{\"s\":[[\"1-1\",[\"f\",\"v\"]]]}",
            await Tool.RunAsync("", "redis-cli", [.. secure, "-a", "se cret", "-3", "--json", "XREAD", "STREAMS", "s", "0"]));
        Assert.Contains("NOAUTH", await Tool.RunAsync("", "redis-cli", [.. secure, "XLEN", "s"]), StringComparison.Ordinal);
        Assert.Contains("WRONGPASS", await Tool.RunAsync("", "redis-cli", [.. secure, "-a", "wrong", "PING"]), StringComparison.Ordinal);

        // Without TLS there is no conversation at all.
        await using var plain = Tool.Start("redis-cli", [.. address, "PING"]);
        await plain.WaitForExitAsync();
        Assert.DoesNotContain("PONG", plain.Output, StringComparison.Ordinal);
    }

    private (string Certificate, string Key) WriteCertificate()
    {
        using var key = RSA.Create(2048);
        var request = new CertificateRequest("CN=localhost", key, HashAlgorithmName.SHA256, RSASignaturePadding.Pkcs1);
        var names = new SubjectAlternativeNameBuilder();
        names.AddDnsName("localhost");
        names.AddIpAddress(IPAddress.Loopback);
        request.CertificateExtensions.Add(names.Build());
        request.CertificateExtensions.Add(new X509BasicConstraintsExtension(true, false, 0, true));
        var now = TimeProvider.System.GetUtcNow();
        using var certificate = request.CreateSelfSigned(now.AddDays(-1), now.AddDays(2));
        var (certificateFile, keyFile) = (Path.Combine(_directory, "server.crt"), Path.Combine(_directory, "server.key"));
        File.WriteAllText(certificateFile, certificate.ExportCertificatePem());
        File.WriteAllText(keyFile, key.ExportPkcs8PrivateKeyPem());
        return (certificateFile, keyFile);
    }
}
