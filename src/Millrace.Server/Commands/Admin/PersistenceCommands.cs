using Millrace.Server.Connections;

namespace Millrace.Server.Commands.Admin;

/// <summary>
/// The commands that make sure of what was written: <c>SAVE</c> and its kin write a snapshot, which stands for the journal before it; <c>WAIT</c> and
/// <c>WAITAOF</c> answer for a server without replicas.
/// </summary>
internal static class PersistenceCommands
{
    private const CommandFlags Admin = CommandFlags.Admin | CommandFlags.NoScript;

    private const string IsSaving = "ERR Background save already in progress";

    private const string InMemory = "ERR This server keeps everything in memory: there is nothing to save to";

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("bgrewriteaof", 1, Admin, 0, 0, 0, "", Rewrite) { Group = "server" },
        new("bgsave", -1, Admin, 0, 0, 0, "", SaveInBackground) { Group = "server" },
        new("lastsave", 1, CommandFlags.Fast, 0, 0, 0, "admin dangerous", LastSave) { Group = "server" },
        new("save", 1, Admin | CommandFlags.NoMulti, 0, 0, 0, "", Save) { Group = "server" },
        new("wait", 3, CommandFlags.Blocking, 0, 0, 0, "connection", Wait) { Group = "generic", Since = "3.0.0" },
        new("waitaof", 4, CommandFlags.Blocking, 0, 0, 0, "connection", WaitForJournal) { Group = "generic", Since = "7.2.0" },
    ];

    /// <summary>Unix seconds of the last snapshot, or of the start, as everything was read then.</summary>
    public static long LastSaveSeconds(RespServer server) => Math.Max(server.Store.LastSnapshotMs, server.StartedMs) / 1000;

    /// <summary>Answers when the snapshot is on the device. Other clients go on meanwhile, unlike at Redis.</summary>
    private static void Save(ref CommandCall call)
    {
        if (!IsJournaled(ref call))
            return;
        if (call.Store.IsSavingNeedsLock)
            call.Error(IsSaving);
        else
            Pause.UntilSaved(ref call, static (ref CommandCall call) => call.Ok());
    }

    private static void SaveInBackground(ref CommandCall call)
    {
        if (call.Count > 2 || (call.Count == 2 && !call.Is(1, "SCHEDULE"u8)))
            call.Error(Errors.Syntax);
        else if (IsJournaled(ref call) && call.Store.IsSavingNeedsLock && call.Count == 1)
            call.Error(IsSaving);
        else if (call.Store.IsDurable)
            call.Reply.WriteSimple(StartSave(ref call) ? "Background saving started" : "Background saving scheduled");
    }

    /// <summary>A snapshot is what a rewrite is asked for: the journal is as short as can be after it.</summary>
    private static void Rewrite(ref CommandCall call)
    {
        if (IsJournaled(ref call))
            call.Reply.WriteSimple($"Background append only file rewriting {(StartSave(ref call) ? "started" : "scheduled")}");
    }

    /// <summary>Nobody waits for it. If it fails, the store has logged why, and INFO says so.</summary>
    /// <returns>False: one is being written, and this one follows.</returns>
    private static bool StartSave(ref CommandCall call)
    {
        var isSaving = call.Store.IsSavingNeedsLock;
        _ = isSaving ? call.Store.ScheduleSaveNeedsLock() : call.Store.SaveNeedsLock();
        return !isSaving;
    }

    private static void LastSave(ref CommandCall call) => call.Reply.WriteInteger(LastSaveSeconds(call.Server));

    private static bool IsJournaled(ref CommandCall call)
    {
        if (!call.Store.IsDurable)
            call.Error(InMemory);
        return call.Store.IsDurable;
    }

    /// <summary>No replica ever acknowledges: who asks for one waits until its time is over.</summary>
    private static void Wait(ref CommandCall call)
    {
        if (!call.TryInteger(1, out var replicas) || !call.TryTimeoutMs(2, out var timeoutMs))
            return;
        if (replicas <= 0 || !call.MayBlock)
            call.Reply.WriteInteger(0);
        else
            call.Block(
                new Pause(call.Client, call.ToStored(), static (ref CommandCall call) => call.Reply.WriteInteger(0), mayUnblock: true), Limit(timeoutMs));
    }

    private static void WaitForJournal(ref CommandCall call)
    {
        if (!TryCount(ref call, 1, 1, out var local) || !TryCount(ref call, 2, long.MaxValue, out var replicas) || !call.TryTimeoutMs(3, out var timeoutMs))
            return;
        if (local > 0 && !call.Store.IsDurable)
            call.Error("ERR WAITAOF cannot be used when numlocal is set but appendonly is disabled.");
        else if (!call.MayBlock || (replicas == 0 && (local == 0 || call.Store.IsSynced(call.Store.LastLsnNeedsLock))))
            WriteSynced(ref call);
        else if (replicas == 0)
            Pause.UntilSynced(ref call, WriteSynced, mayUnblock: true, Limit(timeoutMs));
        else
            WaitForReplicas(ref call, local > 0, timeoutMs);
    }

    /// <summary>There are none, so that the wait only ends with its time; the journal is synced meanwhile if that was asked for.</summary>
    private static void WaitForReplicas(ref CommandCall call, bool local, long timeoutMs)
    {
        call.Block(new Pause(call.Client, call.ToStored(), WriteSynced, mayUnblock: true), Limit(timeoutMs));
        if (!local)
            return;

        // Nobody waits for it. If it fails, the journal has logged why and refuses every later write.
        _ = call.Store.SyncAsync(call.Store.LastLsnNeedsLock).ContinueWith(
            static sync => sync.Exception, CancellationToken.None, TaskContinuationOptions.OnlyOnFaulted, TaskScheduler.Default);
    }

    /// <summary>How many journals have everything that was written, this one, and how many replicas do, none.</summary>
    private static void WriteSynced(ref CommandCall call)
    {
        call.Reply.WriteArray(2);
        call.Reply.WriteInteger(call.Store.IsSynced(call.Store.LastLsnNeedsLock) ? 1 : 0);
        call.Reply.WriteInteger(0);
    }

    private static bool TryCount(ref CommandCall call, int index, long most, out long count)
    {
        if (!call.TryInteger(index, out count))
            return false;
        if (count >= 0 && count <= most)
            return true;
        call.Error(most == long.MaxValue
            ? "ERR value is out of range, must be positive"
            : $"ERR value is out of range, value must between 0 and {most}");
        return false;
    }

    private static TimeSpan? Limit(long timeoutMs) => timeoutMs == 0 ? null : TimeSpan.FromMilliseconds(timeoutMs);
}
