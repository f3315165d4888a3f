using Millrace.Streams;
using Millrace.Streams.Engine;

namespace Millrace.Server.Commands.Streams;

/// <summary>XINFO: what there is to know of a stream, its groups and their consumers.</summary>
internal static partial class InfoCommands
{
    private const string Categories = "stream";

    private static readonly string[] HelpLines =
    [
        "XINFO <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CONSUMERS <key> <groupname>",
        "    Show consumers of <groupname>.",
        "GROUPS <key>",
        "    Show the stream consumer groups.",
        "STREAM <key> [FULL [COUNT <count>]",
        "    Show information about the stream.",
        "HELP",
        "    Prints this help.",
    ];

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("xinfo", -2, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall call) => call.WrongArity(),
        [
            GroupCommands.ConsumersInfo,
            GroupCommands.GroupsInfo,
            new("help", 2, CommandFlags.None, 0, 0, 0, "stream", static (ref CommandCall call) => call.WriteHelp(HelpLines))
            {
                Since = "5.0.0", Summary = "Returns helpful text about the different subcommands.",
            },
            new("stream", -3, CommandFlags.ReadOnly, 2, 2, 1, Categories, Stream)
            {
                Since = "5.0.0", Summary = "Returns information about a stream.",
            },
        ])
        {
            Group = "stream", Since = "5.0.0", Summary = "A container for stream introspection commands.",
        },
    ];

    private static void Stream(ref CommandCall call)
    {
        if (!call.TryFind<StreamValue>(2, out var stream))
            return;
        if (stream is null)
        {
            call.Error(Errors.NoSuchKey);
            return;
        }

        var limit = 10L;
        if (call.Count > 3 && (call.Count is not (4 or 6) || !call.Is(3, "FULL"u8) || (call.Count == 6 && !call.Is(4, "COUNT"u8))))
        {
            call.Error("ERR unknown subcommand or wrong number of arguments for 'STREAM'. Try XINFO HELP.");
            return;
        }

        if (call.Count == 6 && !call.TryInteger(5, out limit))
            return;
        var isFull = call.Count > 3;
        call.Reply.WriteMap(isFull ? 15 : 16);
        WriteCounters(call, stream);
        if (isFull)
        {
            WriteFull(call, stream, limit < 0 ? 10 : limit == 0 ? int.MaxValue : limit);
            return;
        }

        call.Reply.WriteBulk("groups"u8);
        call.Reply.WriteInteger(stream.Groups.Count);
        call.Reply.WriteBulk("first-entry"u8);
        call.WriteEntryOrNull(stream.Entries, stream.Entries.FirstId);
        call.Reply.WriteBulk("last-entry"u8);
        call.WriteEntryOrNull(stream.Entries, stream.Entries.LastId);
    }

    /// <summary>The 13 fields that both forms begin with.</summary>
    private static void WriteCounters(in CommandCall call, StreamValue stream)
    {
        var producers = stream.Producers;
        var (trackedProducers, trackedIds) = producers.Tracked(call.NowMs);
        WriteNumber(call, "length"u8, stream.Entries.Count);
        WriteNumber(call, "radix-tree-keys"u8, stream.Entries.BlockCount);
        WriteNumber(call, "radix-tree-nodes"u8, stream.Entries.CountRadixNodes());
        WriteId(call, "last-generated-id"u8, stream.LastGeneratedId);
        WriteId(call, "max-deleted-entry-id"u8, stream.MaxDeletedId);
        WriteNumber(call, "entries-added"u8, stream.EntriesAdded);
        WriteId(call, "recorded-first-entry-id"u8, stream.Entries.FirstId);
        WriteNumber(call, "idmp-duration"u8, producers.DurationSeconds);
        WriteNumber(call, "idmp-maxsize"u8, producers.MaxSize);
        WriteNumber(call, "pids-tracked"u8, trackedProducers);
        WriteNumber(call, "iids-tracked"u8, trackedIds);
        WriteNumber(call, "iids-added"u8, producers.Added);
        WriteNumber(call, "iids-duplicates"u8, producers.Duplicates);
    }

    private static void WriteNumber(in CommandCall call, ReadOnlySpan<byte> name, long value)
    {
        call.Reply.WriteBulk(name);
        call.Reply.WriteInteger(value);
    }

    /// <summary>A number that may be unknown.</summary>
    private static void WriteNumber(in CommandCall call, ReadOnlySpan<byte> name, long? value)
    {
        call.Reply.WriteBulk(name);
        if (value is { } known)
            call.Reply.WriteInteger(known);
        else
            call.Reply.WriteNull();
    }

    private static void WriteId(in CommandCall call, ReadOnlySpan<byte> name, EntryId id)
    {
        call.Reply.WriteBulk(name);
        call.WriteId(id);
    }
}
