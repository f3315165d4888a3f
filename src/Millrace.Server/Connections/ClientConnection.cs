using System.Buffers;
using System.IO.Pipelines;
using System.Net;
using Microsoft.AspNetCore.Connections;
using Microsoft.AspNetCore.Connections.Features;
using Millrace.Embedded;
using Millrace.Server.Commands;
using Millrace.Server.Commands.Transactions;
using Millrace.Server.Users;
using Millrace.Streams;

namespace Millrace.Server.Connections;

/// <summary>
/// One client: the loop that reads its requests and runs them in turns, and everything the server knows of it. Sending is in
/// <c>ClientConnection.Output.cs</c>.
/// </summary>
/// <remarks>
/// State is guarded by the store's lock, with two exceptions: the output has a lock of its own, taken after the store's; the parser and the
/// input belong to the loop.
/// </remarks>
internal sealed partial class ClientConnection
{
    /// <summary>Requests of one turn at most: others want the lock, too.</summary>
    private const int MaxRequestsPerTurn = 1024;

    /// <summary>After so long a turn ends with the command that runs, for the same reason: some take as long as there are keys.</summary>
    private static readonly TimeSpan MaxTurnTime = TimeSpan.FromMilliseconds(10);

    private readonly ConnectionContext _connection;
    private readonly RequestParser _parser;

    /// <summary>What it waits for; null when it does not.</summary>
    private BlockedCommand? _blocked;

    /// <summary>Requests wait in the input until its wait is over.</summary>
    private bool _resumeWhenServed;

    /// <summary>The last turn left bytes in the input that the next one must look at.</summary>
    private bool _hasMore;

    /// <summary>The server stops.</summary>
    private volatile bool _isEnding;

    public ClientConnection(RespServer server, ConnectionContext connection, long id, long nowMs)
    {
        Server = server;
        _connection = connection;
        _parser = new(server.Options);
        _filling = new() { LimitBytes = server.Options.MaxOutputBytes };
        _sending = new() { LimitBytes = server.Options.MaxOutputBytes };
        Id = id;
        (User, IsAuthenticated) = (server.Access.Default, server.Access.IsOpen);
        Transaction = new(server);
        ConnectedMs = LastCommandMs = nowMs;
    }

    public RespServer Server { get; }

    public long Id { get; }

    public EndPoint? RemoteEndPoint => _connection.RemoteEndPoint;

    public EndPoint? LocalEndPoint => _connection.LocalEndPoint;

    /// <summary>When it connected, in Unix milliseconds.</summary>
    public long ConnectedMs { get; }

    /// <summary>When it sent its last command, in Unix milliseconds.</summary>
    public long LastCommandMs { get; private set; }

    /// <summary>When it last sent a command, or a part of a long one, or took a part of a long reply.</summary>
    public long LastActiveMs => Math.Max(LastCommandMs, Volatile.Read(ref _lastMovedMs));

    public int Database { get; set; }

    /// <summary>2 or 3; changed by HELLO.</summary>
    public int RespVersion { get; set; } = 2;

    /// <summary>The request to run after this turn is the last: QUIT, an error of the protocol, or CLIENT KILL.</summary>
    public bool IsClosing { get; set; }

    /// <summary>Whether it logged in, or none needed to when it came.</summary>
    public bool IsAuthenticated { get; set; }

    /// <summary>Whether it may only log in.</summary>
    public bool MustAuthenticate => !IsAuthenticated && !Server.Access.IsOpen;

    /// <summary>Who it is: the default user until it logs in.</summary>
    public User User { get; set; }

    /// <summary>What CLIENT SETNAME said; empty when nothing.</summary>
    public string Name { get; set; } = "";

    /// <summary>What CLIENT SETINFO said of the program's library.</summary>
    public string LibraryName { get; set; } = "";

    public string LibraryVersion { get; set; } = "";

    /// <summary>The command it sent last.</summary>
    public CommandInfo? LastCommand { get; set; }

    /// <summary>What it queues and watches.</summary>
    public Transaction Transaction { get; }

    public BlockedCommand? Blocked => _blocked;

    /// <summary>It listens to channels or patterns. Kept by <see cref="Commands.PubSub.Subscriptions"/>.</summary>
    public bool IsSubscriber { get; set; }

    /// <summary>It sees every command. Kept by <see cref="Commands.Connection.Monitors"/>.</summary>
    public bool IsMonitor { get; set; }

    /// <summary>It is sent more than replies.</summary>
    public bool IsListener => IsSubscriber || IsMonitor;

    /// <summary>Its next request waits in the input for the end of a pause. Kept by <see cref="Commands.Connection.ClientPause"/>.</summary>
    public bool IsHeld { get; set; }

    /// <summary>It waits for the server rather than the server for it.</summary>
    public bool IsWaiting => _blocked is not null || IsHeld;

    /// <summary>It gets a reply in the turn under way. Kept by the server.</summary>
    public bool IsToFlush { get; set; }

    /// <summary>Reads and runs requests until the client goes.</summary>
    public async Task RunAsync()
    {
        var input = _connection.Transport.Input;
        using var ending = _connection.Features.Get<IConnectionLifetimeNotificationFeature>()?.ConnectionClosedRequested.Register(
            static client => ((ClientConnection)client!).EndSoon(), this);
        while (true)
        {
            var read = await input.ReadAsync();
            var buffer = read.Buffer;
            long consumed = 0;
            _hasMore = false;
            try
            {
                if (!buffer.IsEmpty)
                {
                    await Server.Store.WhenTurnPossibleAsync(CancellationToken.None);
                    consumed = RunTurn(buffer);
                }
            }
            catch (StreamException e)
            {
                // No turn began: the disk failed when something was due, or the store was closed.
                Refuse(Errors.From(e));
            }

            // What was looked at need not be looked at again before more comes, unless requests were left for the next turn.
            input.AdvanceTo(buffer.GetPosition(consumed), _hasMore ? buffer.GetPosition(consumed) : buffer.End);
            if (IsClosing || _isEnding || (read.IsCompleted && !_hasMore))
                break;
            await WhenDrainedAsync();
        }

        await WhenSentAsync();
    }

