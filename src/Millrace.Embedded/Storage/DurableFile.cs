using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Millrace.Embedded.Storage;

/// <summary>
/// The calls that make bytes durable, straight to the operating system: <c>RandomAccess.FlushToDisk</c> and <c>FileStream.Flush(true)</c>
/// return normally on Linux when fsync fails (runtime 10.0.12), so a store built on them acknowledges lost writes.
/// </summary>
/// <remarks>
/// Every method throws <see cref="IOException"/> when the operating system says no, and is never to be called again for the same bytes then:
/// Linux marks the failed pages clean, and a second fsync would succeed without having written them, unless they are written to again.
/// </remarks>
internal static partial class DurableFile
{
    private const int Eintr = 4;
    private const int OpenReadOnly = 0;
    private const int CloseOnExecLinux = 0x80000;
    private const int CloseOnExecMacOS = 0x1000000;
    private const int FullFsync = 51; // F_FULLFSYNC of macOS, whose plain fsync leaves the bytes in the drive's cache.

    /// <summary>A signal storm must not hold a flush for ever; a real signal interrupts it a few times at most.</summary>
    private const int MaxInterruptions = 100;

    /// <summary>Makes written bytes and the file's length durable, but not its times: one device flush.</summary>
    public static void SyncData(SafeFileHandle file)
    {
        if (OperatingSystem.IsLinux())
            Retry(file, static handle => NativeMethods.Fdatasync(handle), "fdatasync");
        else
            Sync(file);
    }

    /// <summary>Makes the whole file durable. The name of a new file needs <see cref="SyncDirectory(string)"/> besides.</summary>
    public static void Sync(SafeFileHandle file)
    {
        if (OperatingSystem.IsWindows())
        {
            if (!NativeMethods.FlushFileBuffers(file))
                throw Failed("FlushFileBuffers", Marshal.GetLastPInvokeError());
            return;
        }

        // File systems without a full sync, such as network shares, refuse it; they get the plain one.
        if (OperatingSystem.IsMacOS() && NativeMethods.Fcntl(file, FullFsync) == 0)
            return;
        Retry(file, static handle => NativeMethods.Fsync(handle), "fsync");
    }

    /// <summary>Makes created, renamed and deleted names of a directory durable. Windows does that by itself.</summary>
    public static void SyncDirectory(string path)
    {
        if (OperatingSystem.IsWindows())
            return;

        using var directory = OpenReadOnlyUnlocked(path);
        SyncDirectory(directory);
    }

    /// <summary>The same for a directory that is open. Not for Windows.</summary>
    public static void SyncDirectory(SafeFileHandle directory) =>
        Retry(directory, static handle => NativeMethods.Fsync(handle), "fsync of the directory");

    /// <summary>Opens a file or directory without the advisory lock that every managed open takes on Unix. Not for Windows.</summary>
    public static SafeFileHandle OpenReadOnlyUnlocked(string path)
    {
        // Without the flag a child process that starts at this moment would inherit the descriptor.
        var closeOnExec = OperatingSystem.IsMacOS() ? CloseOnExecMacOS : CloseOnExecLinux;
        var descriptor = NativeMethods.Open(path, OpenReadOnly | closeOnExec);
        return descriptor >= 0
            ? new SafeFileHandle(descriptor, ownsHandle: true)
            : throw Failed($"open of '{path}'", Marshal.GetLastPInvokeError());
    }

    private static void Retry(SafeFileHandle file, Func<SafeFileHandle, int> call, string name)
    {
        for (var attempt = 0; call(file) < 0; attempt++)
        {
            var error = Marshal.GetLastPInvokeError();
            if (error != Eintr || attempt == MaxInterruptions)
                throw Failed(name, error);
        }
    }

    /// <summary>
    /// The text comes from the core library: a process out of descriptors could not load another one for it now, and the runtime would not try again
    /// later.
    /// </summary>
    private static IOException Failed(string call, int error) => new($"{call} failed: {Marshal.GetPInvokeErrorMessage(error)} (error {error}).", error);

    private static partial class NativeMethods
    {
        [LibraryImport("libc", EntryPoint = "fdatasync", SetLastError = true)]
        internal static partial int Fdatasync(SafeFileHandle file);

        [LibraryImport("libc", EntryPoint = "fsync", SetLastError = true)]
        internal static partial int Fsync(SafeFileHandle file);

        [LibraryImport("libc", EntryPoint = "fcntl", SetLastError = true)]
        internal static partial int Fcntl(SafeFileHandle file, int command);

        [LibraryImport("libc", EntryPoint = "open", SetLastError = true, StringMarshalling = StringMarshalling.Utf8)]
        internal static partial int Open(string path, int flags);

        [LibraryImport("kernel32", EntryPoint = "FlushFileBuffers", SetLastError = true)]
        [return: MarshalAs(UnmanagedType.Bool)]
        internal static partial bool FlushFileBuffers(SafeFileHandle file);
    }
}
