using Millrace.Redis.Connections;
using Millrace.Streams;

namespace Millrace.Redis.Commands;

/// <summary>The parts that commands share, each added in the form Redis wants it.</summary>
internal static class StreamCommands
{
    public static RespCommand XAdd(string stream, EntryFields fields, StreamTrim? trim)
    {
        var command = new RespCommand("XADD", XAddBytes(stream, fields)).Add(stream);
        if (trim is not null)
            command.AddTrim(trim);
        return command.Add("*"u8).AddFields(fields);
    }

    /// <param name="stream">The stream.</param>
    /// <param name="entries">The entries.</param>
    /// <param name="trim">How the stream is trimmed.</param>
    /// <param name="buffer">Holds the commands, which need it until they were sent.</param>
    public static RespCommand[] XAddMany(string stream, IReadOnlyList<EntryFields> entries, StreamTrim? trim, RespBuffer buffer)
    {
        var commands = new RespCommand[entries.Count];
        for (var i = 0; i < commands.Length; i++)
        {
            var command = new RespCommand("XADD", buffer).Add(stream);

            // Trimming once, with the last entry, has the same effect as trimming with each.
            if (trim is not null && i == commands.Length - 1)
                command.AddTrim(trim);
            commands[i] = command.Add("*"u8).AddFields(entries[i]);
        }

        return commands;
    }

    /// <summary>About what <see cref="XAddMany"/> needs for all.</summary>
    public static int XAddManyBytes(string stream, IReadOnlyList<EntryFields> entries)
    {
        var bytes = 0L;
        foreach (var fields in entries)
            bytes += XAddBytes(stream, fields);
        return (int)Math.Min(bytes, Array.MaxLength);
    }

    public static RespCommand XTrim(string stream, StreamTrim trim) => new RespCommand("XTRIM").Add(stream).AddTrim(trim);

    public static RespCommand XRange(string stream, StreamRange range)
    {
        var command = new RespCommand(range.IsReversed ? "XREVRANGE" : "XRANGE").Add(stream);
        var (first, second) = range.IsReversed ? (range.End, range.Start) : (range.Start, range.End);
        return command.AddFormatted(first).AddFormatted(second).Add("COUNT"u8).Add(range.Count);
    }

    public static RespCommand XRead(IReadOnlyList<StreamPosition> positions, int count, TimeSpan block)
    {
        var command = new RespCommand("XREAD").Add("COUNT"u8).Add(count).AddBlock(block).Add("STREAMS"u8);
        foreach (var position in positions)
            command.Add(position.Stream);
        foreach (var position in positions)
            command.AddFormatted(position.After);
        return command;
    }

    public static RespCommand XReadGroup(GroupRead read, TimeSpan block)
    {
        var command = new RespCommand("XREADGROUP").Add("GROUP"u8).Add(read.Group).Add(read.Consumer)
            .Add("COUNT"u8).Add(read.Count).AddBlock(block).Add("STREAMS"u8);
        foreach (var stream in read.Streams)
            command.Add(stream);
        for (var i = 0; i < read.Streams.Count; i++)
            command.Add(">"u8);
        return command;
    }

    public static RespCommand XPending(string stream, string group, PendingQuery query)
    {
        var command = new RespCommand("XPENDING").Add(stream).Add(group);
        if (query.MinIdleTime > TimeSpan.Zero)
            command.Add("IDLE"u8).Add(Milliseconds(query.MinIdleTime));
        command.AddFormatted(query.Start).AddFormatted(query.End).Add(query.Count);
        return query.Consumer is null ? command : command.Add(query.Consumer);
    }

    public static RespCommand AddIds(this RespCommand command, IReadOnlyList<EntryId> ids)
    {
        foreach (var id in ids)
            command.AddFormatted(id);
        return command;
    }

    public static RespCommand AddFields(this RespCommand command, EntryFields fields)
    {
        foreach (var field in fields)
            command.Add(field.Name.Span).Add(field.Value.Span);
        return command;
    }

    /// <summary>Where a group starts. <c>$</c> is the last ID of the stream at that moment.</summary>
    public static RespCommand AddStart(this RespCommand command, GroupStart start) =>
        start.IsNow ? command.Add("$"u8) : command.AddFormatted(start.LastDelivered);

    /// <summary>
    /// A duration as Redis counts it. Rounded up: nothing may be due, idle enough or forgotten before its time, and BLOCK 0 waits for ever.
    /// </summary>
    public static long Milliseconds(TimeSpan duration) =>
        (duration.Ticks + TimeSpan.TicksPerMillisecond - 1) / TimeSpan.TicksPerMillisecond;

    private static int XAddBytes(string stream, EntryFields fields) => fields.Packed.Length + (fields.Count * 16) + stream.Length + 128;

    private static RespCommand AddTrim(this RespCommand command, StreamTrim trim)
    {
        command.Add(trim.MaxLength is null ? "MINID"u8 : "MAXLEN"u8).Add(trim.IsApproximate ? "~"u8 : "="u8);
        return trim.MaxLength is { } length ? command.Add(length) : command.AddFormatted(trim.MinId.GetValueOrDefault());
    }

    private static RespCommand AddBlock(this RespCommand command, TimeSpan block) =>
        block > TimeSpan.Zero ? command.Add("BLOCK"u8).Add(Milliseconds(block)) : command;
}
