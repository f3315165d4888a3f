using System.Text;
using Millrace.Server.Connections;

namespace Millrace.Server.Commands.Connection;

/// <summary>The subcommands of <c>CLIENT</c> about the caller itself and for looking at the others; ending others is in <see cref="ClientKill"/>.</summary>
internal static class ClientCommands
{
    private static readonly string[] HelpLines =
    [
        "CLIENT <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GETNAME",
        "    Return the name of the current connection.",
        "ID",
        "    Return the ID of the current connection.",
        "INFO",
        "    Return information about the current client connection.",
        "KILL <ip:port>",
        "    Kill connection made from <ip:port>.",
        "KILL <option> <value> [<option> <value> [...]]",
        "    Kill connections. Options are: ID, ADDR, LADDR, TYPE, USER, SKIPME.",
        "LIST [TYPE <type>|ID <id> [...]]",
        "    Return information about client connections.",
        "NO-EVICT (ON|OFF)",
        "    Accepted: no client is ever evicted.",
        "NO-TOUCH (ON|OFF)",
        "    Accepted: no key keeps the time of its last use.",
        "PAUSE <timeout> [WRITE|ALL]",
        "    Suspend all, or just write, clients for <timeout> milliseconds.",
        "REPLY (ON|OFF|SKIP)",
        "    Control the replies sent to the current connection.",
        "SETINFO <option> <value>",
        "    Set the client's library name (LIB-NAME) or version (LIB-VER).",
        "SETNAME <name>",
        "    Assign the name <name> to the current connection.",
        "UNBLOCK <clientid> [TIMEOUT|ERROR]",
        "    Unblock the specified blocked client.",
        "UNPAUSE",
        "    Stop the current client pause, resuming traffic.",
        "HELP",
        "    Prints this help.",
    ];

