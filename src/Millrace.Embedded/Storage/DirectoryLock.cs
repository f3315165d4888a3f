using System.Security.Cryptography;
using System.Text;
using Microsoft.Win32.SafeHandles;
using Millrace.Streams;

namespace Millrace.Embedded.Storage;

/// <summary>
/// Holds a data directory for one process: <c>&lt;directory&gt;/LOCK</c>, open and locked as long as the store is. The operating system lets go
/// of it when the process ends, however it ends, so a file that is left over locks nobody out. It says who holds it, for people and for errors.
/// </summary>
/// <remarks>
/// Some file systems, such as network shares, let two processes through, or a person deletes the file. The fencing epoch in it, random and new for
/// each holder, lets a holder find out that another one came: <c>process 4711 on host</c>, newline, <c>epoch</c> and 16 hexadecimal digits, newline.
/// </remarks>
internal sealed class DirectoryLock : IDisposable
{
    private const string FileName = "LOCK";
    private const int MaxBytes = 512;

    private readonly SafeFileHandle _file;
    private readonly string _path;
    private readonly byte[] _content;

    private DirectoryLock(SafeFileHandle file, string path, byte[] content)
    {
        _file = file;
        _path = path;
        _content = content;
    }

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
            var epoch = RandomNumberGenerator.GetHexString(16, lowercase: true);
            var content = Encoding.UTF8.GetBytes($"process {Environment.ProcessId} on {Environment.MachineName}\nepoch {epoch}\n");
            RandomAccess.SetLength(file, 0);
            RandomAccess.Write(file, content, 0);
            return new(file, path, content);
        }
        catch
        {
            // A full disk, say: the next attempt must not find the directory locked by this one.
            file.Dispose();
            throw;
        }
    }

    /// <summary>Whether the file that has the name now still holds our epoch.</summary>
    public bool IsHeld()
    {
        try
        {
            Span<byte> bytes = stackalloc byte[MaxBytes];
            return bytes[..Read(_path, bytes)].SequenceEqual(_content);
        }
        catch (IOException) when (!File.Exists(_path))
        {
            return false;
        }
    }

    public void Dispose() => _file.Dispose();

    /// <summary>What the file says of who has it, or had it last. For people.</summary>
    public static string ReadHolder(string path)
    {
        try
        {
            Span<byte> bytes = stackalloc byte[MaxBytes];
            var text = Encoding.UTF8.GetString(bytes[..Read(path, bytes)]).AsSpan();
            var line = text.IndexOf('\n') is >= 0 and var end ? text[..end].Trim() : text.Trim();
            return line.Length > 0 ? line.ToString() : "a process that is just starting";
        }
        catch (IOException exception)
        {
            // The name is help, not the point: the caller reports the lock either way.
            return $"another process (its name in '{path}' cannot be read: {exception.Message})";
        }
    }

    private static int Read(string path, Span<byte> bytes)
    {
        using var file = OperatingSystem.IsWindows()
            ? File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite)
            : DurableFile.OpenReadOnlyUnlocked(path);
        return RandomAccess.Read(file, bytes, 0);
    }
}
