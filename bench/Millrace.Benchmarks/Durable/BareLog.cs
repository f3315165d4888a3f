using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Millrace.Benchmarks;

/// <summary>The least a durable append can be: write(2) at the end of a file and fdatasync, one after the other. Nothing is checked but for errors.</summary>
internal static partial class BareLog
{
    /// <summary>Appends records and syncs each.</summary>
    /// <returns>Records a second.</returns>
    public static double Run(int recordBytes, TimeSpan time)
    {
        using var directory = new DiskDirectory();
        using var file = File.OpenHandle(Path.Combine(directory.Path, "log"), FileMode.CreateNew, FileAccess.Write);
        var record = new byte[recordBytes];
        Random.Shared.NextBytes(record);
        var (start, count) = (Stopwatch.GetTimestamp(), 0L);
        for (; Stopwatch.GetElapsedTime(start) < time; count++)
        {
            RandomAccess.Write(file, record, count * recordBytes);
            if (Fdatasync(file) != 0)
                throw new IOException($"fdatasync failed with error {Marshal.GetLastPInvokeError()}.");
        }

        return count / Stopwatch.GetElapsedTime(start).TotalSeconds;
    }

    [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
    [DefaultDllImportSearchPaths(DllImportSearchPath.System32)]
    private static partial int Fdatasync(SafeFileHandle file);
}
