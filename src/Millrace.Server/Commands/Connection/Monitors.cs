using System.Globalization;
using System.Text;
using Millrace.Server.Connections;

namespace Millrace.Server.Commands.Connection;

/// <summary><c>MONITOR</c>: the clients that see every command that is run. Under the store's lock.</summary>
internal sealed class Monitors
{
    private readonly List<ClientConnection> _clients = [];

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("monitor", 1, CommandFlags.Admin | CommandFlags.NoScript, 0, 0, 0, "", Run) { Group = "server" },
    ];

    /// <summary>Nobody watches: the test that every command pays for.</summary>
    public bool IsEmpty => _clients.Count == 0;

    public void Forget(ClientConnection client)
    {
        client.IsMonitor = false;
        _clients.Remove(client);
    }

    /// <summary>
    /// Shows a command that was run. Commands for administrators are not shown, and passwords are blotted out. A command that waits is shown once.
    /// </summary>
    public void Show(in CommandCall call)
    {
        if (call.Command.Has(CommandFlags.Admin))
            return;
        var line = Describe(call);
        foreach (var client in _clients)
        {
            if (client.IsSilent || client.IsClosing)
                continue;
            lock (client.OutputLock)
            {
                client.Output.WriteRaw(line);
                call.Server.FlushLaterNeedsLock(client);
            }
        }
    }

    /// <summary>What is sent to the client from now on is out of step with its requests, which EXEC cannot have. A second time changes nothing.</summary>
    private static void Run(ref CommandCall call)
    {
        if (!call.MayBlock)
        {
            call.Error("ERR MONITOR isn't allowed for DENY BLOCKING client");
            return;
        }

        if (call.Client.IsMonitor)
            return;
        call.Client.IsMonitor = true;
        call.Server.Monitors._clients.Add(call.Client);
        call.Ok();
    }

    /// <summary>
    /// <c>+1339518083.107412 [0 127.0.0.1:60866] "KEYS" "*"</c>: seconds and microseconds, database, address, and the request.
    /// </summary>
    private static byte[] Describe(in CommandCall call)
    {
        var microseconds = (call.Store.Time.GetUtcNow() - DateTimeOffset.UnixEpoch).Ticks / TimeSpan.TicksPerMicrosecond;
        var text = new StringBuilder().Append(
            CultureInfo.InvariantCulture,
            $"+{microseconds / 1_000_000}.{microseconds % 1_000_000:D6} [{call.Client.Database} {call.Client.RemoteEndPoint}]");
        for (var i = 0; i < call.Count; i++)
        {
            text.Append(" \"");
            if (IsSecret(call, i))
                text.Append("(redacted)");
            else
                AppendQuoted(text, call[i]);
            text.Append('"');
        }

        return Encoding.ASCII.GetBytes(text.Append("\r\n").ToString());
    }

    /// <summary>Whether an argument is a password or may hold one, which nobody else is to see.</summary>
    public static bool IsSecret(in CommandCall call, int index) => call.Command.FullName switch
    {
        "acl|setuser" => index > 2,
        "config|set" => index > 2 && call.Is(index - 1, "requirepass"u8),
        "auth" => index > 0,
        "hello" => index > 2 && (call.Is(index - 1, "AUTH"u8) || (index > 3 && call.Is(index - 2, "AUTH"u8))),
        _ => false,
    };

    private static void AppendQuoted(StringBuilder text, ReadOnlySpan<byte> bytes)
    {
        foreach (var value in bytes)
        {
            _ = value switch
            {
                (byte)'"' or (byte)'\\' => text.Append('\\').Append((char)value),
                (byte)'\n' => text.Append("\\n"),
                (byte)'\r' => text.Append("\\r"),
                (byte)'\t' => text.Append("\\t"),
                (byte)'\a' => text.Append("\\a"),
                (byte)'\b' => text.Append("\\b"),
                >= 0x20 and < 0x7F => text.Append((char)value),
                _ => text.Append(CultureInfo.InvariantCulture, $"\\x{value:x2}"),
            };
        }
    }
}
