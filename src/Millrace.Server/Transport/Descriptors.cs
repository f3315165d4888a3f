using System.Runtime.InteropServices;

namespace Millrace.Server.Transport;

/// <summary>
/// How many connections the process has descriptors for. Clients never get the last ones: the runtime may not survive that (each thread takes some,
/// and each assembly when it is first used), and the journal needs them for its files.
/// </summary>
internal static class Descriptors
{
    /// <summary>Kept for the next files of the journal, for assemblies that are not loaded yet, and for threads.</summary>
    private static readonly int Reserve = 64 + (4 * Environment.ProcessorCount);

    /// <summary>Taken as open where the system does not list what is.</summary>
    private const int AssumedOpen = 256;

    /// <summary>However few there are, a client that looks what is wrong gets in.</summary>
    private const int LeastConnections = 32;

    private const string OpenOnes = "/dev/fd";

    /// <summary>What is left of the process's limit.</summary>
    public static int CountForConnections()
    {
        // RLIMIT_NOFILE. The runtime has raised the soft limit to the hard one.
        if (OperatingSystem.IsWindows() || GetLimit(OperatingSystem.IsMacOS() ? 8 : 7, out var limit) != 0)
            return int.MaxValue;
        var open = Directory.Exists(OpenOnes) ? Directory.GetFileSystemEntries(OpenOnes).Length : AssumedOpen;
        return Math.Max((int)Math.Min(limit.Soft, int.MaxValue) - open - Reserve, LeastConnections);
    }

    [DllImport("libc", EntryPoint = "getrlimit")]
    private static extern int GetLimit(int resource, out Limit limit);

    [StructLayout(LayoutKind.Sequential)]
    private struct Limit
    {
        public nuint Soft;
        public nuint Hard;
    }
}
