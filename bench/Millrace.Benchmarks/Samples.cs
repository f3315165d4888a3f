using System.Diagnostics;
using System.Globalization;

namespace Millrace.Benchmarks;

/// <summary>Durations of one kind, as raw timestamps.</summary>
internal sealed class Samples(int capacity)
{
    private readonly List<long> _ticks = new(capacity);
    private bool _isSorted;

    public int Count => _ticks.Count;

    public void Add(long startTimestamp, long endTimestamp)
    {
        _ticks.Add(endTimestamp - startTimestamp);
        _isSorted = false;
    }

    /// <summary>Waits without giving the processor away.</summary>
    public static void Spin(TimeSpan pause)
    {
        for (var start = Stopwatch.GetTimestamp(); Stopwatch.GetElapsedTime(start) < pause;)
            Thread.SpinWait(10);
    }

    /// <summary>The value below which a fraction of the samples lies, in microseconds.</summary>
    public double Percentile(double fraction)
    {
        if (!_isSorted)
            _ticks.Sort();
        _isSorted = true;
        return _ticks[(int)((_ticks.Count - 1) * fraction)] * 1e6 / Stopwatch.Frequency;
    }
}

/// <summary>What the tables of a report need.</summary>
internal static class Report
{
    public static double Median(IEnumerable<double> values)
    {
        var sorted = values.Order().ToArray();
        return sorted.Length % 2 == 1 ? sorted[sorted.Length / 2] : (sorted[(sorted.Length / 2) - 1] + sorted[sorted.Length / 2]) / 2;
    }

    /// <summary>What is measured now, for whoever watches: beside the report.</summary>
    public static void Note(FormattableString text) => Console.Error.WriteLine(text.ToString(CultureInfo.InvariantCulture));

    public static void Row(params ReadOnlySpan<object> cells)
    {
        Console.Write("|");
        foreach (var cell in cells)
            Console.Write(cell is double number ? $" {number.ToString(number < 100 ? "N1" : "N0", CultureInfo.InvariantCulture)} |" : $" {cell} |");
        Console.WriteLine();
    }
}