    /// <summary>Says why nothing that it sends can be run, and ends it.</summary>
    private void Refuse(string error)
    {
        lock (OutputLock)
            Output.WriteErrorLine(error);
        Flush();
        IsClosing = true;
    }

    /// <summary>The server stops: replies already earned are sent, and that is all.</summary>
    private void EndSoon()
    {
        _isEnding = true;
        _connection.Transport.Input.CancelPendingRead();
    }

    /// <summary>Runs the whole requests in the input as one turn.</summary>
    /// <returns>Bytes consumed.</returns>
    private long RunTurn(ReadOnlySequence<byte> buffer)
    {
        if (_blocked is not null && MustWait())
        {
            if (buffer.Length > Server.Options.MaxCommandBytes)
                IsClosing = true;
            return 0;
        }

        // Who has not authenticated may do so in a pipeline: the requests after it have the larger limits.
        _parser.IsRestricted = MustAuthenticate;
        var input = buffer.IsSingleSegment ? buffer.FirstSpan : buffer.ToArray();
        var consumed = _parser.Parse(input, _parser.IsRestricted ? 1 : MaxRequestsPerTurn);
        _hasMore = _parser.IsFull && consumed < input.Length;
        if (_parser.Requests.IsEmpty && _parser.ProtocolError is null)
        {
            // A client that takes long for a long request is not idle.
            Volatile.Write(ref _lastMovedMs, Server.NowMs);
            return consumed;
        }

        var nowMs = Server.BeginTurn();
        try
        {
            lock (OutputLock)
            {
                consumed = RunRequests(input, consumed, nowMs);
                Server.FlushLaterNeedsLock(this);
            }
        }
        finally
        {
            Server.EndTurn(nowMs);
        }

        return consumed;
    }

    private int RunRequests(ReadOnlySpan<byte> input, int consumed, long nowMs)
    {
        IsClosing |= _isGone;
        if (IsClosing)
            return input.Length;
        LastCommandMs = nowMs;
        Server.Statistics.BeginTurn(_parser.Requests.Length, nowMs);
        IsHeld = false;
        var start = 0;
        foreach (var request in _parser.Requests)
        {
            ReadOnlySpan<byte> bytes = request.Own is null ? input : request.Own;
            Server.Dispatcher.Run(this, bytes, _parser.ArgumentsOf(request), nowMs);
            if (IsClosing)
                return input.Length;
            if (IsHeld)
            {
                (_hasMore, IsClosing) = (false, input.Length > Server.Options.MaxCommandBytes);
                return _parser.StopAt(start);
            }

            start = request.End;
            if (_blocked is not null)
            {
                (_hasMore, _resumeWhenServed) = (false, start < input.Length);
                return _parser.StopAt(start);
            }

            if (Output.Length >= BusyBytes || Output.IsOverfull || Server.Statistics.TurnTime > MaxTurnTime)
            {
                _hasMore = start < input.Length;
                return _parser.StopAt(start);
            }
        }

        if (_parser.ProtocolError is { } error)
        {
            Output.WriteErrorLine(error);
            IsClosing = true;
        }

        return consumed;
    }

    /// <summary>Requests came while it waits. Whoever ends the wait wakes the loop for them.</summary>
    private bool MustWait()
    {
        var nowMs = Server.BeginTurn();
        try
        {
            _resumeWhenServed = _blocked is not null;
            return _resumeWhenServed;
        }
        finally
        {
            Server.EndTurn(nowMs);
        }
    }

    /// <summary>Makes it wait. Its later requests stay in the input until then.</summary>
    public void BlockNeedsLock(BlockedCommand blocked, TimeSpan? limit)
    {
        _blocked = blocked;
        Server.Store.BlockNeedsLock(blocked, limit);
    }

    /// <summary>The wait is over and the reply is written.</summary>
    public void UnblockNeedsLock()
    {
        _blocked = null;
        Server.FlushLaterNeedsLock(this);
        if (!_resumeWhenServed)
            return;
        _resumeWhenServed = false;
        ResumeLater();
    }

    /// <summary>The pause that held its next request is over.</summary>
    public void ReleaseNeedsLock()
    {
        IsHeld = false;
        ResumeLater();
    }

    /// <summary>Wakes the loop for what is in the input.</summary>
    private void ResumeLater()
    {
        // Not on this thread: the loop would run the client's next requests under the lock that is held here.
        ThreadPool.UnsafeQueueUserWorkItem(static client => client._connection.Transport.Input.CancelPendingRead(), this, preferLocal: false);
    }

    /// <summary>Ends its wait: it is gone, or was told to wait no longer.</summary>
    /// <param name="end">Writes the reply, if there is to be one.</param>
    public bool EndWaitNeedsLock(Action<BlockedRead> end) =>
        _blocked is { } blocked && Server.Store.EndWaitNeedsLock(blocked, end);

    /// <summary>Ends it at once: nothing more that it sent is run.</summary>
    public void KillNeedsLock(string reason)
    {
        IsClosing = true;
        EndWaitNeedsLock(static _ => { });
        Abort(reason);
    }

    /// <summary>Closes the connection from outside its loop: CLIENT KILL, a limit, the end of the server.</summary>
    public void Abort(string reason) => _connection.Abort(new ConnectionAbortedException(reason));
}
