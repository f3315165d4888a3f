using System.Text;
using Microsoft.Win32.SafeHandles;
using Millrace.Streams;

namespace Millrace.Embedded.Journal;

/// <summary>
/// Holds a data directory for one process: <c>&lt;directory&gt;/LOCK</c>, open and locked as long as the store is. The operating system lets go
/// of it when the process ends, however it ends, so a file that is left over locks nobody out. It says who holds it, for people and for errors.
/// </summary>
internal sealed class DirectoryLock : IDisposable
{
    private const string FileName = "LOCK";
    private readonly SafeFileHandle _file;

    private DirectoryLock(SafeFileHandle file) => _file = file;

    /// <summary>Takes the lock.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Locked"/>: somebody else has it; the message names who and where.</exception>
    public static DirectoryLock Take(string directory)
    {
        var path = Path.Combine(directory, FileName);
        SafeFileHandle file;
        try
        {
            // On Unix FileShare.None is the one share mode that excludes a second writer. On Windows FileShare.Read does, too, and lets the
            // second process read who the first one is.
            var share = OperatingSystem.IsWindows() ? FileShare.Read : FileShare.None;
            file = File.OpenHandle(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, share);
        }
        catch (IOException exception) when (File.Exists(path))
        {
            throw new StreamException(
                StreamErrorCode.Locked,
                $"The data directory '{directory}' is in use by {ReadHolder(path)}. A directory belongs to one process at a time: stop that " +
                "process, use another directory, or let the processes share a Redis server instead.",
                exception);
        }

        try
        {
            var holder = Encoding.UTF8.GetBytes($"process {Environment.ProcessId} on {Environment.MachineName}\n");
            RandomAccess.SetLength(file, 0);
            RandomAccess.Write(file, holder, 0);
            return new(file);
        }
        catch
        {
            // A full disk, say: the next attempt must not find the directory locked by this one.
            file.Dispose();
            throw;
        }
    }

    public void Dispose() => _file.Dispose();

    private static string ReadHolder(string path)
    {
        try
        {
            using var file = OperatingSystem.IsWindows()
                ? File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite)
                : DurableFile.OpenReadOnlyUnlocked(path);
            Span<byte> text = stackalloc byte[256];
            var holder = Encoding.UTF8.GetString(text[..RandomAccess.Read(file, text, 0)]).Trim();
            return holder.Length > 0 ? holder : "a process that is just starting";
        }
        catch (IOException exception)
        {
            // The name is help, not the point: the caller reports the lock either way.
            return $"another process (its name in '{path}' cannot be read: {exception.Message})";
        }
    }
}
