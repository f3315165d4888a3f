using Millrace.Resp;
using Millrace.Server.Connections;
using Millrace.Streams.Engine;

namespace Millrace.Server.Commands.Connection;

/// <summary>The commands that say who a client is and how it wants to be talked to.</summary>
internal static class SessionCommands
{
    private const CommandFlags Always = CommandFlags.Fast | CommandFlags.NoScript | CommandFlags.NoAuth;

    private const string WrongPassword = "WRONGPASS invalid username-password pair or user is disabled.";

    private const string NoPassword =
        "ERR AUTH <password> called without any password configured for the default user. Are you sure your configuration is correct?";

    private const string HelloNeedsAuth =
        "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto> AUTH <user> <pass> option can be used " +
        "to authenticate the client and select the RESP protocol version at the same time";

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("auth", -2, Always, 0, 0, 0, "connection", Auth) { Group = "connection" },
        new("hello", -1, Always, 0, 0, 0, "connection", Hello) { Group = "connection", Since = "6.0.0" },
        new("quit", -1, Always | CommandFlags.NotQueued | CommandFlags.WhileSubscribed, 0, 0, 0, "connection", Quit) { Group = "connection" },
        new("reset", 1, Always | CommandFlags.NotQueued | CommandFlags.WhileSubscribed, 0, 0, 0, "connection", Reset)
        {
            Group = "connection",
            Since = "6.2.0",
        },
        new("select", 2, CommandFlags.Fast, 0, 0, 0, "connection", Select) { Group = "connection" },
    ];

    private static void Auth(ref CommandCall call)
    {
        if (call.Count > 3)
            call.Error(Errors.Syntax);
        else if (call.Count == 2 && call.Server.Access.Default.NeedsNoPassword)
            call.Error(NoPassword);
        else if (TryAuthenticate(ref call, call.Count == 2 ? "default"u8 : call[1], call[^1]))
            call.Ok();
    }

    private static bool TryAuthenticate(ref CommandCall call, ReadOnlySpan<byte> user, ReadOnlySpan<byte> password)
    {
        if (call.Server.Access.TryLogIn(call, user, password))
            return true;
        call.Error(WrongPassword);
        return false;
    }

    private static void Hello(ref CommandCall call)
    {
        var version = call.Client.RespVersion;
        if (call.Count > 1)
        {
            if (!call.TryInteger(1, out var wanted, "ERR Protocol version is not an integer or out of range"))
                return;
            if (wanted is not (2 or 3))
            {
                call.Error("NOPROTO unsupported protocol version");
                return;
            }

            version = (int)wanted;
        }

        var (auth, name) = (0, 0);
        for (var i = 2; i < call.Count; i++)
        {
            if (call.Is(i, "AUTH"u8) && i + 2 < call.Count)
            {
                auth = i;
                i += 2;
            }
            else if (call.Is(i, "SETNAME"u8) && i + 1 < call.Count)
            {
                name = ++i;
            }
            else
            {
                call.Error($"ERR Syntax error in HELLO option '{call.Quote(i)}'");
                return;
            }
        }

        if (auth > 0 && !TryAuthenticate(ref call, call[auth + 1], call[auth + 2]))
            return;
        if (call.Client.MustAuthenticate)
        {
            call.Error(HelloNeedsAuth);
            return;
        }

        if (name > 0 && !ClientCommands.TrySetName(ref call, name))
            return;
        call.Client.RespVersion = version;
        WriteHello(call.Client);
    }

    private static void WriteHello(ClientConnection client)
    {
        var reply = new RespWriter(client.Output, client.RespVersion);
        reply.WriteMap(7);
        reply.WriteBulk("server"u8);
        reply.WriteBulk("redis"u8);
        reply.WriteBulk("version"u8);
        reply.WriteBulk(RespServer.RedisVersion);
        reply.WriteBulk("proto"u8);
        reply.WriteInteger(client.RespVersion);
        reply.WriteBulk("id"u8);
        reply.WriteInteger(client.Id);
        reply.WriteBulk("mode"u8);
        reply.WriteBulk("standalone"u8);
        reply.WriteBulk("role"u8);
        reply.WriteBulk("master"u8);
        reply.WriteBulk("modules"u8);
        reply.WriteArray(0);
    }

    private static void Quit(ref CommandCall call)
    {
        call.Ok();
        call.Client.IsClosing = true;
    }

    private static void Reset(ref CommandCall call)
    {
        var client = call.Client;
        client.Transaction.Discard();
        call.Server.ForgetListenerNeedsLock(client);
        client.Replies = ReplyState.Plain;
        client.RespVersion = 2;
        client.Database = 0;
        client.Name = "";
        call.Server.Access.LogOut(client);
        client.Output.WriteRaw("+RESET\r\n"u8);
    }

    private static void Select(ref CommandCall call)
    {
        if (!call.TryInteger(1, out var database))
            return;
        if (database is < 0 or >= StreamEngine.DatabaseCount)
        {
            call.Error("ERR DB index is out of range");
            return;
        }

        call.Client.Database = (int)database;
        call.Engine.Select((int)database);
        call.Ok();
    }
}
