using System.Globalization;
using System.Net;
using System.Security.Cryptography.X509Certificates;

namespace Millrace.Server;

/// <summary>
/// Where the server listens, who may talk to it, and what a client may ask for. Copied when the server is made; <c>CONFIG SET</c> changes the copy.
/// </summary>
public sealed class RespServerOptions
{
    /// <summary>The address to listen on. Default: loopback. Any other needs <see cref="Password"/> or <see cref="UsersFile"/>.</summary>
    public IPAddress Address { get; set; } = IPAddress.Loopback;

    /// <summary>The TCP port; 0 picks a free one. Default 6379.</summary>
    public int Port { get; set; } = 6379;

    /// <summary>
    /// The password of the default user, whatever <see cref="UsersFile"/> says. Default <see langword="null"/>: the file says, and without
    /// one no password is asked for.
    /// </summary>
    public string? Password { get; set; }

    /// <summary>
    /// A file of <c>user …</c> lines as <c>ACL LIST</c> writes them; <c>ACL SAVE</c> replaces it and <c>ACL LOAD</c> reads it again. A default
    /// user that it does not name may do everything, as without a file. Default <see langword="null"/>: the default user alone.
    /// </summary>
    public string? UsersFile { get; set; }

    /// <summary>The certificate, with its private key, to speak TLS with. Default <see langword="null"/>: plain TCP.</summary>
    public X509Certificate2? Certificate { get; set; }

    /// <summary>
    /// Connections at a time; one more is told so and closed. Default 10,000, as Redis. Fewer, with a warning in the log, when the process may not
    /// open as many files: some are kept for the journal.
    /// </summary>
    public int MaxClients { get; set; } = 10_000;

    /// <summary>Bytes of one argument. Default 64 MiB (<c>proto-max-bulk-len</c>).</summary>
    public int MaxBulkBytes { get; set; } = 64 * 1024 * 1024;

    /// <summary>Bytes of one command with all its arguments. Default 256 MiB.</summary>
    public int MaxCommandBytes { get; set; } = 256 * 1024 * 1024;

    /// <summary>Arguments of one command. Default 1,048,576, as Redis.</summary>
    public int MaxArguments { get; set; } = 1024 * 1024;

    /// <summary>Bytes of an inline command. Default 64 KiB, as Redis.</summary>
    public int MaxInlineBytes { get; set; } = 64 * 1024;

    /// <summary>
    /// Bytes that may wait for a client that does not read them; above, it is disconnected. Its own next requests wait from 1 MiB on, so that only
    /// messages, what MONITOR shows, or a single reply of this size get there. Default 256 MiB.
    /// </summary>
    public long MaxOutputBytes { get; set; } = 256 * 1024 * 1024;

    /// <summary>How long a client may be silent before it is disconnected; zero: for ever (<c>timeout</c>). Default zero, as Redis.</summary>
    public TimeSpan IdleTimeout { get; set; }

    /// <summary>
    /// Reads a number of bytes as Redis writes it: digits, and perhaps <c>b</c>, <c>k</c> (1000), <c>kb</c> (1024), <c>m</c>, <c>mb</c>,
    /// <c>g</c> or <c>gb</c>.
    /// </summary>
    /// <param name="text">What was written, in any case.</param>
    /// <param name="bytes">The bytes it means.</param>
    /// <returns>Whether it is such a number.</returns>
    public static bool TryParseBytes(string text, out long bytes)
    {
        ArgumentNullException.ThrowIfNull(text);
        var digits = text.AsSpan().IndexOfAnyExceptInRange('0', '9') is var end and >= 0 ? end : text.Length;
        long unit = text[digits..].ToLowerInvariant() switch
        {
            "" or "b" => 1,
            "k" => 1000,
            "kb" => 1024,
            "m" => 1000 * 1000,
            "mb" => 1024 * 1024,
            "g" => 1000 * 1000 * 1000,
            "gb" => 1024 * 1024 * 1024,
            _ => 0,
        };
        bytes = 0;
        if (unit == 0 || !long.TryParse(text.AsSpan(0, digits), NumberStyles.None, CultureInfo.InvariantCulture, out var count) || count > long.MaxValue / unit)
            return false;
        bytes = count * unit;
        return true;
    }

    /// <summary>The same options, to be changed apart.</summary>
    internal RespServerOptions Copy() => (RespServerOptions)MemberwiseClone();
}
