using Microsoft.Win32.SafeHandles;
using FilePath = System.IO.Path;

namespace Millrace.Embedded.Storage;

/// <summary>A directory of the operating system.</summary>
internal sealed class DiskDevice : IStorageDevice
{
    private readonly DirectoryLock _lock;

    /// <summary>Open from the start, so that no sync of the names fails for want of a descriptor. Windows, which needs none, has none.</summary>
    private readonly SafeFileHandle? _directory;

    private DiskDevice(string path, DirectoryLock directoryLock, SafeFileHandle? directory)
    {
        Path = path;
        _lock = directoryLock;
        _directory = directory;
    }

    public string Path { get; }

    /// <summary>Makes the directory when it is missing, with those above it, and locks it.</summary>
    /// <exception cref="Streams.StreamException"><see cref="Streams.StreamErrorCode.Locked"/>: somebody else has it.</exception>
    /// <exception cref="IOException">It cannot be made or opened.</exception>
    public static DiskDevice Open(string path) => DiskErrors.Run(path, static path =>
    {
        path = FilePath.TrimEndingDirectorySeparator(FilePath.GetFullPath(path));
        MakeDirectory(path);
        var directoryLock = DirectoryLock.Take(path);
        try
        {
            return new DiskDevice(path, directoryLock, OperatingSystem.IsWindows() ? null : DurableFile.OpenReadOnlyUnlocked(path));
        }
        catch
        {
            directoryLock.Dispose();
            throw;
        }
    });

    public IReadOnlyList<string> List() =>
        DiskErrors.Run(Path, static path => Directory.EnumerateFiles(path).Select(file => FilePath.GetFileName(file)).ToArray());

    public IStorageFile Create(string name) => OpenFile(name, FileMode.Create, FileAccess.ReadWrite);

    public IStorageFile Open(string name, bool writable) =>
        OpenFile(name, FileMode.Open, writable ? FileAccess.ReadWrite : FileAccess.Read);

    public void Rename(string from, string to) => DiskErrors.Run(
        (From: PathOf(from), To: PathOf(to)), static names => File.Move(names.From, names.To, overwrite: true));

    public void Delete(string name) => DiskErrors.Run(PathOf(name), File.Delete);

    public void SyncDirectory()
    {
        if (_directory is not null)
            DurableFile.SyncDirectory(_directory);
    }

    public bool HoldsLock() => DiskErrors.Run(_lock, static held => held.IsHeld());

    public void Dispose()
    {
        _directory?.Dispose();
        _lock.Dispose();
    }

    /// <summary>
    /// Makes the directory and those above it, for their owner alone, and their names durable. An empty one may be what a killed process made and did
    /// not sync.
    /// </summary>
    private static void MakeDirectory(string path)
    {
        if (FilePath.GetDirectoryName(path) is not { } parent || (Directory.Exists(path) && Directory.EnumerateFileSystemEntries(path).Any()))
            return;

        MakeDirectory(parent);
        if (OperatingSystem.IsWindows())
            Directory.CreateDirectory(path);
        else
            Directory.CreateDirectory(path, UnixFileMode.UserRead | UnixFileMode.UserWrite | UnixFileMode.UserExecute);
        DurableFile.SyncDirectory(parent);
    }

    /// <summary>Others may read beside us, and Windows may rename what is open.</summary>
    private DiskFile OpenFile(string name, FileMode mode, FileAccess access) => DiskErrors.Run(
        (Path: PathOf(name), mode, access),
        static what => new DiskFile(File.OpenHandle(what.Path, what.mode, what.access, FileShare.ReadWrite | FileShare.Delete)));

    private string PathOf(string name) => FilePath.Combine(Path, name);
}
