using Millrace.Server.Connections;

namespace Millrace.Server.Commands.Connection;

/// <summary><c>CLIENT KILL address:port</c> and <c>CLIENT KILL filter value …</c>.</summary>
internal static class ClientKill
{
    public static void Run(ref CommandCall call)
    {
        if (call.Count == 3)
        {
            var address = call.Text(2);
            if (ClientCommands.Living(call.Server).FirstOrDefault(client => $"{client.RemoteEndPoint}" == address) is not { } found)
            {
                call.Error("ERR No such client");
                return;
            }

            Kill(ref call, found);
            call.Ok();
            return;
        }

        if (TryParse(ref call, out var victims))
        {
            foreach (var victim in victims)
                Kill(ref call, victim);
            call.Reply.WriteInteger(victims.Count);
        }
    }

    /// <summary>Reads the name of a kind of clients; otherwise the error is written.</summary>
    public static string? FindType(ref CommandCall call, int index)
    {
        var type = call.Text(index).ToLowerInvariant();
        if (type is "normal" or "master" or "replica" or "slave" or "pubsub")
            return type;
        call.Error($"ERR Unknown client type '{call.Quote(index)}'");
        return null;
    }

    private static bool TryParse(ref CommandCall call, out List<ClientConnection> victims)
    {
        victims = [.. ClientCommands.Living(call.Server)];
        var skipsSelf = true;
        for (var i = 2; i < call.Count; i += 2)
        {
            if (i + 1 == call.Count)
            {
                call.Error(Errors.Syntax);
                return false;
            }

            var value = call.Text(i + 1);
            if (call.Is(i, "ID"u8))
            {
                if (!call.TryInteger(i + 1, out var id, "ERR client-id should be greater than 0"))
                    return false;
                if (id <= 0)
                {
                    call.Error("ERR client-id should be greater than 0");
                    return false;
                }

                victims.RemoveAll(client => client.Id != id);
            }
            else if (call.Is(i, "TYPE"u8))
            {
                if (FindType(ref call, i + 1) is not { } type)
                    return false;
                victims.RemoveAll(client => ClientCommands.TypeOf(client) != type);
            }
            else if (call.Is(i, "ADDR"u8))
            {
                victims.RemoveAll(client => $"{client.RemoteEndPoint}" != value);
            }
            else if (call.Is(i, "LADDR"u8))
            {
                victims.RemoveAll(client => $"{client.LocalEndPoint}" != value);
            }
            else if (call.Is(i, "USER"u8))
            {
                if (call.Server.Access.Find(value) is not { } user)
                {
                    call.Error($"ERR No such user '{Errors.Quote(value)}'");
                    return false;
                }

                victims.RemoveAll(client => client.User != user);
            }
            else if (call.Is(i, "SKIPME"u8) && (call.Is(i + 1, "YES"u8) || call.Is(i + 1, "NO"u8)))
            {
                skipsSelf = call.Is(i + 1, "YES"u8);
            }
            else
            {
                call.Error(Errors.Syntax);
                return false;
            }
        }

        if (skipsSelf)
            victims.Remove(call.Client);
        return true;
    }

    /// <summary>The caller itself still gets its reply.</summary>
    private static void Kill(ref CommandCall call, ClientConnection victim)
    {
        if (victim == call.Client)
            victim.IsClosing = true;
        else
            victim.KillNeedsLock("Killed by CLIENT KILL.");
    }
}
