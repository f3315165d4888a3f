using Millrace.Redis.Connections;
using Millrace.Streams;

namespace Millrace.Redis.Commands;

/// <summary>Turns replies into entries. One packed buffer an entry; the reply itself is not kept, and that of a read is released.</summary>
internal static class EntryReader
{
    public static EntryId ReadId(RespReply reply) =>
        EntryId.TryParse(reply.Span, out var id)
            ? id
            : throw new StreamException(StreamErrorCode.ServerError, $"Redis answered {reply.Kind} where an entry ID must be.");

    public static IReadOnlyList<EntryId> ReadIds(RespReply reply)
    {
        var ids = new EntryId[reply.Count];
        var count = 0;
        foreach (var id in reply)
            ids[count++] = ReadId(id);
        return ids;
    }

    public static IReadOnlyList<StreamEntry> ReadEntries(RespReply reply)
    {
        var entries = ReadEntries(reply, static (id, fields) => new StreamEntry(id, fields));
        reply.Release();
        return entries;
    }

    /// <summary>Entries as <c>XREAD</c> and <c>XREADGROUP</c> answer them; null, when there are none, is an empty list.</summary>
    public static IReadOnlyList<StreamBatch<TEntry>> ReadBatches<TEntry>(RespReply reply, Func<EntryId, EntryFields, TEntry> make)
        where TEntry : struct
    {
        var batches = new List<StreamBatch<TEntry>>();
        foreach (var (stream, entries) in reply.Pairs)
        {
            // Redis 7.0 wakes a reader with an empty list when an entry was added and deleted in one transaction.
            if (entries.Count > 0)
                batches.Add(new(stream.Text, ReadEntries(entries, make)));
        }

        reply.Release();
        return batches;
    }

    public static StreamEntry? ReadEntry(RespReply reply) => reply.IsNull ? null : new(ReadId(reply[0]), ReadFields(reply[1], new()));

    /// <summary>What <c>claim.lua</c> answers: {entry, deliveries}..., {deleted ids}.</summary>
    public static ClaimResult ReadClaim(RespReply reply)
    {
        var writer = new EntryFieldsWriter();
        var entries = new List<DeliveredEntry>(reply.Count);
        IReadOnlyList<EntryId> deleted = [];
        var left = reply.Count;
        foreach (var taken in reply)
        {
            if (--left == 0)
                deleted = ReadIds(taken);
            else
                entries.Add(new(ReadId(taken[0][0]), ReadFields(taken[0][1], writer), taken[1].Integer));
        }

        return new(entries, deleted);
    }

    private static IReadOnlyList<TEntry> ReadEntries<TEntry>(RespReply reply, Func<EntryId, EntryFields, TEntry> make)
    {
        var writer = new EntryFieldsWriter();
        var entries = new TEntry[reply.Count];
        var count = 0;
        foreach (var entry in reply)
            entries[count++] = make(ReadId(entry[0]), ReadFields(entry[1], writer));
        return entries;
    }

    private static EntryFields ReadFields(RespReply fields, EntryFieldsWriter writer)
    {
        var name = default(RespReply);
        var isName = true;
        foreach (var part in fields)
        {
            if (isName)
                name = part;
            else
                writer.Add(name.Span, part.Span);
            isName = !isName;
        }

        return writer.ToFields();
    }
}
