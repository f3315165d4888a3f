using System.Globalization;
using System.Text;
using Millrace.Server.Statistics;

namespace Millrace.Server.Commands.Admin;

/// <summary><c>LATENCY</c>: what held up others, and how long commands take.</summary>
internal static class LatencyCommands
{
    private const CommandFlags Admin = CommandFlags.Admin | CommandFlags.NoScript;

    private static readonly string[] HelpLines =
    [
        "LATENCY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DOCTOR",
        "    Return a human readable latency analysis report.",
        "HISTORY <event>",
        "    Return time-latency samples for the <event> class.",
        "LATEST",
        "    Return the latest latency samples for all events.",
        "RESET [<event> ...]",
        "    Reset latency data of one or more <event> classes.",
        "    (default: reset all data for all event classes)",
        "HISTOGRAM [COMMAND ...]",
        "    Return a cumulative distribution of latencies in the format of a histogram for the specified command names.",
        "    If no commands are specified then all histograms are replied.",
        "HELP",
        "    Prints this help.",
    ];

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("latency", -2, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall call) => call.WrongArity(),
        [
            new("doctor", 2, Admin, 0, 0, 0, "", Diagnose),
            new("help", 2, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall call) => call.WriteHelp(HelpLines)),
            new("histogram", -2, Admin, 0, 0, 0, "", WriteHistograms),
            new("history", 3, Admin, 0, 0, 0, "", WriteHistory),
            new("latest", 2, Admin, 0, 0, 0, "", WriteLatest),
            new("reset", -2, Admin, 0, 0, 0, "", Reset),
        ]) { Group = "server", Since = "2.8.13" },
    ];

    private static void WriteLatest(ref CommandCall call)
    {
        var events = call.Server.Statistics.Latency.Events;
        call.Reply.WriteArray(events.Count);
        foreach (var (name, found) in events)
        {
            call.Reply.WriteArray(4);
            call.Reply.WriteBulk(name);
            call.Reply.WriteInteger(found.Samples[^1].Seconds);
            call.Reply.WriteInteger(found.Samples[^1].Milliseconds);
            call.Reply.WriteInteger(found.MaxMilliseconds);
        }
    }

    private static void WriteHistory(ref CommandCall call)
    {
        IReadOnlyList<(long Seconds, long Milliseconds)> samples =
            call.Server.Statistics.Latency.Events.TryGetValue(call.Text(2).ToLowerInvariant(), out var found) ? found.Samples : [];
        call.Reply.WriteArray(samples.Count);
        foreach (var (seconds, milliseconds) in samples)
        {
            call.Reply.WriteArray(2);
            call.Reply.WriteInteger(seconds);
            call.Reply.WriteInteger(milliseconds);
        }
    }

    private static void Reset(ref CommandCall call)
    {
        var latency = call.Server.Statistics.Latency;
        var count = call.Count == 2 ? latency.Events.Count : 0;
        if (call.Count == 2)
            latency.Clear();
        for (var i = 2; i < call.Count; i++)
            count += latency.Remove(call.Text(i).ToLowerInvariant()) ? 1 : 0;
        call.Reply.WriteInteger(count);
    }

    private static void Diagnose(ref CommandCall call)
    {
        var latency = call.Server.Statistics.Latency;
        if (latency.LeastMilliseconds == 0)
        {
            call.WriteVerbatim("Nothing is watched: CONFIG SET latency-monitor-threshold <milliseconds> says from when on a command counts as long.\n");
            return;
        }

        var text = new StringBuilder();
        foreach (var (name, found) in latency.Events)
        {
            var average = found.Samples.Average(static sample => sample.Milliseconds);
            text.Append(
                CultureInfo.InvariantCulture,
                $"{name}: {found.Samples.Count} seconds with one that took long (on average {average:F0} ms, at most {found.MaxMilliseconds} ms).\n");
        }

        if (text.Length > 0)
            text.Append("SLOWLOG GET tells which commands these were. Only one runs at a time: while it does, all other clients wait.\n");
        call.WriteVerbatim(text.Length > 0 ? text.ToString() : "Nothing took long.\n");
    }

    /// <summary>The distribution of those calls whose time was taken. Names that are no command, or were never measured, are left out.</summary>
    private static void WriteHistograms(ref CommandCall call)
    {
        var wanted = new List<(CommandInfo Command, CommandCounter Counter)>();
        foreach (var counted in call.Server.Statistics.All)
        {
            if (counted.Counter.Measured > 0 && IsWanted(ref call, counted.Command))
                wanted.Add(counted);
        }

        call.Reply.WriteMap(wanted.Count);
        foreach (var (command, counter) in wanted)
        {
            call.Reply.WriteBulk(command.FullName);
            call.Reply.WriteMap(2);
            call.Reply.WriteBulk("calls"u8);
            call.Reply.WriteInteger(counter.Measured);
            call.Reply.WriteBulk("histogram_usec"u8);
            call.Reply.WriteMap(counter.Histogram.Count());
            long below = 0;
            foreach (var (microseconds, count) in counter.Histogram)
            {
                call.Reply.WriteInteger(microseconds);
                call.Reply.WriteInteger(below += count);
            }
        }
    }

    /// <summary>Whether a command is asked for by its name, or a subcommand by its command's.</summary>
    private static bool IsWanted(ref CommandCall call, CommandInfo command)
    {
        for (var i = 2; i < call.Count; i++)
        {
            var name = call.Text(i).ToLowerInvariant();
            if (command.FullName == name || command.FullName.StartsWith(name + "|", StringComparison.Ordinal))
                return true;
        }

        return call.Count == 2;
    }
}
