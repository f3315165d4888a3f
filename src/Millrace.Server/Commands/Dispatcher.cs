using Millrace.Server.Connections;
using Millrace.Server.Users;
using Millrace.Streams;

namespace Millrace.Server.Commands;

/// <summary>Runs one request: finds the command, checks arity, rights, state of the client and memory, queues or calls. Under the store's lock.</summary>
internal sealed class Dispatcher(RespServer server, CommandTable table)
{
    public CommandTable Table { get; } = table;

    public void Run(ClientConnection client, ReadOnlySpan<byte> input, ReadOnlySpan<ArgumentRange> arguments, long nowMs)
    {
        var mark = client.Output.Length;
        Answer(client, input, arguments, nowMs);
        if (client.Replies != ReplyState.Plain)
            client.EndReply(mark, isOver: !client.IsWaiting);
    }

    private void Answer(ClientConnection client, ReadOnlySpan<byte> input, ReadOnlySpan<ArgumentRange> arguments, long nowMs)
    {
        var call = new CommandCall(server, client, ConnectionPlaceholder, input, arguments, nowMs);
        if (server.Store.EngineNeedsLock.Touched.Count > 0)
            server.MarkTouchedNeedsLock();
        var isFound = TryFind(ref call, out var refusal);
        if (isFound)
            client.LastCommand = call.Command; // Before it may be refused: the log of refusals shows it.
        if (!isFound || !MayRun(ref call, out refusal))
        {
            Refuse(ref call, refusal);
            return;
        }

        if (server.Pause.IsOn && server.Pause.TryHold(call))
            return;
        if (client.Transaction.IsOpen && !call.Command.Has(CommandFlags.NotQueued))
        {
            client.Transaction.Add(call.ToStored());
            client.Output.WriteRaw("+QUEUED\r\n"u8);
            return;
        }

        server.Store.EngineNeedsLock.Select(client.Database);
        Call(ref call);
        server.Store.EndCommandNeedsLock(nowMs);
    }

    /// <summary>Runs the request that another command has in its arguments, with all checks.</summary>
    public void RunInside(CommandCall call)
    {
        if (TryFind(ref call, out var refusal) && MayRun(ref call, out refusal))
            Call(ref call);
        else
            call.Error(refusal);
    }

    /// <summary>Makes a call that of the command or subcommand it names.</summary>
    public bool TryFind(ref CommandCall call)
    {
        if (Table.Find(call[0]) is not { } command)
            return false;
        if (command.Subcommands is not null && call.Count > 1)
        {
            if (FindSubcommand(command, call[1]) is not { } subcommand)
                return false;
            command = subcommand;
        }

        call = call.As(command);
        return true;
    }

    /// <summary>Finds the command or subcommand, and checks the number of its arguments.</summary>
    private bool TryFind(ref CommandCall call, out string refusal)
    {
        refusal = "";
        if (!TryFind(ref call))
            refusal = Table.Find(call[0]) is { } parent ? Errors.UnknownSubcommand(parent.Name, call[1]) : Errors.UnknownCommand(call);
        else if (!call.Command.FitsArity(call.Count))
            refusal = Errors.WrongArity(call.Command.FullName);
        return refusal.Length == 0;
    }

    /// <summary>Whether the client may run it now: rights, then the state of its transaction.</summary>
    private bool MayRun(ref CommandCall call, out string refusal)
    {
        var (client, command) = (call.Client, call.Command);
        refusal = "";
        if (client.MustAuthenticate && !command.Has(CommandFlags.NoAuth))
            refusal = Errors.NoAuth;
        else if (client.Transaction.IsOpen && command.Has(CommandFlags.NoMulti))
            refusal = Errors.NotInTransaction;
        else if (server.Access.Check(call) is not AccessDenial.None and var denial)
            refusal = Errors.NoPermission(call, denial);
        else if (command.IsAboutData && server.Store.RefusalNeedsLock is { } broken)
            refusal = Errors.From(broken);
        else if (IsOutOfMemory(client, command))
            refusal = Errors.OutOfMemory;
        else if (client.IsListener && !MayRunWhileListening(call, out refusal))
            return false;
        else if (!client.Transaction.IsOpen)
            return true;
        else if (client.Transaction.Bytes > server.Options.MaxCommandBytes || client.Transaction.Count >= server.Options.MaxArguments)
            refusal = command.Has(CommandFlags.NotQueued) ? "" : Errors.QueueFull;
        return refusal.Length == 0;
    }

