using System.Text;
using Millrace.Server.Commands.Keys;

namespace Millrace.Server.Commands.Admin;

/// <summary><c>CONFIG</c>: shows the settings of <see cref="Settings"/> and changes those that a running server can change.</summary>
internal static class ConfigCommands
{
    private const CommandFlags Flags = CommandFlags.Admin | CommandFlags.NoScript;

    private static readonly string[] HelpLines =
    [
        "CONFIG <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "GET <pattern>",
        "    Return parameters matching the glob-like <pattern> and their values.",
        "SET <directive> <value>",
        "    Set the configuration <directive> to <value>.",
        "RESETSTAT",
        "    Reset statistics reported by the INFO command.",
        "REWRITE",
        "    Rewrite the configuration file.",
        "HELP",
        "    Prints this help.",
    ];

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("config", -2, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall call) => call.WrongArity(),
        [
            new("get", -3, Flags, 0, 0, 0, "", Get) { Since = "2.0.0" },
            new("help", 2, CommandFlags.None, 0, 0, 0, "", Help) { Since = "5.0.0" },
            new("resetstat", 2, Flags, 0, 0, 0, "", ResetStatistics) { Since = "2.0.0" },
            new("rewrite", 2, Flags, 0, 0, 0, "", Rewrite) { Since = "2.8.0" },
            new("set", -4, Flags, 0, 0, 0, "", Set) { Since = "2.0.0" },
        ]) { Group = "server", Since = "2.0.0" },
    ];

    /// <summary>Every setting that matches a pattern, once. A name that is no pattern comes back as it was spelled.</summary>
    private static void Get(ref CommandCall call)
    {
        var found = new SortedDictionary<string, Setting>(StringComparer.OrdinalIgnoreCase);
        for (var i = 2; i < call.Count; i++)
        {
            var pattern = call.Text(i).ToLowerInvariant();
            if (Settings.Find(pattern) is { } named)
                found.TryAdd(call.Text(i), named);
            else if (pattern.AsSpan().IndexOfAny("*?[") >= 0)
                AddMatches(found, pattern);
        }

        // When the journal has failed, settings are shown all the same: they may tell why.
        call.Client.ShowsData |= call.Store.RefusalNeedsLock is null && found.Values.Any(static setting => setting.IsJournaled);
        call.Reply.WriteMap(found.Count);
        foreach (var (name, setting) in found)
        {
            call.Reply.WriteBulk(name);
            call.WriteText(setting.Show(call.Server));
        }
    }

    private static void AddMatches(SortedDictionary<string, Setting> found, string pattern)
    {
        var bytes = Encoding.UTF8.GetBytes(pattern);
        foreach (var setting in Settings.All)
        {
            if (GlobPattern.IsMatch(bytes, Encoding.UTF8.GetBytes(setting.Name)))
                found.TryAdd(setting.Name, setting);
        }
    }

    /// <summary>All or nothing: first every name is looked at, then every value, and only then is the first one changed.</summary>
    private static void Set(ref CommandCall call)
    {
        if (call.Count % 2 != 0)
        {
            call.Error(Errors.Syntax);
            return;
        }

        var settings = new List<Setting>();
        for (var i = 2; i < call.Count; i += 2)
        {
            if (Settings.Find(call.Text(i)) is not { } setting)
            {
                call.Error($"ERR Unknown option or number of arguments for CONFIG SET - '{call.Quote(i)}'");
                return;
            }

            if (setting.Check is null || settings.Contains(setting))
            {
                Refuse(ref call, call.Text(i), setting.Check is null ? "can't set immutable config" : "duplicate parameter");
                return;
            }

            settings.Add(setting);
        }

        var changes = new List<ApplySetting>();
        for (var i = 0; i < settings.Count; i++)
        {
            var (error, change) = settings[i].Check!(call.Text(3 + (2 * i)));
            if (error is not null)
            {
                Refuse(ref call, settings[i].Name, error);
                return;
            }

            changes.Add(change!);
        }

        foreach (var change in changes)
            change(call.Server, call.NowMs);
        call.Ok();
    }

    private static void Refuse(ref CommandCall call, string name, string why) =>
        call.Error($"ERR CONFIG SET failed (possibly related to argument '{name}') - {why}");

    private static void ResetStatistics(ref CommandCall call)
    {
        call.Server.ResetStatisticsNeedsLock();
        call.Ok();
    }

    private static void Rewrite(ref CommandCall call) => call.Error("ERR The server is running without a config file");

    private static void Help(ref CommandCall call) => call.WriteHelp(HelpLines);
}
