using Millrace.Server.Commands.Streams;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Server.Commands.Commits;

/// <summary>What the contract asks of one stream and no command of Redis answers in one step. Each has one key, after a <c>1</c>.</summary>
internal static partial class CommitCommands
{
    /// <summary><c>1 stream group id…</c>; answers how many were pending.</summary>
    private static void AckAndDelete(ref CommandCall call)
    {
        if (!TryOneKey(ref call) || !call.TryIds(4, call.Count, out var ids))
            return;
        var outcomes = call.Apply<AckAndDelete, DeleteOutcome[]>(new(call.Key(2), call.Text(3), ids));
        call.Reply.WriteInteger(outcomes.Count(static outcome => outcome != DeleteOutcome.Missing));
    }

    /// <summary>
    /// <c>1 stream group consumer least-idle-ms id…</c>; answers <c>[[entry, deliveries]…, [id of a deleted entry…]]</c>, this delivery included.
    /// </summary>
    private static void Claim(ref CommandCall call)
    {
        if (!TryOneKey(ref call) || !call.TryInteger(5, out var minIdleMs) || !call.TryIds(6, call.Count, out var ids))
            return;
        var result = call.Apply<Claim, ClaimResult>(new(call.Key(2), call.Text(3), call.Text(4), Math.Max(0, minIdleMs), ids));
        call.Reply.WriteArray(result.Entries.Count + 1);
        foreach (var entry in result.Entries)
        {
            call.Reply.WriteArray(2);
            WriteEntry(ref call, entry);
            call.Reply.WriteInteger(entry.DeliveryCount);
        }

        WriteIds(ref call, result.Deleted);
    }

    /// <summary><c>1 stream</c>; answers 1, or 0 when there is no such key.</summary>
    private static void DeleteStream(ref CommandCall call)
    {
        if (TryOneKey(ref call))
            call.Reply.WriteInteger(call.Apply<DeleteStream, bool>(new(call.Key(2))) ? 1 : 0);
    }

    /// <summary><c>1 stream group consumer (id deliveries)…</c>; answers the IDs that are still held.</summary>
    private static void Extend(ref CommandCall call)
    {
        if (!TryOneKey(ref call))
            return;
        if (call.Count % 2 == 0)
        {
            call.WrongArity();
            return;
        }

        var held = new HeldEntry[(call.Count - 5) / 2];
        for (var i = 0; i < held.Length; i++)
        {
            if (!call.TryId(5 + (2 * i), out var id) || !call.TryInteger(6 + (2 * i), out var deliveries))
                return;
            held[i] = new(id, deliveries);
        }

        WriteIds(ref call, call.Apply<Extend, IReadOnlyList<EntryId>>(new(call.Key(2), call.Text(3), call.Text(4), held)));
    }

    /// <summary><c>1 stream XINFO|XGROUP subcommand stream …</c>; answers as that command does.</summary>
    private static void OnStream(ref CommandCall call)
    {
        if (!TryOneKey(ref call))
            return;
        if (!(call.Is(3, "XINFO"u8) || call.Is(3, "XGROUP"u8)) || !call[5].SequenceEqual(call[2]))
            call.Error("ERR MILLRACE.ONSTREAM runs XINFO and XGROUP on its key");
        else if (call.FindValue(2) is null)
            call.Reply.WriteNull();
        else
            call.Server.Dispatcher.RunInside(call.Skip(3, call.Command));
    }

    /// <summary><c>1 schedule</c>; answers how many entries wait and the milliseconds until the first is due, -1 when nothing waits.</summary>
    private static void Schedule(ref CommandCall call)
    {
        if (!TryOneKey(ref call))
            return;
        var schedule = call.Store.EngineNeedsLock.Schedule(call.Key(2), call.NowMs);
        call.Reply.WriteArray(2);
        call.Reply.WriteInteger(schedule.Count);
        call.Reply.WriteInteger(schedule.NextIn is { } next ? (long)next.TotalMilliseconds : -1);
    }

    private static bool TryOneKey(ref CommandCall call)
    {
        if (call[1].SequenceEqual("1"u8))
            return true;
        call.Error($"ERR {call.Command.Name.ToUpperInvariant()} takes one key");
        return false;
    }

    private static void WriteEntry(ref CommandCall call, in DeliveredEntry entry)
    {
        call.Reply.WriteArray(2);
        call.WriteId(entry.Id);
        call.Reply.WriteArray(2 * entry.Fields.Count);
        foreach (var field in entry.Fields)
        {
            call.Reply.WriteBulk(field.Name.Span);
            call.Reply.WriteBulk(field.Value.Span);
        }
    }

    private static void WriteIds(ref CommandCall call, IReadOnlyList<EntryId> ids)
    {
        call.Reply.WriteArray(ids.Count);
        foreach (var id in ids)
            call.WriteId(id);
    }
}
