namespace Millrace.Server.Commands;

/// <summary>The families of commands, in the order COMMAND lists them.</summary>
internal static class AllCommands
{
    public static CommandTable Table { get; } = new(
    [
        .. Admin.AclCommands.All,
        .. Admin.CommandCommands.All,
        .. Admin.ConfigCommands.All,
        .. Admin.DebugCommands.All,
        .. Admin.LatencyCommands.All,
        .. Admin.MemoryCommands.All,
        .. Admin.PersistenceCommands.All,
        .. Admin.ServerCommands.All,
        .. Admin.ShutdownCommand.All,
        .. Admin.SingleNodeCommands.All,
        .. Admin.SlowLogCommands.All,
        .. Commits.CommitCommands.All,
        .. Connection.ClientCommands.All,
        .. Connection.ConnectionCommands.All,
        .. Connection.Monitors.All,
        .. Connection.SessionCommands.All,
        .. Keys.DumpCommands.All,
        .. Keys.ExpiryCommands.All,
        .. Keys.KeyCommands.All,
        .. Keys.MoveCommands.All,
        .. Keys.ObjectCommands.All,
        .. PubSub.PubSubCommands.All,
        .. PubSub.SubscribeCommands.All,
        .. StandIns.ListCommands.All,
        .. StandIns.SetCommands.All,
        .. StandIns.StringCommands.All,
        .. Streams.GroupCommands.All,
        .. Streams.InfoCommands.All,
        .. Streams.StreamCommands.All,
        .. Transactions.TransactionCommands.All,
    ]);
}