    /// <summary>Whether it needs more memory than there may be. To a store without such a limit, one comparison.</summary>
    private bool IsOutOfMemory(ClientConnection client, CommandInfo command) =>
        server.Store.MaxMemoryBytesNeedsLock > 0 &&
        (command.Has(CommandFlags.DenyOom) || (command.Name == "exec" && client.Transaction.NeedsMemory)) &&
        server.Store.IsFullNeedsLock;

    /// <summary>A transaction that lacks a command the client meant must not run. An EXEC that is refused ends it.</summary>
    private static void Refuse(ref CommandCall call, string refusal)
    {
        if (ReferenceEquals(call.Command, ConnectionPlaceholder) && (call.Is(0, "POST"u8) || call.Is(0, "Host:"u8)))
        {
            // A browser that was tricked into talking to us: what is in the body of its request must not be run.
            call.Client.Output.Clear();
            call.Client.KillNeedsLock("It speaks HTTP.");
            return;
        }

        var transaction = call.Client.Transaction;
        if (call.Command.Name.Length > 0)
            call.Server.Statistics.Of(call.Command).Rejected++;
        if (call.Command.Name != "exec")
        {
            transaction.IsBroken |= transaction.IsOpen;
            call.Error(refusal);
            return;
        }

        transaction.Discard();
        call.Error(Errors.ExecRefused(refusal));
    }

    /// <summary>
    /// Messages look like replies to a client of RESP2, so that it may ask for little else. A monitor is a kind of replica to Redis, which leaves
    /// keys alone.
    /// </summary>
    private static bool MayRunWhileListening(in CommandCall call, out string refusal)
    {
        refusal = "";
        if (call.Client.IsSubscriber && !call.IsResp3 && !call.Command.Has(CommandFlags.WhileSubscribed))
            refusal = Errors.WhileSubscribed(call.Command.FullName);
        else if (call.Client.IsMonitor && (call.Command.Flags & (CommandFlags.Write | CommandFlags.ReadOnly | CommandFlags.MayReplicate)) != 0)
            refusal = Errors.WhileMonitoring;
        return refusal.Length == 0;
    }

    /// <summary>
    /// Runs a command that passed every check. Whatever it wrote before it failed is taken back. A reply that shows or changed what is journaled
    /// waits for the journal.
    /// </summary>
    public void Call(ref CommandCall call)
    {
        var (output, statistics, time) = (call.Client.Output, server.Statistics, server.Store.Time);
        var mark = output.Length;
        var counter = statistics.Of(call.Command);
        var isMeasured = statistics.Count(call, counter);
        var started = isMeasured ? time.GetTimestamp() : 0;
        var lsn = server.Store.LastLsnNeedsLock;
        call.Client.ShowsData |= call.Command.IsAboutData;
        try
        {
            call.Command.Handler(ref call);
            call.Client.ShowsData |= server.Store.LastLsnNeedsLock != lsn;
        }
        catch (StreamException e)
        {
            output.Truncate(mark);
            call.Error(Errors.From(e));
        }
        catch
        {
            // A bug, or no memory: the connection ends. A send under way may still take what is written, which must not be half a reply.
            output.Truncate(mark);
            throw;
        }

        if (isMeasured)
            statistics.Measure(call, counter, time.GetElapsedTime(started));
        if (output.IsErrorAt(mark))
            counter.Failed++;
        if (!server.Monitors.IsEmpty)
            server.Monitors.Show(call);
    }

    private static CommandInfo? FindSubcommand(CommandInfo command, ReadOnlySpan<byte> name)
    {
        foreach (var subcommand in command.Subcommands!)
        {
            if (System.Text.Ascii.EqualsIgnoreCase(name, subcommand.Name))
                return subcommand;
        }

        return null;
    }

    /// <summary>Stands for the command until it is found.</summary>
    private static readonly CommandInfo ConnectionPlaceholder = new("", 0, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall _) => { });
}
