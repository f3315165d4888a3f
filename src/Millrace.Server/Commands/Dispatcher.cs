using Millrace.Server.Connections;
using Millrace.Streams;

namespace Millrace.Server.Commands;

/// <summary>Runs one request: finds the command, checks arity, rights, state of the client and memory, queues or calls. Under the store's lock.</summary>
internal sealed class Dispatcher(RespServer server, CommandTable table)
{
    public CommandTable Table { get; } = table;

    public void Run(ClientConnection client, ReadOnlySpan<byte> input, ReadOnlySpan<ArgumentRange> arguments, long nowMs)
    {
        var call = new CommandCall(server, client, ConnectionPlaceholder, input, arguments, nowMs);
        if (Table.Find(call[0]) is not { } command)
        {
            call.Error(Errors.UnknownCommand(call));
            return;
        }

        if (command.Subcommands is not null && call.Count > 1)
        {
            if (FindSubcommand(command, call[1]) is not { } subcommand)
            {
                call.Error(Errors.UnknownSubcommand(command.Name, call[1]));
                return;
            }

            command = subcommand;
        }

        call = call.As(command);
        if (!command.FitsArity(call.Count))
        {
            call.WrongArity();
            return;
        }

        server.Store.EngineNeedsLock.Select(client.Database);
        Call(ref call);
        server.Store.EndCommandNeedsLock(nowMs);
    }

    /// <summary>Runs a command that passed every check. Whatever it wrote before it failed is taken back.</summary>
    public void Call(ref CommandCall call)
    {
        var mark = call.Client.Output.Length;
        try
        {
            call.Command.Handler(ref call);
        }
        catch (StreamException e)
        {
            call.Client.Output.Truncate(mark);
            call.Error(Errors.From(e));
        }
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
