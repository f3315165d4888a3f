using System.Globalization;

namespace Millrace.Benchmarks;

/// <summary>One measurement: a figure, and the server's processor time for one operation in nanoseconds.</summary>
internal readonly record struct Measured(double Figure, double ServerNanoseconds = 0);

/// <summary>
/// Measures two sides in turns, A B A B, so that a noisy moment hits both alike, and reports the median of the ratios of the pairs. One pair
/// before them is thrown away.
/// </summary>
internal static class Pairs
{
    /// <summary>Pairs that count. Fewer are for a first look.</summary>
    public static int Count { get; set; } = 7;

    public static void Head(string title, string unit, string other = "redis-server")
    {
        Console.WriteLine($"## {title} ({Count} interleaved pairs, medians)");
        Console.WriteLine();
        Report.Row(
            "row", $"{other}, {unit}", $"millrace, {unit}", "ratio", "goal", "", "ratios of the pairs",
            $"server's processor ns an operation: {other}", "millrace");
        Report.Row("---", "---:", "---:", "---:", "---:", "---", "---", "---:", "---:");
    }

    /// <param name="row">What is measured.</param>
    /// <param name="goal">The ratio that is wanted: at least, or at most when <paramref name="isCeiling"/>. Null: none.</param>
    /// <param name="redis">Measures redis-server.</param>
    /// <param name="millrace">Measures Millrace.</param>
    /// <param name="isCeiling">Whether less is better.</param>
    /// <param name="warmUps">Pairs that are thrown away.</param>
    public static void Run(string row, double? goal, Func<Measured> redis, Func<Measured> millrace, bool isCeiling = false, int warmUps = 1)
    {
        var (theirs, ours) = (new List<Measured>(), new List<Measured>());
        for (var i = -warmUps; i < Count; i++)
        {
            var (their, our) = (redis(), millrace());
            if (i < 0)
                continue;
            theirs.Add(their);
            ours.Add(our);
        }

        Print(row, goal, theirs, ours, isCeiling);
    }

    public static void Print(string row, double? goal, List<Measured> theirs, List<Measured> ours, bool isCeiling)
    {
        var ratios = theirs.Zip(ours, (their, our) => our.Figure / their.Figure).ToArray();
        var ratio = Report.Median(ratios);
        Report.Row(
            row,
            Report.Median(theirs.Select(measured => measured.Figure)),
            Report.Median(ours.Select(measured => measured.Figure)),
            Text(ratio),
            goal is { } wanted ? (isCeiling ? "at most " : "at least ") + Text(wanted) : "-",
            goal is null ? "-" : (isCeiling ? ratio <= goal : ratio >= goal) ? "met" : "**missed**",
            string.Join(" ", ratios.Select(Text)),
            Report.Median(theirs.Select(measured => measured.ServerNanoseconds)),
            Report.Median(ours.Select(measured => measured.ServerNanoseconds)));
    }

    private static string Text(double ratio) => ratio.ToString("0.00", CultureInfo.InvariantCulture);
}
