using System.Globalization;
using System.Runtime.InteropServices;

namespace Millrace.Benchmarks;

/// <summary>Says what a figure was measured on. No host names: reports are committed.</summary>
internal static class Machine
{
    private const string LoadPath = "/proc/loadavg";

    public static void Print()
    {
        Console.WriteLine($"- date: {DateTimeOffset.UtcNow.ToString("yyyy-MM-dd HH:mm", CultureInfo.InvariantCulture)} UTC");
        Console.WriteLine(
            $"- machine: {Cpu()}, {Environment.ProcessorCount} cores; {RuntimeInformation.OSDescription}; {RuntimeInformation.FrameworkDescription}");
        if (File.Exists(LoadPath))
            Console.WriteLine($"- load before the run (1, 5 and 15 minutes): {string.Join(", ", File.ReadAllText(LoadPath).Split(' ')[..3])}");
#if DEBUG
        Console.WriteLine("- **DEBUG build: these figures mean nothing**");
#endif
        Console.WriteLine();
    }

    private static string Cpu()
    {
        const string Path = "/proc/cpuinfo", Key = "model name";
        var line = File.Exists(Path) ? File.ReadLines(Path).FirstOrDefault(line => line.StartsWith(Key, StringComparison.Ordinal)) : null;
        return line is null ? RuntimeInformation.ProcessArchitecture.ToString() : line[(line.IndexOf(':') + 1)..].Trim();
    }
}
