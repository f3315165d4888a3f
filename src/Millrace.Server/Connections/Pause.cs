using Millrace.Embedded;
using Millrace.Server.Commands;
using Millrace.Streams;

namespace Millrace.Server.Connections;

/// <summary>A wait for something else than keys: time that passes, or the disk. Only this client waits.</summary>
/// <param name="client">Who waits.</param>
/// <param name="request">What it waits in.</param>
/// <param name="write">Writes the reply when the wait is over.</param>
/// <param name="mayUnblock">Whether <c>CLIENT UNBLOCK</c> may end it.</param>
internal sealed class Pause(ClientConnection client, StoredRequest request, CommandHandler write, bool mayUnblock) : BlockedCommand(client, request, [], null)
{
    public override bool MayUnblock => mayUnblock;

    /// <summary>Makes a client wait until everything it can see is on the device. Only with a journal.</summary>
    public static void UntilSynced(ref CommandCall call, CommandHandler write, bool mayUnblock, TimeSpan? limit) =>
        Until(ref call, static store => store.SyncAsync(store.LastLsnNeedsLock), write, mayUnblock, limit);

    /// <summary>Makes a client wait until everything is in a snapshot. Only with a journal, and while none is being written.</summary>
    public static void UntilSaved(ref CommandCall call, CommandHandler write) =>
        Until(ref call, static store => store.SaveNeedsLock(), write, mayUnblock: false, limit: null);

    private static void Until(ref CommandCall call, Func<EmbeddedStreamStore, Task> start, CommandHandler write, bool mayUnblock, TimeSpan? limit)
    {
        var pause = new Pause(call.Client, call.ToStored(), write, mayUnblock);
        call.Block(pause, limit);
        _ = pause.EndWhenDoneAsync(call.Server, start(call.Store));
    }

    protected override bool TryRun(ref CommandCall call) => false;

    protected override void WriteTimeout(ref CommandCall call) => write(ref call);

    /// <summary>Never fails: a journal that does is an error reply, and a store that was closed has ended the wait itself.</summary>
    private async Task EndWhenDoneAsync(RespServer server, Task work)
    {
        string? error = null;
        try
        {
            await work;
        }
        catch (StreamException e)
        {
            error = Errors.From(e);
        }

        server.EndWait(this, error);
    }
}
