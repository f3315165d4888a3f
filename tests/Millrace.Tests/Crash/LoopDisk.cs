using System.ComponentModel;
using System.Diagnostics;
using System.Runtime.InteropServices;
using Microsoft.Win32.SafeHandles;

namespace Millrace.Tests.Crash;

/// <summary>
/// A file system of its own, mounted in a temporary directory and taken away with this object: an ext4 image on a loop device, whose power can be
/// cut, or a tmpfs of fixed size. Needs root.
/// </summary>
internal sealed class LoopDisk : IDisposable
{
    /// <summary>EXT4_IOC_SHUTDOWN of Linux's ext4.h: the file system stops at once, as it is.</summary>
    private const nuint Shutdown = 0x8004587d;

    /// <summary>EXT4_GOING_FLAGS_NOLOGFLUSH: not even its journal is written out first.</summary>
    private const uint NoLogFlush = 2;

    // A commit of its journal every minute instead of every five seconds: what is not synced is lost, not saved by chance.
    private static readonly string[] Ext4Options = ["-o", "loop,commit=60"];

    private readonly string _directory = System.IO.Directory.CreateTempSubdirectory("millrace-disk-").FullName;
    private bool _isMounted;

    private LoopDisk() => System.IO.Directory.CreateDirectory(Directory);

    /// <summary>Where it is mounted.</summary>
    public string Directory => Path.Combine(_directory, "mount");

    private string Image => Path.Combine(_directory, "image");

    /// <summary>An empty ext4 on a loop device.</summary>
    public static LoopDisk CreateExt4(int megabytes)
    {
        var disk = new LoopDisk();
        try
        {
            using (var image = File.Create(disk.Image))
                image.SetLength(megabytes * 1024L * 1024);
            Run("mkfs.ext4", "-q", "-F", disk.Image);
            disk.Mount();
            return disk;
        }
        catch
        {
            disk.Dispose();
            throw;
        }
    }

    /// <summary>An empty tmpfs, which is full after so many bytes.</summary>
    public static LoopDisk CreateTmpfs(int kilobytes)
    {
        var disk = new LoopDisk();
        try
        {
            Run("mount", "-t", "tmpfs", "-o", $"size={kilobytes}k", "millrace-test", disk.Directory);
            disk._isMounted = true;
            return disk;
        }
        catch
        {
            disk.Dispose();
            throw;
        }
    }

    /// <summary>Cuts the power of an ext4: nothing that was not synced reaches the device, and everything fails from now on.</summary>
    public void CutPower()
    {
        using var file = File.OpenHandle(Path.Combine(Directory, "power"), FileMode.OpenOrCreate, FileAccess.ReadWrite);
        var flags = NoLogFlush;
        if (Ioctl(file, Shutdown, ref flags) < 0)
            throw new Win32Exception(Marshal.GetLastPInvokeError());
    }

    /// <summary>Takes the file system off its device and mounts it again: its journal is replayed, as after a restart of the machine.</summary>
    public void MountAgain()
    {
        Unmount();
        Mount();
    }

    public void Dispose()
    {
        try
        {
            if (_isMounted)
                Unmount();
        }
        finally
        {
            System.IO.Directory.Delete(_directory, recursive: true);
        }
    }

    private void Mount()
    {
        Run("mount", [.. Ext4Options, Image, Directory]);
        _isMounted = true;
    }

    private void Unmount()
    {
        // Lazily when somebody is still in there: the kernel frees mount and loop device with the last open file.
        _isMounted = false;
        try
        {
            Run("umount", Directory);
        }
        catch (InvalidOperationException)
        {
            Run("umount", "-l", Directory);
            throw;
        }
    }

    private static void Run(string program, params string[] arguments)
    {
        using var process = Process.Start(new ProcessStartInfo(program, arguments) { RedirectStandardError = true })!;
        var errors = process.StandardError.ReadToEnd();
        process.WaitForExit();
        if (process.ExitCode != 0)
            throw new InvalidOperationException($"{program} {string.Join(' ', arguments)} failed: {errors}");
    }

    [DllImport("libc", EntryPoint = "ioctl", SetLastError = true)]
    private static extern int Ioctl(SafeFileHandle file, nuint request, ref uint argument);
}
