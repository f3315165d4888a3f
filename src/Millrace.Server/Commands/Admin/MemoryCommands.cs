using System.Globalization;
using Millrace.Streams.Engine;

namespace Millrace.Server.Commands.Admin;

/// <summary><c>MEMORY</c>: what the keys take, as the engine counts it, and what the process takes.</summary>
internal static class MemoryCommands
{
    private static readonly string[] HelpLines =
    [
        "MEMORY <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "DOCTOR",
        "    Return memory problems reports.",
        "MALLOC-STATS",
        "    Return internal statistics report from the memory allocator.",
        "PURGE",
        "    Attempt to purge dirty pages for reclamation by the allocator.",
        "STATS",
        "    Return information about the memory usage of the server.",
        "USAGE <key> [SAMPLES <count>]",
        "    Return memory in bytes used by <key> and its value. Nested values are",
        "    counted, not sampled, so that <count> changes nothing.",
        "HELP",
        "    Prints this help.",
    ];

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("memory", -2, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall call) => call.WrongArity(),
        [
            new("doctor", 2, CommandFlags.None, 0, 0, 0, "", Diagnose),
            new("help", 2, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall call) => call.WriteHelp(HelpLines)),
            new("malloc-stats", 2, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall call) =>
                call.WriteVerbatim("Stats not supported for the current allocator")),
            new("purge", 2, CommandFlags.None, 0, 0, 0, "", Purge),
            new("stats", 2, CommandFlags.None, 0, 0, 0, "", WriteStatistics),
            new("usage", -3, CommandFlags.ReadOnly, 2, 2, 1, "", Usage) { KeyRights = KeyRights.None },
        ]) { Group = "server", Since = "4.0.0" },
    ];

    private static void Usage(ref CommandCall call)
    {
        for (var i = 3; i < call.Count; i += 2)
        {
            if (!call.Is(i, "SAMPLES"u8) || i + 1 >= call.Count)
            {
                call.Error(Errors.Syntax);
                return;
            }

            if (!call.TryInteger(i + 1, out var samples))
                return;
            if (samples < 0)
            {
                call.Error(Errors.Syntax);
                return;
            }
        }

        if (call.FindValue(2) is { } value)
            call.Reply.WriteInteger(StreamEngine.SizeOf(value));
        else
            call.Reply.WriteNull();
    }

    private static void Diagnose(ref CommandCall call)
    {
        var (used, most) = (call.Engine.UsedBytes, call.Store.MaxMemoryBytesNeedsLock);
        call.WriteVerbatim(
            most == 0 ? "There is no limit: maxmemory is 0, and the keys grow until the system has no more.\n"
            : used > most ? "The keys take more than maxmemory: commands that need memory are refused until some are deleted or trimmed.\n"
            : used > most / 10 * 9 ? "The keys take more than nine tenths of maxmemory.\n"
            : "No problem found.\n");
    }

    /// <summary>Lets the garbage collector look for what it can give back, in the background.</summary>
    private static void Purge(ref CommandCall call)
    {
        GC.Collect(GC.MaxGeneration, GCCollectionMode.Optimized, blocking: false);
        call.Ok();
    }

    private static void WriteStatistics(ref CommandCall call)
    {
        var engine = call.Engine;
        var (used, peak, heap, resident) = (engine.UsedBytes, engine.PeakBytes, GC.GetTotalMemory(forceFullCollection: false), Environment.WorkingSet);
        var keys = engine.Databases.Sum(static keyspace => (long)keyspace.Count);
        (string Name, long Value)[] numbers =
        [
            ("peak.allocated", peak),
            ("total.allocated", used),
            ("clients.normal", call.Server.OutputBytes),
            ("keys.count", keys),
            ("keys.bytes-per-key", keys == 0 ? 0 : used / keys),
            ("dataset.bytes", used),
            ("allocator.allocated", heap),
            ("allocator.resident", resident),
            ("fragmentation.bytes", resident - used),
        ];
        call.Reply.WriteMap(numbers.Length + 2);
        foreach (var (name, value) in numbers)
        {
            call.Reply.WriteBulk(name);
            call.Reply.WriteInteger(value);
        }

        call.Reply.WriteBulk("peak.percentage"u8);
        call.Reply.WriteDouble(peak == 0 ? 100 : 100.0 * used / peak);
        call.Reply.WriteBulk("fragmentation"u8);
        call.Reply.WriteDouble(used == 0 ? 0 : (double)resident / used);
    }

    /// <summary>Bytes for people, as INFO writes them: <c>1.91M</c>.</summary>
    public static string ForPeople(long bytes)
    {
        if (bytes < 1024)
            return string.Create(CultureInfo.InvariantCulture, $"{bytes}B");
        var (value, unit) = (bytes / 1024.0, 0);
        for (; value >= 1024 && unit < 4; unit++)
            value /= 1024;
        return string.Create(CultureInfo.InvariantCulture, $"{value:F2}{"KMGTP"[unit]}");
    }
}
