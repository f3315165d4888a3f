using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Redis.Connections;
using Millrace.Redis.Schedules;
using Millrace.Redis.Scripts;
using Millrace.Streams;

namespace Millrace.Redis;

/// <summary>
/// Streams on a real Redis (7.0 or newer) or Valkey (7.2 or newer), one node, or on our own server (<c>millrace serve</c>). Streams are keys
/// under their own names, so that any Redis client can work with them beside Millrace.
/// </summary>
/// <remarks>
/// <para>Keys it makes besides the streams: state documents at <c>{stream}:state:name</c>, strings of the form <c>version⏎payload</c>;
/// schedules at <c>{stream}:scheduled</c>, sorted sets by due time; and the private streams of groups, <c>{stream}:again:group</c>.</para>
/// <para>Entries that are due are moved to their stream by any process that reads it or has scheduled into it, by the clock of Redis.
/// </para>
/// <para>What Redis has no command for runs there as a Lua script. Our own server is recognised when it is connected to and has commands of
/// the same arguments instead, such as <c>MILLRACE.COMMIT</c>; it keeps schedules in a type of its own and moves due entries itself.</para>
/// <para>Redis refuses a whole call when the user lacks rights to one of its keys, or on a cluster when these are of several slots. The commits of such a
/// call (up to 1,000 changes) are then applied one by one, each as a whole, after those of later calls of the same list.</para>
/// <para>Rights a user needs, on those keys: the <c>X…</c> commands, <c>TYPE</c>, <c>GET</c>, <c>GETRANGE</c>, <c>SET</c>, <c>DEL</c>,
/// <c>UNLINK</c>, <c>ZADD</c>, <c>ZREM</c>, <c>ZRANGE</c>; on none: <c>EVALSHA</c>, <c>SCRIPT LOAD</c>,
/// <c>CLIENT</c>, <c>TIME</c>. With the channel <c>millrace:scheduled</c> (<c>PUBLISH</c>, <c>SUBSCRIBE</c>) entries scheduled by other
/// processes are moved when they are due; without it up to five seconds later. On our own server: <c>COMMAND INFO</c>, and the
/// <c>MILLRACE.…</c> commands in place of those that only scripts use.</para>
/// </remarks>
public sealed partial class RedisStreamStore : IStreamStore
{
    private readonly RedisClient _client;

    // For reads that may bring more than a reply may have: where one does, the connection breaks, and commands of others are on another one.
    private readonly RedisClient _longReads;
    private readonly int _maxReplyBytes;
    private readonly SchedulePromoter _schedules;
    private volatile bool _isClosed;

    /// <summary>Makes the store; connects at the first call or at <see cref="OpenAsync"/>.</summary>
    /// <param name="options">How to reach the server. Read now; later changes have no effect.</param>
    /// <param name="timeProvider">
    /// The clock of time-outs and timers. Default: the system's. IDs and idle times are by the clock of Redis.
    /// </param>
    /// <param name="logger">Gets lost connections and failed promotions. Default: none.</param>
    /// <exception cref="ArgumentException">An option is out of its range.</exception>
    public RedisStreamStore(RedisOptions options, TimeProvider? timeProvider = null, ILogger<RedisStreamStore>? logger = null)
    {
        ArgumentNullException.ThrowIfNull(options);

        var log = logger ?? NullLogger<RedisStreamStore>.Instance;
        var time = timeProvider ?? TimeProvider.System;
        _longReads = new(options, time, log);
        _client = new(options, time, log) { Prologue = [.. LuaScript.All.Select(script => script.Load())], Follower = _longReads };
        _maxReplyBytes = options.MaxReplyBytes;
        _schedules = new(_client, time, log);
        _longestBlock = TimeSpan.FromTicks(Math.Min(MaxLongestBlock.Ticks, 2 * options.KeepAlive.Ticks));
    }

    /// <inheritdoc/>
    public ValueTask OpenAsync(CancellationToken cancellationToken = default) => _client.ConnectAsync(cancellationToken);

    /// <summary>
    /// Sends any command that does not block, subscribe or change the connection, on the connection all calls share. One round trip.
    /// </summary>
    /// <param name="command">The command and its arguments, as in <c>["XLEN", "orders"]</c>.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>The reply; never an error.</returns>
    /// <exception cref="StreamException">The server refused the command, or could not be reached.</exception>
    public ValueTask<RespReply> ExecuteAsync(IReadOnlyList<string> command, CancellationToken cancellationToken = default) =>
        ExecuteAsync([.. command.Select(part => (ReadOnlyMemory<byte>)Encoding.UTF8.GetBytes(part))], cancellationToken);

    /// <inheritdoc cref="ExecuteAsync(IReadOnlyList{string}, CancellationToken)"/>
    public ValueTask<RespReply> ExecuteAsync(IReadOnlyList<ReadOnlyMemory<byte>> command, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(command);
        ArgumentOutOfRangeException.ThrowIfZero(command.Count, nameof(command));

        var sent = new RespCommand(Encoding.UTF8.GetString(command[0].Span));
        foreach (var argument in command.Skip(1))
            sent.Add(argument.Span);
        return _client.ExecuteAsync(sent, cancellationToken);
    }

    /// <summary>Stops the promotion of schedules and closes every connection. Calls under way fail.</summary>
    public async ValueTask DisposeAsync()
    {
        _isClosed = true;
        await _schedules.DisposeAsync().ConfigureAwait(false);
        await _longReads.DisposeAsync().ConfigureAwait(false);
        await _client.DisposeAsync().ConfigureAwait(false);
    }
}
