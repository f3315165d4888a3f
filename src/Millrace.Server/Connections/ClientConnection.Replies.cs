namespace Millrace.Server.Connections;

/// <summary>What the client is shown of the reply to a command, besides the reply itself.</summary>
[Flags]
internal enum ReplyState
{
    /// <summary>The reply as it is written.</summary>
    Plain = 0,

    /// <summary>Nothing until <c>CLIENT REPLY ON</c>.</summary>
    Off = 1,

    /// <summary>Nothing of the next command (<c>CLIENT REPLY SKIP</c>).</summary>
    SkipsNext = 2,

    /// <summary>Nothing of this command.</summary>
    Skips = 4,

    /// <summary>The command caused pushes to the client itself.</summary>
    HasPushes = 8,
}

/// <summary>How replies end: shown or not, and what follows them.</summary>
internal sealed partial class ClientConnection
{
    private OutputBuffer? _ownPushes;

    /// <summary>Under the store's lock.</summary>
    public ReplyState Replies { get; set; }

    /// <summary>The reply of the command that runs is not shown. Pushes are.</summary>
    public bool IsSilent => (Replies & (ReplyState.Off | ReplyState.Skips)) != 0;

    /// <summary>
    /// Pushes that the client's own command causes: they come after its reply, because inside the reply of an EXEC no client would know them.
    /// </summary>
    public OutputBuffer OwnPushes
    {
        get
        {
            Replies |= ReplyState.HasPushes;
            return _ownPushes ??= new() { LimitBytes = Server.Options.MaxOutputBytes };
        }
    }

    /// <summary>Ends the reply of a command: takes it back if it is not to be shown, and lets the pushes follow. Under the output lock.</summary>
    /// <param name="mark">The output's length before the reply.</param>
    /// <param name="isOver">Whether the command is done: one that waits has its reply, or none, to come.</param>
    public void EndReply(int mark, bool isOver)
    {
        if (IsSilent)
            Output.Truncate(mark);
        if (_ownPushes is { } pushes)
        {
            _ownPushes = null;
            if (pushes.IsOverfull)
                KillNeedsLock(DoesNotRead);
            else
                Output.WriteRaw(pushes.Written.Span);
        }

        Replies &= ~ReplyState.HasPushes;
        if (isOver)
            Replies = (Replies & ReplyState.Off) | ((Replies & ReplyState.SkipsNext) != 0 ? ReplyState.Skips : ReplyState.Plain);
    }
}
