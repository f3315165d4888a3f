using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Server.Commands.Streams;

/// <summary>IDMP and IDMPAUTO of an XADD: who sends the message, and what the producer calls it.</summary>
internal struct ProducerArguments
{
    private string? _producer;

    /// <summary>Null: a hash of the fields.</summary>
    private string? _idempotentId;

    /// <summary>Whether there were any.</summary>
    public readonly bool IsGiven => _producer is not null;

    /// <summary>
    /// Reads the option at an index, if it is one of these, and leaves the index at its last argument. <paramref name="isError"/>: it is, but
    /// a wrong one, and the error is written.
    /// </summary>
    public bool TryRead(in CommandCall call, ref int index, out bool isError)
    {
        isError = false;
        var isAutomatic = call.Is(index, "IDMPAUTO"u8);
        var last = index + (isAutomatic ? 1 : 2);
        if (last >= call.Count || (!isAutomatic && !call.Is(index, "IDMP"u8)))
            return false;

        var error = IsGiven ? "ERR syntax error, IDMP/IDMPAUTO specified multiple times"
            : call[index + 1].IsEmpty ? $"ERR syntax error, {(isAutomatic ? "IDMPAUTO" : "IDMP")} requires a non-empty producer ID"
            : call[last].IsEmpty ? "ERR syntax error, IDMP requires a non-empty idempotent ID"
            : null;
        isError = error is not null;
        if (error is not null)
            call.Error(error);
        _producer = call.Text(index + 1);
        _idempotentId = isAutomatic ? null : call.Text(last);
        index = last;
        return true;
    }

    /// <summary>Appends an entry, or finds the one that the message became before.</summary>
    public readonly EntryId Append(in CommandCall call, in Append entry) => _producer is null
        ? call.Apply<Append, EntryId>(entry)
        : call.Apply<AppendOnce, EntryId>(new(_producer, _idempotentId ?? IdempotentProducers.IdOf(entry.Fields), entry));
}
