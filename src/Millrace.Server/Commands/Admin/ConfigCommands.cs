using System.Globalization;
using System.IO.Enumeration;
using Millrace.Embedded;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Server.Commands.Admin;

/// <summary><c>CONFIG</c>: the settings programs ask for, and the few that a running server can change.</summary>
internal static class ConfigCommands
{
    private const CommandFlags Flags = CommandFlags.Admin | CommandFlags.NoScript;

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("config", -2, CommandFlags.None, 0, 0, 0, "slow", static (ref CommandCall call) => call.WrongArity(),
        [
            new("get", -3, Flags, 0, 0, 0, "admin slow dangerous", Get),
            new("resetstat", 2, Flags, 0, 0, 0, "admin slow dangerous", static (ref CommandCall call) => call.Ok()),
            new("set", -4, Flags, 0, 0, 0, "admin slow dangerous", Set),
        ]) { Group = "server" },
    ];

    /// <summary>Settings that change what mutations do, and so are journaled. Their bounds are Redis's.</summary>
    private static readonly (string Name, EngineOption Option, long Least, long Most)[] EngineSettings =
    [
        ("stream-idmp-duration", EngineOption.StreamIdmpDurationSeconds, 1, EngineOptions.LongestIdmpDurationSeconds),
        ("stream-idmp-maxsize", EngineOption.StreamIdmpMaxSize, 1, EngineOptions.LargestIdmpMaxSize),
        ("stream-node-max-entries", EngineOption.StreamNodeMaxEntries, 0, long.MaxValue),
    ];

    private static (string Name, string Value)[] Values(RespServer server)
    {
        var engine = server.Store.EngineNeedsLock.Options;
        return
        [
            ("appendfsync", server.Store.Sync switch { SyncPolicy.Always => "always", SyncPolicy.Never => "no", _ => "everysec" }),
            ("appendonly", server.Store.IsDurable ? "yes" : "no"),
            ("bind", server.Endpoint.Address.ToString()),
            ("databases", Text(StreamEngine.DatabaseCount)),
            ("maxclients", Text(server.Options.MaxClients)),
            ("maxmemory", "0"),
            ("maxmemory-policy", "noeviction"),
            ("port", Text(server.Endpoint.Port)),
            ("proto-max-bulk-len", Text(server.Options.MaxBulkBytes)),
            ("replica-read-only", "yes"),
            ("save", ""),
            ("slave-read-only", "yes"),
            ("stream-idmp-duration", Text(engine.StreamIdmpDurationSeconds)),
            ("stream-idmp-maxsize", Text(engine.StreamIdmpMaxSize)),
            ("stream-node-max-entries", Text(engine.StreamNodeMaxEntries)),
            ("timeout", "0"),
        ];
    }

    private static string Text(long number) => number.ToString(CultureInfo.InvariantCulture);

    private static void Get(ref CommandCall call)
    {
        var patterns = new List<string>();
        for (var i = 2; i < call.Count; i++)
            patterns.Add(call.Text(i));
        var found = Values(call.Server)
            .Where(value => patterns.Exists(pattern => FileSystemName.MatchesSimpleExpression(pattern, value.Name, ignoreCase: true)))
            .ToList();
        call.Reply.WriteMap(found.Count);
        foreach (var (name, value) in found)
        {
            call.Reply.WriteBulk(name);
            call.Reply.WriteBulk(value);
        }
    }

    /// <summary>Checks every pair before the first is set: all or nothing.</summary>
    private static void Set(ref CommandCall call)
    {
        if (call.Count % 2 != 0)
        {
            call.WrongArity();
            return;
        }

        var mutations = new List<SetOption>();
        for (var i = 2; i < call.Count; i += 2)
        {
            var name = call.Text(i).ToLowerInvariant();
            if (Array.Find(EngineSettings, setting => setting.Name == name) is not { Name: not null } found)
            {
                var isKnown = Array.Exists(Values(call.Server), value => value.Name == name);
                call.Error(isKnown
                    ? $"ERR CONFIG SET failed (possibly related to argument '{name}') - can't set immutable config"
                    : $"ERR Unknown option or number of arguments for CONFIG SET - '{call.Text(i)}'");
                return;
            }

            var error = $"ERR CONFIG SET failed (possibly related to argument '{name}') - argument couldn't be parsed into an integer";
            if (!call.TryInteger(i + 1, out var value, error))
                return;
            if (value < found.Least || value > found.Most)
            {
                call.Error(
                    $"ERR CONFIG SET failed (possibly related to argument '{name}') - argument must be between {found.Least} and {found.Most} inclusive");
                return;
            }

            mutations.Add(new(found.Option, value));
        }

        foreach (var mutation in mutations)
            call.Apply<SetOption, bool>(mutation);
        call.Ok();
    }
}
