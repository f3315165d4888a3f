using Millrace.Embedded;
using Millrace.Server.Commands;
using Millrace.Streams;

namespace Millrace.Server.Connections;

/// <summary>
/// A command that waits for keys. It is run again whenever one of them changed, as Redis does, until it has something to say. Under the
/// store's lock throughout.
/// </summary>
/// <param name="client">Who waits.</param>
/// <param name="command">The command, for its name and for showing who waits in what.</param>
/// <param name="keys">The keys it waits for.</param>
/// <param name="group">The consumer group it reads for, or <see langword="null"/>.</param>
internal abstract class BlockedCommand(ClientConnection client, CommandInfo command, IReadOnlyList<string> keys, string? group)
    : BlockedRead(client.Database, keys, group)
{
    public ClientConnection Client { get; } = client;

    public CommandInfo Command { get; } = command;

    /// <summary>Whether <c>CLIENT UNBLOCK</c> may end it.</summary>
    public virtual bool MayUnblock => true;

    /// <summary>
    /// Runs the command again. <paramref name="call"/> has no arguments: what it needs is in the fields. Returns false, without having written
    /// anything, to wait on.
    /// </summary>
    protected abstract bool TryRun(ref CommandCall call);

    /// <summary>Writes the reply to a wait whose time is over.</summary>
    protected virtual void WriteTimeout(ref CommandCall call) => call.Reply.WriteNullArray();

    public sealed override bool TryServe(long nowMs)
    {
        var call = new CommandCall(Client.Server, Client, Command, default, default, nowMs);
        lock (Client.OutputLock)
        {
            var mark = Client.Output.Length;
            try
            {
                if (!TryRun(ref call))
                    return false;
            }
            catch (StreamException e)
            {
                Client.Output.Truncate(mark);
                call.Error(Errors.From(e));
            }

            Client.EndReply(mark, isOver: true);
        }

        Client.UnblockNeedsLock();
        return true;
    }

    public sealed override void Expire() => End(null);

    public sealed override void Cancel(CancellationToken cancellationToken) => End(null);

    public sealed override void Fail(StreamException error) => End(Errors.From(error));

    /// <summary>Ends the wait, with the reply of a time that is over or with an error.</summary>
    public void End(string? error)
    {
        var call = new CommandCall(Client.Server, Client, Command, default, default, 0);
        lock (Client.OutputLock)
        {
            var mark = Client.Output.Length;
            if (error is null)
                WriteTimeout(ref call);
            else
                call.Error(error);
            Client.EndReply(mark, isOver: true);
        }

        Client.UnblockNeedsLock();
    }
}
