using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Names;

namespace Millrace.Server.Commands.Streams;

/// <summary>XGROUP: makes, moves and deletes groups and their consumers.</summary>
internal static partial class GroupCommands
{
    private const string KeyRequired = "ERR The XGROUP subcommand requires the key to exist. Note that for CREATE you may want to use the " +
        "MKSTREAM option to create an empty stream automatically.";

    private static readonly string[] HelpLines =
    [
        "XGROUP <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CREATE <key> <groupname> <id|$> [option]",
        "    Create a new consumer group. Options are:",
        "    * MKSTREAM",
        "      Create the empty stream if it does not exist.",
        "    * ENTRIESREAD entries_read",
        "      Set the group's entries_read counter (internal use).",
        "CREATECONSUMER <key> <groupname> <consumer>",
        "    Create a new consumer in the specified group.",
        "DELCONSUMER <key> <groupname> <consumer>",
        "    Remove the specified consumer.",
        "DESTROY <key> <groupname>",
        "    Remove the specified group.",
        "SETID <key> <groupname> <id|$> [ENTRIESREAD entries_read]",
        "    Set the current group ID and entries_read counter.",
        "HELP",
        "    Prints this help.",
    ];

    /// <summary>Made when asked for: which part of the class is initialized first is not defined.</summary>
    private static CommandInfo[] Subcommands =>
    [
        new("create", -5, Writes | CommandFlags.DenyOom, 2, 2, 1, "stream", Create) { Since = "5.0.0" },
        new("createconsumer", 5, Writes | CommandFlags.DenyOom, 2, 2, 1, "stream", AddConsumer) { Since = "6.2.0" },
        new("delconsumer", 5, Writes, 2, 2, 1, "stream", RemoveConsumer) { Since = "5.0.0" },
        new("destroy", 4, Writes, 2, 2, 1, "stream", Destroy) { Since = "5.0.0" },
        new("help", 2, CommandFlags.None, 0, 0, 0, "stream", static (ref CommandCall call) => call.WriteHelp(HelpLines)) { Since = "5.0.0" },
        new("setid", -5, Writes, 2, 2, 1, "stream", SetId) { Since = "5.0.0" },
    ];

    /// <summary>Never runs: a call without a subcommand has the wrong arity.</summary>
    private static void NoSubcommand(ref CommandCall call) => call.WrongArity();

    private static void Create(ref CommandCall call)
    {
        if (!TryOptions(ref call, mayMakeStream: true, out var makesStream, out var entriesRead) ||
            !call.TryFind<StreamValue>(2, out var stream))
            return;
        if (stream is null && !makesStream)
        {
            call.Error(KeyRequired);
            return;
        }

        if (call.Count > 8)
        {
            WrongArguments(ref call);
            return;
        }

        var start = GroupStart.Now;
        if (!call.Is(4, "$"u8))
        {
            if (!call.TryId(4, out var id))
                return;
            start = GroupStart.After(id);
        }

        if (call.Apply<CreateGroup, bool>(new(call.Key(2), call.Text(3), start, entriesRead)))
            call.Ok();
        else
            call.Error("BUSYGROUP Consumer Group name already exists");
    }

    private static void SetId(ref CommandCall call)
    {
        if (!TryOptions(ref call, mayMakeStream: false, out _, out var entriesRead) || !TryManaged(ref call, out var stream, out var group))
            return;
        if (call.Count is not 5 and not 7)
        {
            WrongArguments(ref call);
            return;
        }

        var start = GroupStart.Now;
        if (!call.Is(4, "$"u8))
        {
            if (call[4] is [(byte)'-'])
                start = GroupStart.Beginning;
            else if (call[4] is [(byte)'+'])
                start = GroupStart.After(EntryId.Max);
            else if (call.TryId(4, out var id))
                start = GroupStart.After(id);
            else
                return;
        }

        call.Apply<SetGroup, bool>(new(stream.Name, group.Name, start, entriesRead));
        call.Ok();
    }

    private static void Destroy(ref CommandCall call)
    {
        if (!call.TryFind<StreamValue>(2, out var stream))
            return;
        if (stream is null)
            call.Error(KeyRequired);
        else
            call.Reply.WriteInteger(call.Apply<DestroyGroup, bool>(new(stream.Name, call.Text(3))) ? 1 : 0);
    }

    private static void AddConsumer(ref CommandCall call)
    {
        if (TryManaged(ref call, out var stream, out var group))
            call.Reply.WriteInteger(call.Apply<CreateConsumer, bool>(new(stream.Name, group.Name, call.Text(4))) ? 1 : 0);
    }

    private static void RemoveConsumer(ref CommandCall call)
    {
        if (TryManaged(ref call, out var stream, out var group))
            call.Reply.WriteInteger(call.Apply<DeleteConsumer, long>(new(stream.Name, group.Name, call.Text(4))));
    }

    /// <summary>The stream and the group that a subcommand needs; otherwise the error is written.</summary>
    private static bool TryManaged(ref CommandCall call, out StreamValue stream, out ConsumerGroup group)
    {
        group = null!;
        if (!call.TryFind(2, out stream!))
            return false;
        if (stream is null)
        {
            call.Error(KeyRequired);
            return false;
        }

        if (stream.FindGroup(call.Text(3)) is { } found)
        {
            group = found;
            return true;
        }

        call.Error($"NOGROUP No such consumer group '{call.Quote(3)}' for key name '{call.Quote(2)}'");
        return false;
    }

    private static bool TryOptions(ref CommandCall call, bool mayMakeStream, out bool makesStream, out long? entriesRead)
    {
        makesStream = false;
        entriesRead = null;
        for (var i = 5; i < call.Count; i++)
        {
            if (mayMakeStream && call.Is(i, "mkstream"u8))
            {
                makesStream = true;
            }
            else if (call.Is(i, "entriesread"u8) && i + 1 < call.Count)
            {
                if (!call.TryInteger(++i, out var value))
                    return false;
                if (value < -1)
                {
                    call.Error("ERR value for ENTRIESREAD must be positive or -1");
                    return false;
                }

                entriesRead = value < 0 ? null : value;
            }
            else
            {
                WrongArguments(ref call);
                return false;
            }
        }

        return true;
    }

    private static void WrongArguments(ref CommandCall call) =>
        call.Error($"ERR unknown subcommand or wrong number of arguments for '{call.Quote(1)}'. Try XGROUP HELP.");
}
