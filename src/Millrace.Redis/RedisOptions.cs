namespace Millrace.Redis;

/// <summary>
/// How to reach a Redis or Valkey server (7.0 or newer, one node) and what to expect of it. Read once, when the store is made.
/// </summary>
public sealed partial class RedisOptions
{
    /// <summary>Host name or IP address. Default <c>localhost</c>.</summary>
    public string Host { get; set; } = "localhost";

    /// <summary>TCP port, 1 to 65,535. Default 6379.</summary>
    public int Port { get; set; } = 6379;

    /// <summary>The ACL user. Default: none, which is Redis's user <c>default</c>.</summary>
    public string? User { get; set; }

    /// <summary>The password of the user. Default: none, and no authentication. Never part of a message or log line.</summary>
    public string? Password { get; set; }

    /// <summary>The database every connection selects, 0 or above. Default 0.</summary>
    public int Database { get; set; }

    /// <summary>Whether connections use TLS 1.2 or newer. The certificate must be valid for the host. Default: no.</summary>
    public bool UseTls { get; set; }

    /// <summary>The name the server's certificate must be valid for, where it is not <see cref="Host"/>. Default: <see
    /// cref="Host"/>.</summary>
    public string? TlsHost { get; set; }

    /// <summary>
    /// A PEM file with the certificates of the authorities to trust instead of the machine's, for servers with a private authority.
    /// Default: none.
    /// </summary>
    public string? TlsAuthorityFile { get; set; }

    /// <summary>The name of our connections in <c>CLIENT LIST</c>, without blanks. Default <c>millrace</c>.</summary>
    public string ClientName { get; set; } = "millrace";

    /// <summary>How long one attempt to connect may take, with TLS and log-in. Default 5 s.</summary>
    public TimeSpan ConnectTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Attempts to connect, 1 or more, before a call fails with <see cref="Streams.StreamErrorCode.Unavailable"/>; calls at the same time
    /// share them. Default 5, which with the other defaults takes up to 1.5 s when the server refuses at once, and 27 s when it does not
    /// answer. After that calls share one attempt each, until one succeeds: with the other defaults they fail within 5 s and 10 s.
    /// </summary>
    public int ConnectAttempts { get; set; } = 5;

    /// <summary>The longest pause before the second attempt to connect; doubled for each further one, and drawn at
    /// random below that. Default 100 ms.</summary>
    public TimeSpan ReconnectDelay { get; set; } = TimeSpan.FromMilliseconds(100);

    /// <summary>The longest pause between two attempts to connect, also between those of two calls. Default 5 s.</summary>
    public TimeSpan MaxReconnectDelay { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// How long a reply may take, from when the command was handed to the operating system. After that the call fails with
    /// <see cref="Streams.StreamErrorCode.OutcomeUnknown"/> and its connection is dropped, with whatever else was under way on it; what was
    /// not sent yet is sent on the next one. A blocked read may take its own wait on top. Default 5 s.
    /// </summary>
    public TimeSpan CommandTimeout { get; set; } = TimeSpan.FromSeconds(5);

    /// <summary>
    /// Commands under way on the shared connection at a time, 1 or more; further calls wait. Four large batches fit, so that the server works on one
    /// while the next is made; about 10 ms of its time. Default 4,096.
    /// </summary>
    public int MaxPipelinedCommands { get; set; } = 4_096;

    /// <summary>Bytes of commands under way on the shared connection at a time; further calls wait. A single larger
    /// command passes alone. Default 32 MiB.</summary>
    public int MaxPipelinedBytes { get; set; } = 32 * 1024 * 1024;

    /// <summary>
    /// Bytes of one reply. A longer one costs the connection: <see cref="Streams.StreamErrorCode.OutcomeUnknown"/>. Ranges of so many entries that they
    /// could be longer, and reads without a group, have a connection that is not the one of commands, so that it costs nobody else anything. What is told of a
    /// stream has its first and its last entry: less than twice the largest one is too little. Default 64 MiB.
    /// </summary>
    public int MaxReplyBytes { get; set; } = 64 * 1024 * 1024;

    /// <summary>
    /// Silence after which TCP probes whether the server is still there, in whole seconds, 1 s to 9 h. A connection on which nothing comes
    /// back is broken after twice that; on Linux also one whose bytes nobody acknowledges, however long a reply may take. A blocked read is
    /// sent anew after twice that, or 30 s where that is less, so that the time limits find what probes cannot. Default 15 s.
    /// </summary>
    public TimeSpan KeepAlive { get; set; } = TimeSpan.FromSeconds(15);

    /// <summary>Checks every value.</summary>
    /// <exception cref="ArgumentException">Values are out of range or contradict each other; the message lists all of
    /// them, without secrets.</exception>
    public void Validate()
    {
        var errors = FindErrors();
        if (errors.Count > 0)
            throw new ArgumentException($"The Redis options are not valid: {string.Join(' ', errors)}");
    }

    /// <summary>A copy that later changes do not reach.</summary>
    internal RedisOptions Copy() => (RedisOptions)MemberwiseClone();

    private List<string> FindErrors()
    {
        var errors = new List<string>();
        void Require(bool isValid, string error)
        {
            if (!isValid)
                errors.Add(error);
        }

        Require(!string.IsNullOrWhiteSpace(Host), "Host is empty.");
        Require(Port is > 0 and <= 65_535, "Port must be 1 to 65535.");
        Require(User is null || Password is not null, "User needs a Password.");
        Require(User is not "", "User is empty; leave it out for the default user.");
        Require(Database >= 0, "Database must not be negative.");
        Require(UseTls || (TlsHost is null && TlsAuthorityFile is null), "TlsHost and TlsAuthorityFile need UseTls.");
        Require(TlsAuthorityFile is null || File.Exists(TlsAuthorityFile), $"TlsAuthorityFile '{TlsAuthorityFile}' does not exist.");
        Require(ClientName.Length > 0 && ClientName.All(static c => c is > ' ' and <= '~'), "ClientName must be ASCII without blanks.");
        Require(IsTimeout(ConnectTimeout), "ConnectTimeout must be 1 ms to 1 day.");
        Require(IsTimeout(CommandTimeout), "CommandTimeout must be 1 ms to 1 day.");
        Require(IsTimeout(ReconnectDelay), "ReconnectDelay must be 1 ms to 1 day.");
        Require(IsTimeout(MaxReconnectDelay) && MaxReconnectDelay >= ReconnectDelay, "MaxReconnectDelay must be ReconnectDelay to 1 day.");
        Require(KeepAlive >= TimeSpan.FromSeconds(1) && KeepAlive <= TimeSpan.FromHours(9), "KeepAlive must be 1 s to 9 h.");
        Require(ConnectAttempts >= 1, "ConnectAttempts must be 1 or more.");
        Require(MaxPipelinedCommands >= 1, "MaxPipelinedCommands must be 1 or more.");
        Require(MaxPipelinedBytes >= 1, "MaxPipelinedBytes must be 1 or more.");
        Require(MaxReplyBytes is >= 64 * 1024 and <= 1024 * 1024 * 1024, "MaxReplyBytes must be 64 KiB to 1 GiB.");
        return errors;
    }

    private static bool IsTimeout(TimeSpan value) => value >= TimeSpan.FromMilliseconds(1) && value <= TimeSpan.FromDays(1);

    /// <summary>Host and port, for messages. Carries no secret.</summary>
    public override string ToString() => Host.Contains(':', StringComparison.Ordinal) ? $"[{Host}]:{Port}" : $"{Host}:{Port}";
}
