using System.Net.Security;
using System.Net.Sockets;
using System.Security.Authentication;
using System.Security.Cryptography;
using System.Security.Cryptography.X509Certificates;
using Microsoft.Extensions.Logging;
using Millrace.Resp;
using Millrace.Streams;

namespace Millrace.Redis.Connections;

/// <summary>Makes connections that are logged in and ready for commands, with as many attempts as the options allow.</summary>
internal sealed class RedisConnector(RedisOptions options, TimeProvider time, ILogger logger)
{
    // IPPROTO_TCP and TCP_USER_TIMEOUT, for which .NET has no names.
    private const int LinuxTcp = 6;
    private const int LinuxTcpUserTimeout = 18;

    private readonly LogLimit _failures = new(time);

    /// <summary>Connects.</summary>
    /// <param name="attempts">Attempts before it fails.</param>
    /// <param name="prologue">The first commands of the connection. An error reply to one of them is an error of the attempt.</param>
    /// <param name="cancellationToken">Ends the attempts.</param>
    /// <exception cref="StreamException">
    /// Unavailable when all attempts failed; the server's own refusal, at once, when another attempt could only be refused again.
    /// </exception>
    public async Task<RedisConnection> ConnectAsync(
        int attempts, IReadOnlyList<RespCommand> prologue, CancellationToken cancellationToken)
    {
        for (var attempt = 1; ; attempt++)
        {
            try
            {
                return await ConnectOnceAsync(prologue, cancellationToken).ConfigureAwait(false);
            }
            catch (Exception exception) when (IsWorthAnotherAttempt(exception))
            {
                if (attempt == attempts)
                    throw Unavailable(attempts, exception);
                var delay = DelayAfter(attempt);
                if (_failures.Allows())
                    logger.ConnectFailed(options.ToString(), attempt, attempts, delay.TotalMilliseconds, ReasonOf(exception));
                await Task.Delay(delay, time, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    /// <summary>The pause after a failed attempt: random, so that many clients do not come back at the same moment,
    /// below a bound that doubles.</summary>
    /// <param name="attempt">Failed attempts so far, from 1.</param>
    public TimeSpan DelayAfter(int attempt)
    {
        var bound = options.ReconnectDelay * Math.Pow(2, Math.Min(attempt - 1, 30));
        if (bound > options.MaxReconnectDelay)
            bound = options.MaxReconnectDelay;

        // Half of it at least, or an unlucky client would use its attempts up within milliseconds.
        return bound * ((1 + Random.Shared.NextDouble()) / 2);
    }

    private static bool IsWorthAnotherAttempt(Exception exception) => exception switch
    {
        StreamException failure => failure.IsTransient,
        AuthenticationException => false,
        SocketException or IOException or TimeoutException or RespException or ConnectionLostException => true,

        // The file of the authority, which is being replaced perhaps.
        UnauthorizedAccessException or CryptographicException => true,
        _ => false,
    };

    private StreamException Unavailable(int attempts, Exception cause) => new(
        StreamErrorCode.Unavailable,
        $"Redis at {options} cannot be reached: {attempts} attempts failed. Nothing was sent. {ReasonOf(cause)}",
        cause);

    // That a command of the handshake may have been applied or not is of no interest.
    private static string ReasonOf(Exception exception) =>
        exception is StreamException { Code: StreamErrorCode.OutcomeUnknown, InnerException: { } inner }
            ? inner.Message
            : exception.Message;

    private async Task<RedisConnection> ConnectOnceAsync(IReadOnlyList<RespCommand> prologue, CancellationToken cancellationToken)
    {
        using var timeLimit = new CancellationTokenSource(options.ConnectTimeout, time);
        using var either = CancellationTokenSource.CreateLinkedTokenSource(timeLimit.Token, cancellationToken);
        try
        {
            var stream = await OpenAsync(either.Token).ConfigureAwait(false);
            var connection = RedisConnection.Start(stream, options, time);
            try
            {
                await RedisHandshake.RunAsync(connection, options, prologue, either.Token).ConfigureAwait(false);
                return connection;
            }
            catch
            {
                await connection.DisposeAsync().ConfigureAwait(false);
                throw;
            }
        }
        catch (OperationCanceledException) when (timeLimit.IsCancellationRequested && !cancellationToken.IsCancellationRequested)
        {
            throw new TimeoutException($"No connection within {options.ConnectTimeout.TotalSeconds:0.###} s.");
        }
        catch (AuthenticationException exception)
        {
            throw new StreamException(
                StreamErrorCode.AuthenticationFailed, $"The TLS handshake with {options} failed. {exception.Message}", exception);
        }
    }

    private async Task<Stream> OpenAsync(CancellationToken cancellationToken)
    {
        var stream = new NetworkStream(await DialAsync(options, cancellationToken).ConfigureAwait(false), ownsSocket: true);
        try
        {
            return options.UseTls ? await SecureAsync(stream, cancellationToken).ConfigureAwait(false) : stream;
        }
        catch
        {
            await stream.DisposeAsync().ConfigureAwait(false);
            throw;
        }
    }

    /// <summary>Connects a socket to the first address of the host that takes it.</summary>
    internal static async Task<Socket> DialAsync(RedisOptions options, CancellationToken cancellationToken)
    {
        var socket = new Socket(SocketType.Stream, ProtocolType.Tcp) { NoDelay = true };
        try
        {
            await socket.ConnectAsync(options.Host, options.Port, cancellationToken).ConfigureAwait(false);

            // Not before: for each further address .NET takes a new descriptor, and sets anew only what it has a name for.
            SetLimits(socket, options.KeepAlive);
            return socket;
        }
        catch
        {
            socket.Dispose();
            throw;
        }
    }

    /// <summary>Lets the system break a connection whose other end is gone, after twice the silence.</summary>
    private static void SetLimits(Socket socket, TimeSpan keepAlive)
    {
        // A reader that waits for messages sends nothing, so only probes tell it that the server is gone: after the silence, three, a
        // third of it apart.
        var seconds = Math.Max(1, (int)keepAlive.TotalSeconds);
        socket.SetSocketOption(SocketOptionLevel.Socket, SocketOptionName.KeepAlive, true);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveTime, seconds);
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveInterval, Math.Max(1, seconds / 3));
        socket.SetSocketOption(SocketOptionLevel.Tcp, SocketOptionName.TcpKeepAliveRetryCount, 3);

        // Linux sends no probes while bytes of ours are not acknowledged, and without this sends those again for a quarter of an hour.
        if (OperatingSystem.IsLinux())
            socket.SetRawSocketOption(LinuxTcp, LinuxTcpUserTimeout, BitConverter.GetBytes(2_000 * seconds));
    }

    private async Task<Stream> SecureAsync(Stream inner, CancellationToken cancellationToken)
    {
        var secure = new SslStream(inner, leaveInnerStreamOpen: false);
        var client = new SslClientAuthenticationOptions
        {
            TargetHost = options.TlsHost ?? options.Host,
            EnabledSslProtocols = SslProtocols.Tls12 | SslProtocols.Tls13,
        };
        if (options.TlsAuthorityFile is { } file)
        {
            var policy = new X509ChainPolicy
            {
                TrustMode = X509ChainTrustMode.CustomRootTrust,
                // A private authority seldom publishes revocations.
                RevocationMode = X509RevocationMode.NoCheck,
            };
            policy.CustomTrustStore.ImportFromPemFile(file);
            if (policy.CustomTrustStore.Count == 0)
                throw new CryptographicException($"The file '{file}' has no certificate.");
            client.CertificateChainPolicy = policy;
        }

        await secure.AuthenticateAsClientAsync(client, cancellationToken).ConfigureAwait(false);
        return secure;
    }
}
