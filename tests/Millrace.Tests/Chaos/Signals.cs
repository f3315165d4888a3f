using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;

namespace Millrace.Tests.Chaos;

/// <summary>The signals of a chaos run. Through the system, since .NET sends no signal but SIGKILL.</summary>
internal static class Signals
{
    private const int NoSuchProcess = 3;

    public static void Stop(Process process) => Send(process, OperatingSystem.IsMacOS() ? 17 : 19);

    public static void Continue(Process process) => Send(process, OperatingSystem.IsMacOS() ? 19 : 18);

    public static void Terminate(Process process) => Send(process, 15);

    /// <summary>For processes that somebody else started.</summary>
    public static void Kill(int process) => Send(process, 9);

    private static void Send(Process process, int signal) => Send(process.Id, signal);

    private static void Send(int process, int signal)
    {
        // One that has ended by itself cannot be told any more.
        if (SendSignal(process, signal) != 0 && Marshal.GetLastPInvokeError() != NoSuchProcess)
            throw new Win32Exception();
    }

    [DllImport("libc", EntryPoint = "kill", SetLastError = true)]
    private static extern int SendSignal(int pid, int signal);
}