    private const CommandFlags Own = CommandFlags.NoScript;
    private const CommandFlags Others = CommandFlags.NoScript | CommandFlags.Admin;

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("client", -2, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall call) => call.WrongArity(),
        [
            new("getname", 2, Own, 0, 0, 0, "connection", GetName),
            new("id", 2, Own, 0, 0, 0, "connection", static (ref CommandCall call) => call.Reply.WriteInteger(call.Client.Id)),
            new("info", 2, Own, 0, 0, 0, "connection", Info),
            new("help", 2, CommandFlags.None, 0, 0, 0, "connection", static (ref CommandCall call) => call.WriteHelp(HelpLines)),
            new("kill", -3, Others, 0, 0, 0, "connection", ClientKill.Run),
            new("list", -2, Others, 0, 0, 0, "connection", List),
            new("no-evict", 3, Others, 0, 0, 0, "connection", OnOff),
            new("no-touch", 3, Own, 0, 0, 0, "connection", OnOff),
            new("pause", -3, Others, 0, 0, 0, "connection", ClientPause.Start),
            new("reply", 3, Own, 0, 0, 0, "connection", Reply),
            new("setinfo", 4, Own, 0, 0, 0, "connection", SetInfo),
            new("setname", 3, Own, 0, 0, 0, "connection", SetName),
            new("unblock", -3, Others, 0, 0, 0, "connection", Unblock),
            new("unpause", 2, Others, 0, 0, 0, "connection", ClientPause.End),
        ]) { Group = "connection" },
    ];

    /// <summary>Names the client, or takes its name with an empty one; a name with blanks is refused, as lists are read by people.</summary>
    public static bool TrySetName(ref CommandCall call, int index)
    {
        if (!IsPlain(call[index]))
        {
            call.Error("ERR Client names cannot contain spaces, newlines or special characters.");
            return false;
        }

        call.Client.Name = call.Text(index);
        return true;
    }

    /// <summary>The clients that were not told to go, by ID.</summary>
    public static IEnumerable<ClientConnection> Living(RespServer server) =>
        server.Clients.Values.Where(static client => !client.IsClosing).OrderBy(static client => client.Id);

    private static bool IsPlain(ReadOnlySpan<byte> text) => !text.ContainsAnyExceptInRange((byte)'!', (byte)'~');

    /// <summary>The kind of a client in lists. A monitor is as normal as any.</summary>
    public static string TypeOf(ClientConnection client) => client.IsSubscriber ? "pubsub" : "normal";

    private static void GetName(ref CommandCall call)
    {
        if (call.Client.Name.Length == 0)
            call.Reply.WriteNull();
        else
            call.WriteText(call.Client.Name);
    }

    private static void SetName(ref CommandCall call)
    {
        if (TrySetName(ref call, 2))
            call.Ok();
    }

    private static void SetInfo(ref CommandCall call)
    {
        var isName = call.Is(2, "LIB-NAME"u8);
        if (!isName && !call.Is(2, "LIB-VER"u8))
        {
            call.Error($"ERR Unrecognized option '{call.Quote(2)}'");
            return;
        }

        if (!IsPlain(call[3]))
        {
            call.Error($"ERR {(isName ? "lib-name" : "lib-ver")} cannot contain spaces, newlines or special characters.");
            return;
        }

        if (isName)
            call.Client.LibraryName = call.Text(3);
        else
            call.Client.LibraryVersion = call.Text(3);
        call.Ok();
    }

    /// <summary>Nothing is ever evicted here, and no key keeps the time of its last use: both switches are right as they are.</summary>
    private static void OnOff(ref CommandCall call)
    {
        if (call.Is(2, "ON"u8) || call.Is(2, "OFF"u8))
            call.Ok();
        else
            call.Error(Errors.Syntax);
    }

    private static void Reply(ref CommandCall call)
    {
        if (call.Is(2, "ON"u8))
        {
            call.Client.Replies &= ~ReplyState.Off;
            call.Ok();
        }
        else if (call.Is(2, "OFF"u8))
        {
            call.Client.Replies |= ReplyState.Off;
        }
        else if (!call.Is(2, "SKIP"u8))
        {
            call.Error(Errors.Syntax);
        }
        else if ((call.Client.Replies & ReplyState.Off) == 0)
        {
            call.Client.Replies |= ReplyState.SkipsNext;
        }
    }

    private static void Info(ref CommandCall call) => call.WriteVerbatim(Describe(call.Client, call.NowMs) + "\n");

    private static void List(ref CommandCall call)
    {
        var clients = Living(call.Server);
        if (call.Count == 4 && call.Is(2, "TYPE"u8))
        {
            if (ClientKill.FindType(ref call, 3) is not { } type)
                return;
            clients = clients.Where(client => TypeOf(client) == type);
        }
        else if (call.Count > 3 && call.Is(2, "ID"u8))
        {
            var ids = new HashSet<long>();
            for (var i = 3; i < call.Count; i++)
            {
                if (!call.TryInteger(i, out var id, "ERR Invalid client ID"))
                    return;
                ids.Add(id);
            }

            clients = clients.Where(client => ids.Contains(client.Id));
        }
        else if (call.Count > 2)
        {
            call.Error(Errors.Syntax);
            return;
        }

        var text = new StringBuilder();
        foreach (var client in clients)
            text.Append(Describe(client, call.NowMs)).Append('\n');
        call.WriteVerbatim(text.ToString());
    }

    /// <summary>One line of the list. What the server does not count is 0, so that programs that read the line find every name.</summary>
    public static string Describe(ClientConnection client, long nowMs)
    {
        var flags = (client.IsMonitor ? "O" : "") + (client.IsSubscriber ? "P" : "") + (client.Transaction.IsOpen ? "x" : "") +
            (client.IsWaiting ? "b" : "");
        var subscriptions = client.Server.Subscriptions;
        return string.Create(
            System.Globalization.CultureInfo.InvariantCulture,
            $"id={client.Id} addr={client.RemoteEndPoint} laddr={client.LocalEndPoint} fd=0 name={client.Name} " +
            $"age={(nowMs - client.ConnectedMs) / 1000} idle={(nowMs - client.LastActiveMs) / 1000} " +
            $"flags={(flags.Length == 0 ? "N" : flags)} db={client.Database} " +
            $"sub={subscriptions.Channels.NamesOf(client).Count} psub={subscriptions.Patterns.NamesOf(client).Count} " +
            $"ssub={subscriptions.ShardChannels.NamesOf(client).Count} " +
            $"multi={(client.Transaction.IsOpen ? client.Transaction.Count : -1)} watch={client.Transaction.Watched.Count} " +
            $"qbuf=0 qbuf-free=0 argv-mem=0 multi-mem={client.Transaction.Bytes} rbs=0 rbp=0 obl=0 oll=0 " +
            $"omem={client.OutputBytes} tot-mem={client.OutputBytes} " +
            $"events=r cmd={client.LastCommand?.FullName ?? "NULL"} user={client.User.Name} redir=-1 resp={client.RespVersion} " +
            $"lib-name={client.LibraryName} lib-ver={client.LibraryVersion}");
    }

    private static void Unblock(ref CommandCall call)
    {
        string? error = null;
        if (call.Count > 4)
        {
            call.WrongArity();
            return;
        }

        if (call.Count == 4)
        {
            if (call.Is(3, "ERROR"u8))
            {
                error = "UNBLOCKED client unblocked via CLIENT UNBLOCK";
            }
            else if (!call.Is(3, "TIMEOUT"u8))
            {
                call.Error("ERR CLIENT UNBLOCK reason should be TIMEOUT or ERROR");
                return;
            }
        }

        if (!call.TryInteger(2, out var id))
            return;
        var isEnded = call.Server.Clients.TryGetValue(id, out var client) && client.Blocked is { MayUnblock: true } &&
            client.EndWaitNeedsLock(read => ((BlockedCommand)read).End(error));
        call.Reply.WriteInteger(isEnded ? 1 : 0);
    }
}
