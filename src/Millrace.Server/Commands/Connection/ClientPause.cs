using Millrace.Server.Connections;
using Millrace.Streams;

namespace Millrace.Server.Commands.Connection;

/// <summary>
/// <c>CLIENT PAUSE</c> and <c>UNPAUSE</c>: for a time no command is run, or none that writes. What clients send meanwhile stays in their input.
/// Keys still expire, and the process's own calls go on. Under the store's lock.
/// </summary>
internal sealed class ClientPause : IDisposable
{
    private readonly RespServer _server;
    private readonly ITimer _timer;
    private readonly HashSet<ClientConnection> _held = [];
    private long _endMs;
    private bool _isForAll;

    public ClientPause(RespServer server)
    {
        _server = server;
        _timer = server.Store.Time.CreateTimer(
            static pause => ((ClientPause)pause!).OnEnd(), this, Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
    }

    /// <summary>The test that every command pays for.</summary>
    public bool IsOn { get; private set; }

    public void Dispose() => _timer.Dispose();

    /// <summary>Whether a command that could be run must wait; the client is told when it need not any more.</summary>
    public bool TryHold(in CommandCall call)
    {
        // A monitor is a kind of replica to Redis, and those are never held.
        if (call.Client.IsMonitor || !(_isForAll || Writes(call)))
            return false;
        _held.Add(call.Client);
        call.Client.IsHeld = true;
        return true;
    }

    public void Forget(ClientConnection client) => _held.Remove(client);

    public static void Start(ref CommandCall call)
    {
        var isForAll = call.Count == 3 || call.Is(3, "ALL"u8);
        if (call.Count > 4)
            call.Error("ERR unknown subcommand or wrong number of arguments for 'PAUSE'. Try CLIENT HELP.");
        else if (!isForAll && !call.Is(3, "WRITE"u8))
            call.Error("ERR CLIENT PAUSE mode must be WRITE or ALL");
        else if (call.TryTimeoutMs(2, out var timeoutMs))
        {
            call.Server.Pause.Extend(call.NowMs, timeoutMs, isForAll);
            call.Ok();
        }
    }

    public static void End(ref CommandCall call)
    {
        call.Server.Pause.End();
        call.Ok();
    }

    private static bool Writes(in CommandCall call)
    {
        const CommandFlags Writing = CommandFlags.Write | CommandFlags.MayReplicate;
        return (call.Command.Flags & Writing) != 0 ||
            (call.Command.Name == "exec" && call.Client.Transaction.Queue.Any(static request => (request.Command.Flags & Writing) != 0));
    }

    /// <summary>A pause under way becomes neither shorter nor less strict.</summary>
    private void Extend(long nowMs, long timeoutMs, bool isForAll)
    {
        _endMs = IsOn ? Math.Max(_endMs, nowMs + timeoutMs) : nowMs + timeoutMs;
        _isForAll = (IsOn && _isForAll) || isForAll;
        IsOn = true;
        SetTimer(nowMs);
    }

    private void End()
    {
        IsOn = false;
        _timer.Change(Timeout.InfiniteTimeSpan, Timeout.InfiniteTimeSpan);
        foreach (var client in _held)
            client.ReleaseNeedsLock();
        _held.Clear();
    }

    private void SetTimer(long nowMs) => _timer.Change(TimeSpan.FromMilliseconds(Math.Max(1, _endMs - nowMs)), Timeout.InfiniteTimeSpan);

    private void OnEnd()
    {
        try
        {
            var nowMs = _server.BeginTurn();
            try
            {
                // The timer may run ahead of the clock, or be that of an end before the last.
                if (IsOn && nowMs >= _endMs)
                    End();
                else if (IsOn)
                    SetTimer(nowMs);
            }
            finally
            {
                _server.EndTurn(nowMs);
            }
        }
        catch (StreamException)
        {
            // The store is closed, which ends the clients as well.
        }
    }
}
