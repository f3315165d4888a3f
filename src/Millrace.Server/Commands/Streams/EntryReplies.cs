using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Names;

namespace Millrace.Server.Commands.Streams;

/// <summary>Entries as replies, written from where they lie in their blocks.</summary>
internal static class EntryReplies
{
    /// <summary>Writes <c>[id, [name, value, …]]</c>.</summary>
    public static void WriteEntry(this in CommandCall call, in EntryView entry)
    {
        call.Reply.WriteArray(2);
        call.WriteId(entry.Id);
        call.WriteFields(entry);
    }

    /// <summary>Writes <c>[name, value, …]</c>.</summary>
    public static void WriteFields(this in CommandCall call, in EntryView entry)
    {
        call.Reply.WriteArray(2 * entry.FieldCount);
        foreach (var field in entry)
        {
            call.Reply.WriteBulk(field.Name);
            call.Reply.WriteBulk(field.Value);
        }
    }

    /// <summary>Writes the entries from one ID to another, both included, as an array.</summary>
    /// <param name="call">The call.</param>
    /// <param name="entries">The entries.</param>
    /// <param name="first">The smallest ID wanted.</param>
    /// <param name="last">The largest ID wanted.</param>
    /// <param name="limit">Entries to write at most.</param>
    /// <param name="reversed">Whether the largest ID comes first.</param>
    public static void WriteEntries(
        this in CommandCall call, EntryLog entries, EntryId first, EntryId last, long limit = int.MaxValue, bool reversed = false)
    {
        var count = entries.CountRange(first, last, (int)Math.Min(limit, int.MaxValue));
        call.Reply.WriteArray(count);
        var range = entries.From(first, last, reversed);
        for (var i = 0; i < count && range.MoveNext(); i++)
            call.WriteEntry(in range.Current);
    }

    /// <summary>Writes the entry of an ID, or null when there is none.</summary>
    public static void WriteEntryOrNull(this in CommandCall call, EntryLog entries, EntryId id)
    {
        if (entries.TryFind(id, out var entry))
            call.WriteEntry(in entry);
        else
            call.Reply.WriteNull();
    }

    /// <summary>The bytes of <see cref="WriteEntry"/>.</summary>
    public static long SizeOf(in EntryView entry)
    {
        var bytes = SizeOf(entry.Id) + SizeOfNumber(2 * entry.FieldCount);
        foreach (var field in entry)
            bytes += SizeOfBulk(field.Name.Length) + SizeOfBulk(field.Value.Length);
        return bytes;
    }

    /// <summary>The bytes of <c>[id, …]</c> without what follows the ID.</summary>
    public static long SizeOf(EntryId id) => SizeOfNumber(2) + SizeOfBulk(Digits(id.Milliseconds) + 1 + Digits(id.Sequence));

    /// <summary>The bytes of <c>[key, [</c>.</summary>
    public static long SizeOfHead(string key) => SizeOfNumber(2) + SizeOfBulk(KeyText.ByteCount(key)) + SizeOfNumber(0);

    /// <summary>The bytes of a number that is not negative, or of an array's head.</summary>
    public static long SizeOfNumber(long value) => 1 + Digits((ulong)value) + 2;

    private static long SizeOfBulk(int length) => SizeOfNumber(length) + length + 2;

    private static int Digits(ulong value)
    {
        var digits = 1;
        for (; value >= 10; value /= 10)
            digits++;
        return digits;
    }
}
