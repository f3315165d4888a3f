using Millrace.Embedded;
using Millrace.Server.Commands;
using Millrace.Server.Users;
using Millrace.Streams;

namespace Millrace.Server.Connections;

/// <summary>
/// A command that waits for keys. It is run again whenever one of them changed, as Redis does, until it has something to say. Under the
/// store's lock throughout.
/// </summary>
/// <param name="client">Who waits.</param>
/// <param name="request">The command with its arguments, whose rights are checked again before it runs: they may have been taken away.</param>
/// <param name="keys">The keys it waits for.</param>
/// <param name="group">The consumer group it reads for, or <see langword="null"/>.</param>
internal abstract class BlockedCommand(ClientConnection client, StoredRequest request, IReadOnlyList<string> keys, string? group)
    : BlockedRead(client.Database, keys, group)
{
    public ClientConnection Client { get; } = client;

    public CommandInfo Command => request.Command;

    /// <summary>Whether <c>CLIENT UNBLOCK</c> may end it.</summary>
    public virtual bool MayUnblock => true;

    /// <summary>
    /// Runs the command again. What it needs is in the fields, as nobody reads the arguments twice. Returns false, without having written
    /// anything, to wait on.
    /// </summary>
    protected abstract bool TryRun(ref CommandCall call);

    /// <summary>Writes the reply to a wait whose time is over.</summary>
    protected virtual void WriteTimeout(ref CommandCall call) => call.Reply.WriteNullArray();

    public sealed override bool TryServe(long nowMs)
    {
        lock (Client.OutputLock)
        {
            // Under the lock, because it holds on to the output, which a sender may exchange at any other time.
            var call = request.ToCall(Client.Server, Client, nowMs, mayBlock: true);
            var mark = Client.Output.Length;
            Client.ShowsData = true;
            try
            {
                if (Client.Server.Access.Check(call) is not AccessDenial.None and var denial)
                    call.Error(Errors.NoPermission(call, denial));
                else if (!TryRun(ref call))
                    return false;
            }
            catch (StreamException e)
            {
                Client.Output.Truncate(mark);
                call.Error(Errors.From(e));
            }
            catch (Exception e)
            {
                // A bug, or no memory. It must not reach whoever changed the key, nor stay in the queue for the next one.
                Client.Server.LogFailure(Client, e);
                Client.Output.Truncate(mark);
                Client.KillNeedsLock(e.Message);
                return true;
            }

            Client.EndReply(mark, isOver: true);
            Client.UnblockNeedsLock();
        }

        return true;
    }

    public sealed override void Expire() => End(null);

    public sealed override void Cancel(CancellationToken cancellationToken) => End(null);

    public sealed override void Fail(StreamException error) => End(Errors.From(error));

    /// <summary>Ends the wait, with the reply of a time that is over or with an error.</summary>
    public void End(string? error)
    {
        lock (Client.OutputLock)
        {
            var call = request.ToCall(Client.Server, Client, 0, mayBlock: true);
            var mark = Client.Output.Length;
            if (error is null)
                WriteTimeout(ref call);
            else
                call.Error(error);
            Client.EndReply(mark, isOver: true);
            Client.UnblockNeedsLock();
        }
    }
}
