namespace Millrace.Server.Commands.Admin;

/// <summary><c>SHUTDOWN</c>: ends the process that serves, if it wants to be ended by clients.</summary>
internal static class ShutdownCommand
{
    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("shutdown", -1, CommandFlags.Admin | CommandFlags.NoScript | CommandFlags.NoMulti, 0, 0, 0, "", Run) { Group = "server" },
    ];

    [Flags]
    private enum Words
    {
        None = 0,
        Save = 1,
        NoSave = 2,
        Now = 4,
        Force = 8,
        Abort = 16,
    }

    /// <summary>
    /// The end always writes and syncs the journal, whatever SAVE or NOSAVE say; there are no replicas to wait for, so that NOW changes
    /// nothing and there is never a shutdown under way to abort. There is no reply: the connection is closed.
    /// </summary>
    private static void Run(ref CommandCall call)
    {
        var words = Words.None;
        for (var i = 1; i < call.Count; i++)
        {
            var word = call.Is(i, "SAVE"u8) ? Words.Save
                : call.Is(i, "NOSAVE"u8) ? Words.NoSave
                : call.Is(i, "NOW"u8) ? Words.Now
                : call.Is(i, "FORCE"u8) ? Words.Force
                : call.Is(i, "ABORT"u8) ? Words.Abort
                : Words.None;
            if (word == Words.None)
            {
                call.Error(Errors.Syntax);
                return;
            }

            words |= word;
        }

        var isContradiction = (words & (Words.Save | Words.NoSave)) == (Words.Save | Words.NoSave) || ((words & Words.Abort) != 0 && words != Words.Abort);
        var error = isContradiction ? Errors.Syntax
            : words == Words.Abort ? "ERR No shutdown in progress."
            : (words & (Words.Save | Words.Force)) == Words.Save && !call.Store.IsDurable ? "ERR Errors trying to SHUTDOWN. Check logs."
            : null;
        if (error is not null)
        {
            call.Error(error);
            return;
        }

        call.Client.IsClosing = true;
        call.Server.RequestShutdown();
    }
}
