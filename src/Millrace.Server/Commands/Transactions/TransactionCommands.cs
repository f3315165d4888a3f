using Millrace.Server.Users;
using Millrace.Streams.Engine;

namespace Millrace.Server.Commands.Transactions;

/// <summary>MULTI, EXEC and what belongs to them. A turn holds the lock, so that what EXEC runs is atomic as it is.</summary>
internal static class TransactionCommands
{
    private const CommandFlags AtOnce = CommandFlags.Fast | CommandFlags.NoScript | CommandFlags.NotQueued;

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("discard", 1, AtOnce, 0, 0, 0, "transaction", Discard) { Group = "transactions", Since = "2.0.0" },
        new("exec", 1, CommandFlags.NoScript | CommandFlags.NotQueued, 0, 0, 0, "transaction", Exec)
        {
            Group = "transactions",
            Since = "1.2.0",
        },
        new("multi", 1, AtOnce, 0, 0, 0, "transaction", Multi) { Group = "transactions", Since = "1.2.0" },
        new("unwatch", 1, CommandFlags.Fast | CommandFlags.NoScript, 0, 0, 0, "transaction", Unwatch)
        {
            Group = "transactions",
            Since = "2.2.0",
        },
        new("watch", -2, AtOnce, 1, -1, 1, "transaction", Watch) { Group = "transactions", Since = "2.2.0" },
    ];

    private static void Multi(ref CommandCall call)
    {
        if (call.Client.Transaction.IsOpen)
        {
            call.Error("ERR MULTI calls can not be nested");
            return;
        }

        call.Client.Transaction.Open();
        call.Ok();
    }

    private static void Discard(ref CommandCall call)
    {
        if (!call.Client.Transaction.IsOpen)
        {
            call.Error("ERR DISCARD without MULTI");
            return;
        }

        call.Client.Transaction.Discard();
        call.Ok();
    }

    private static void Exec(ref CommandCall call)
    {
        var transaction = call.Client.Transaction;
        if (!transaction.IsOpen)
        {
            call.Error("ERR EXEC without MULTI");
            return;
        }

        StoredRequest[] queue = [.. transaction.Queue];
        var (isBroken, isDirty) = (transaction.IsBroken, transaction.IsDirty);

        // Before it runs: what it changes itself must not count.
        transaction.Discard();
        if (isBroken)
        {
            call.Error(Errors.ExecAbort);
            return;
        }

        if (isDirty)
        {
            call.Reply.WriteNullArray();
            return;
        }

        call.Store.BeginTransactionNeedsLock();
        try
        {
            Run(ref call, queue);
        }
        finally
        {
            call.Store.EndTransactionNeedsLock();
        }
    }

    private static void Run(ref CommandCall call, StoredRequest[] queue)
    {
        call.Reply.WriteArray(queue.Length);
        foreach (var request in queue)
        {
            var queued = request.ToCall(call.Server, call.Client, call.NowMs, mayBlock: false);
            var denial = call.Server.Access.Check(queued);
            if (denial != AccessDenial.None)
            {
                call.Error(Errors.NoPermissionAnyMore(denial));
                continue;
            }

            call.Engine.Select(call.Client.Database);
            call.Server.Dispatcher.Call(ref queued);
        }
    }

    private static void Watch(ref CommandCall call)
    {
        var transaction = call.Client.Transaction;
        if (transaction.IsOpen)
        {
            call.Error("ERR WATCH inside MULTI is not allowed");
            return;
        }

        // A transaction that can only fail watches nothing more.
        for (var i = 1; i < call.Count && !transaction.IsDirty; i++)
            transaction.Watch(new KeyRef(call.Client.Database, call.Key(i)));
        call.Ok();
    }

    private static void Unwatch(ref CommandCall call)
    {
        call.Client.Transaction.Unwatch();
        call.Ok();
    }
}
