using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Server.Commands.Streams;

/// <summary>XDEL, XDELEX, XTRIM and XSETID.</summary>
internal static partial class StreamCommands
{
    private static void Delete(ref CommandCall call)
    {
        if (!call.TryFind<StreamValue>(1, out var stream))
            return;
        if (stream is null)
            call.Reply.WriteInteger(0);
        else if (call.TryIds(2, call.Count, out var ids))
            call.Reply.WriteInteger(call.Apply<Delete, long>(new(stream.Key, ids)));
    }

    private static void DeleteReferenced(ref CommandCall call)
    {
        if (!call.TryFind<StreamValue>(1, out var stream) || !ReferenceArguments.TryRead(call, 2, out var arguments))
            return;
        if (stream is null)
            arguments.WriteAllMissing(call);
        else if (call.TryIds(arguments.FirstId, arguments.FirstId + arguments.IdCount, out var ids))
            ReferenceArguments.WriteOutcomes(call, call.Apply<DeleteReferenced, DeleteOutcome[]>(new(stream.Key, arguments.Policy, ids)));
    }

    private static void Trim(ref CommandCall call)
    {
        var trimming = new TrimArguments();
        for (var i = 2; i < call.Count; i++)
        {
            if (!trimming.TryRead(call, ref i, out var isError))
            {
                call.Error(Errors.Syntax);
                return;
            }

            if (isError)
                return;
        }

        if (!trimming.TryFinish(call, isRequired: true, out var trim) || !call.TryFind<StreamValue>(1, out var stream))
            return;
        call.Reply.WriteInteger(stream is null ? 0 : call.Apply<Trim, long>(new(stream.Key, trim)));
    }

    private static void SetId(ref CommandCall call)
    {
        if (!call.TryId(2, out var id))
            return;
        long? entriesAdded = null;
        EntryId? maxDeleted = null;
        for (var i = 3; i < call.Count; i += 2)
        {
            if (i + 1 < call.Count && call.Is(i, "ENTRIESADDED"u8))
            {
                if (!call.TryInteger(i + 1, out var added))
                    return;
                entriesAdded = added;
            }
            else if (i + 1 < call.Count && call.Is(i, "MAXDELETEDID"u8))
            {
                if (!call.TryId(i + 1, out var deleted))
                    return;
                maxDeleted = deleted;
            }
            else
            {
                call.Error(Errors.Syntax);
                return;
            }

            var error = entriesAdded < 0 ? "ERR entries_added must be positive"
                : id < maxDeleted ? "ERR The ID specified in XSETID is smaller than the provided max_deleted_entry_id"
                : null;
            if (error is not null)
            {
                call.Error(error);
                return;
            }
        }

        if (!call.TryFind<StreamValue>(1, out var stream))
            return;
        if (SetIdError(stream, id, entriesAdded) is { } refusal)
        {
            call.Error(refusal);
            return;
        }

        call.Apply<SetStreamId, bool>(new(stream!.Key, id, entriesAdded, maxDeleted == EntryId.Zero ? null : maxDeleted));
        call.Ok();
    }

    /// <summary>Why the stream cannot have these counters, or null.</summary>
    private static string? SetIdError(StreamValue? stream, EntryId id, long? entriesAdded) =>
        stream is null ? Errors.NoSuchKey
        : id < stream.MaxDeletedId ? "ERR The ID specified in XSETID is smaller than current max_deleted_entry_id"
        : id < stream.Entries.LastId ? "ERR The ID specified in XSETID is smaller than the target stream top item"
        : entriesAdded < stream.Entries.Count ? "ERR The entries_added specified in XSETID is smaller than the target stream length"
        : null;
}
