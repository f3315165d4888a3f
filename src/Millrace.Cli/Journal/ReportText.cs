using System.Globalization;
using Millrace.Embedded.Inspection;

namespace Millrace.Cli.Journal;

/// <summary>Reports as lines for people.</summary>
internal static class ReportText
{
    public static void Print(TextWriter output, DirectoryReport report)
    {
        output.WriteLine($"Directory  {report.Directory}");
        foreach (var file in report.Files)
            output.WriteLine($"File       {file.Name}: {Bytes(file.Bytes)}, {Describe(file)}");
        output.WriteLine($"Records    {Describe(report.RecordsByKind)}");
        output.WriteLine($"Last       record {report.LastLsn}, synced to {report.SyncedLsn} {(report.IsClosedCleanly ? "and closed" : "at least")}");
        if (report.Tail is { } tail)
            output.WriteLine($"Torn tail  {Describe(tail)}");
        PrintDamages(output, report);
    }

    public static void PrintVerdict(TextWriter output, DirectoryReport report)
    {
        PrintDamages(output, report);
        var segments = report.Files.Count(static file => file.Kind == "segment");
        var snapshots = report.Files.Count(static file => file.Kind == "snapshot");
        var read = $"{Number(report.RecordsByKind.Values.Sum(), "record")} in {Number(segments, "segment")} and {Number(snapshots, "snapshot")}, " +
            $"up to record {report.LastLsn}";
        if (report.Damages.Count > 0)
        {
            output.WriteLine(
                $"{report.Directory} is damaged in {Number(report.Damages.Count, "place")}; whole: {read}. A store refuses to open it. " +
                $"'millrace journal salvage {report.Directory} --to DIR' copies what can be read.");
            return;
        }

        output.WriteLine($"{report.Directory} is whole: {read}.");
        if (report.Tail is { } tail)
            output.WriteLine($"Its end is a write that was cut off, which the next start removes, or that is under way: {Describe(tail)}.");
    }

    public static void Print(TextWriter output, SalvageReport report)
    {
        foreach (var left in report.LeftOut)
            output.WriteLine($"Left out {Range(left.FirstLsn, left.LastLsn)}: {left.Why}");
        output.WriteLine($"{report.Target} has {Number(report.Keys, "key")} from {report.Directory}, with {Number(report.Applied, "record")} applied.");
        output.WriteLine($"{report.Directory} is as it was. Check the copy, then give it to the store in its place.");
    }

    private static void PrintDamages(TextWriter output, DirectoryReport report)
    {
        foreach (var damage in report.Damages)
            output.WriteLine($"Damage     {damage.File} at offset {damage.Offset}, {Range(damage.FirstLsn, damage.LastLsn)}: {damage.What}");
    }

    private static string Describe(FileReport file)
    {
        var format = file.Version is { } version ? $"format {version}" : "";
        var what = file switch
        {
            { Kind: "segment", Records: > 0, Frames: { } frames } =>
                $"records {file.FirstLsn} to {file.LastLsn} in {Number(frames, "frame")}, synced to {file.SyncedLsn}",
            { Kind: "segment", FirstLsn: { } first } => $"no records yet, the first will be {first}",
            { Kind: "snapshot", LastLsn: { } lsn, Records: { } parts } => $"everything up to record {lsn} in {Number(parts, "part")}",
            _ => "",
        };
        string[] all = [file.Kind, format, what, file.Note ?? ""];
        return string.Join(", ", all.Where(static part => part.Length > 0));
    }

    private static string Describe(TailReport tail) => $"{tail.File} at offset {tail.Offset}: {Bytes(tail.Bytes)}, from record {tail.Lsn} on";

    private static string Describe(IReadOnlyDictionary<string, long> kinds) => kinds.Count == 0
        ? "none"
        : string.Join(", ", kinds.OrderByDescending(static kind => kind.Value).ThenBy(static kind => kind.Key, StringComparer.Ordinal)
            .Select(static kind => $"{kind.Key} {kind.Value}"));

    private static string Range(long first, long last) =>
        first == 0 ? "no record told" : first == last ? $"record {first}" : $"records {first} to {last}";

    private static string Bytes(long count) => Number(count, "byte");

    private static string Number(long count, string what) =>
        string.Create(CultureInfo.InvariantCulture, $"{count} {what}{(count == 1 ? "" : "s")}");
}
