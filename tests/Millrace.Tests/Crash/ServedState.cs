using System.Globalization;
using Millrace.Streams;
using Millrace.Tests.Differential;

namespace Millrace.Tests.Crash;

/// <summary>Who has a delivered entry, and how often it was delivered.</summary>
internal readonly record struct Delivery(string Consumer, int Count);

/// <summary>
/// What one writer has made on the server: its entries in the log that all share, its transactions, and a group over the log that it alone reads.
/// Kept by the writer from acknowledgements, and read back from the server after a fault.
/// </summary>
internal sealed class ServedState
{
    /// <summary>IDs in the log; the index is the entry's number.</summary>
    public List<EntryId> Entries { get; } = [];

    /// <summary>Transactions that took place: each adds one entry to both of the writer's own streams.</summary>
    public int Transactions { get; set; }

    /// <summary>Groups over the log that are this writer's.</summary>
    public SortedSet<string> Groups { get; } = new(StringComparer.Ordinal);

    /// <summary>Entries that the writer's main group has delivered and not acknowledged.</summary>
    public SortedDictionary<EntryId, Delivery> Pending { get; } = [];

    /// <summary>The last entry that the main group has delivered.</summary>
    public EntryId LastDelivered { get; set; }
}

/// <summary>Everything on the server, read through RESP.</summary>
internal sealed class ServedContents
{
    private const int PageEntries = 2000;

    private ServedContents(ServedState[] writers) => Writers = writers;

    public ServedState[] Writers { get; }

    /// <summary>Every ID of the log, in its order.</summary>
    public List<EntryId> Log { get; } = [];

    /// <summary>What cannot be, whatever was acknowledged: entries twice, out of order, with other bytes; transactions by half.</summary>
    public List<string> Violations { get; } = [];

    /// <summary>Entries that are there twice.</summary>
    public int Doubled { get; private set; }

    public static ServedContents Read(RawConnection client, int writerCount)
    {
        var contents = new ServedContents([.. Enumerable.Range(0, writerCount).Select(_ => new ServedState())]);
        contents.ReadLog(client);
        contents.ReadGroups(client);
        for (var writer = 0; writer < writerCount; writer++)
            contents.ReadTransactions(client, writer);
        return contents;
    }

    private void ReadLog(RawConnection client)
    {
        var last = EntryId.Zero;
        foreach (var (id, fields) in ReadStream(client, ServedLoad.Log))
        {
            if (id <= last)
                Violations.Add($"{id} follows {last}");
            last = id;
            Log.Add(id);

            var (writer, number) = (int.Parse(fields[1].Text, CultureInfo.InvariantCulture), int.Parse(fields[3].Text, CultureInfo.InvariantCulture));
            var entries = Writers[writer].Entries;
            if (number < entries.Count)
            {
                Doubled++;
                Violations.Add($"entry {number} of writer {writer} is there twice: {entries[number]} and {id}");
                continue;
            }

            // A gap is a lost entry in front of one that is there. It is filled, so that each is told once.
            for (; entries.Count < number; entries.Add(EntryId.Zero))
                Violations.Add($"entry {entries.Count} of writer {writer} is missing in front of {number} ({id})");
            entries.Add(id);
            if (fields.Count != 6 || fields[5].Text != ServedLoad.Body(writer, number))
                Violations.Add($"entry {number} of writer {writer} ({id}) has other bytes than were written");
        }
    }

    private void ReadTransactions(RawConnection client, int writer)
    {
        var (first, second) = (Half(0), Half(1));
        if (!first.SequenceEqual(second))
            Violations.Add($"transactions of writer {writer} took place by half: {first.Count} and {second.Count} entries");
        if (!first.SequenceEqual(Enumerable.Range(0, first.Count).Select(number => number.ToString(CultureInfo.InvariantCulture))))
            Violations.Add($"transactions of writer {writer} are not in order: {string.Join(' ', first)}");
        Writers[writer].Transactions = first.Count;

        List<string> Half(int half) => [.. ReadStream(client, ServedLoad.TransactionStream(writer, half)).Select(entry => entry.Fields[1].Text)];
    }

    private void ReadGroups(RawConnection client)
    {
        if (client.Ask("EXISTS", ServedLoad.Log).Text == "0")
            return;
        foreach (var group in Ok(client.Ask("XINFO", "GROUPS", ServedLoad.Log)).Children!)
        {
            var name = group.Find("name")!.Text;
            var writer = int.Parse(name.AsSpan(1, name.IndexOf('-', StringComparison.Ordinal) - 1), CultureInfo.InvariantCulture);
            var state = Writers[writer];
            state.Groups.Add(name);
            if (name != ServedLoad.MainGroup(writer))
                continue;

            state.LastDelivered = EntryId.Parse(group.Find("last-delivered-id")!.Text);
            foreach (var entry in Ok(client.Ask("XPENDING", ServedLoad.Log, name, "-", "+", "1000000")).Children!)
                state.Pending.Add(
                    EntryId.Parse(entry.Children![0].Text),
                    new(entry.Children[1].Text, int.Parse(entry.Children[3].Text, CultureInfo.InvariantCulture)));
        }
    }

    private static IEnumerable<(EntryId Id, List<RespNode> Fields)> ReadStream(RawConnection client, string stream)
    {
        for (var start = "-"; ;)
        {
            var page = Ok(client.Ask("XRANGE", stream, start, "+", "COUNT", PageEntries.ToString(CultureInfo.InvariantCulture))).Children!;
            foreach (var entry in page)
                yield return (EntryId.Parse(entry.Children![0].Text), entry.Children[1].Children!);
            if (page.Count < PageEntries)
                yield break;
            start = "(" + page[^1].Children![0].Text;
        }
    }

    private static RespNode Ok(RespNode reply) => reply.IsError ? throw new InvalidOperationException($"A read was refused: {reply.Text}") : reply;
}
