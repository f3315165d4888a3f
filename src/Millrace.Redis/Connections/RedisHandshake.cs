using Millrace.Streams;

namespace Millrace.Redis.Connections;

/// <summary>What every connection says first: version of the protocol, log-in, name, database; then what its owner
/// wants said before all else.</summary>
internal static class RedisHandshake
{
    /// <summary>Tells our own server from others: it has this command, and then all the others that stand in for our scripts.</summary>
    private const string OwnCommand = "MILLRACE.COMMIT";

    private static readonly string LibraryVersion = typeof(RedisHandshake).Assembly.GetName().Version?.ToString(3) ?? "0";

    /// <summary>Makes a new connection ready.</summary>
    /// <exception cref="StreamException">Log-in, database or prologue was refused.</exception>
    public static async Task RunAsync(
        RedisConnection connection, RedisOptions options, IReadOnlyList<RespCommand> prologue, CancellationToken cancellationToken)
    {
        var hello = await ExecuteAsync(Hello(options)).ConfigureAwait(false);
        if (hello.IsError)
            await LogInWithoutHelloAsync(hello).ConfigureAwait(false);

        if (options.Database != 0)
        {
            var select = await ExecuteAsync(new RespCommand("SELECT").Add(options.Database)).ConfigureAwait(false);
            if (select.IsError)
                throw RedisErrors.ToException($"SELECT {options.Database}", select);
        }

        // Older servers and narrow ACLs refuse these; only CLIENT UNBLOCK, which needs the ID, is then not to be had.
        var replies = await ExecuteManyAsync(
        [
            new RespCommand("CLIENT").Add("ID"),
            new RespCommand("COMMAND").Add("INFO").Add(OwnCommand),
            new RespCommand("CLIENT").Add("SETINFO").Add("LIB-NAME").Add("millrace"),
            new RespCommand("CLIENT").Add("SETINFO").Add("LIB-VER").Add(LibraryVersion),
        ]).ConfigureAwait(false);
        var (id, commands) = (replies[0], replies[1]);
        if (id.IsError && RedisErrors.Map(id.Span) == StreamErrorCode.AuthenticationFailed)
            throw RedisErrors.ToException("CLIENT ID", id);
        connection.ClientId = id.IsError ? 0 : id.Integer;
        connection.IsMillrace = commands.Count == 1 && commands[0].IsAggregate;
        if (connection.IsMillrace || prologue.Count == 0)
            return;

        replies = await ExecuteManyAsync(prologue).ConfigureAwait(false);
        for (var i = 0; i < replies.Length; i++)
        {
            if (replies[i].IsError)
                throw RedisErrors.ToException(prologue[i].Name, replies[i]);
        }

        ValueTask<RespReply> ExecuteAsync(RespCommand command) =>
            connection.ExecuteAsync(command, options.ConnectTimeout, cancellationToken);

        ValueTask<RespReply[]> ExecuteManyAsync(IReadOnlyList<RespCommand> batch) =>
            connection.ExecuteManyAsync(batch, options.ConnectTimeout, cancellationToken);

        async ValueTask LogInWithoutHelloAsync(RespReply refusal)
        {
            // A refused log-in is final. Anything else means that this server has no HELLO for us: RESP2 then.
            if (RedisErrors.Map(refusal.Span) is StreamErrorCode.AuthenticationFailed or StreamErrorCode.Busy)
                throw RedisErrors.ToExceptionWithoutText($"the log-in of {UserOf(options)}", refusal);

            if (options.Password is not null)
            {
                var auth = await ExecuteAsync(Auth(options)).ConfigureAwait(false);
                if (auth.IsError)
                    throw RedisErrors.ToExceptionWithoutText($"the log-in of {UserOf(options)}", auth);
            }

            await ExecuteAsync(new RespCommand("CLIENT").Add("SETNAME").Add(options.ClientName)).ConfigureAwait(false);
        }
    }

    private static RespCommand Hello(RedisOptions options)
    {
        var hello = new RespCommand("HELLO").Add(3);
        if (options.Password is { } password)
            hello.Add("AUTH").Add(options.User ?? "default").Add(password);
        return hello.Add("SETNAME").Add(options.ClientName);
    }

    private static RespCommand Auth(RedisOptions options)
    {
        var auth = new RespCommand("AUTH");
        if (options.User is { } user)
            auth.Add(user);
        return auth.Add(options.Password!);
    }

    private static string UserOf(RedisOptions options) => $"user '{options.User ?? "default"}'";
}
