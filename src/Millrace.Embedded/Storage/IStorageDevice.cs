namespace Millrace.Embedded.Storage;

/// <summary>
/// What the journal asks of a data directory: the only seam below it, with the disk and the simulated device of the tests on the other side.
/// </summary>
/// <remarks>
/// Names are plain file names inside that one directory. Every failure is an <see cref="IOException"/>, and
/// <see cref="StorageFullException"/> when there is no room; what a failed write or sync left behind is unknown. Nothing is durable before it is
/// synced: bytes by their file, names by <see cref="SyncDirectory"/>. Disposing lets go of the directory's lock.
/// </remarks>
internal interface IStorageDevice : IDisposable
{
    /// <summary>The directory, for messages.</summary>
    string Path { get; }

    /// <summary>The names of all files, in no order.</summary>
    IReadOnlyList<string> List();

    /// <summary>Makes a new and empty file for reading and writing, in place of what a crash left under the name.</summary>
    IStorageFile Create(string name);

    /// <summary>Opens a file that is there.</summary>
    IStorageFile Open(string name, bool writable);

    /// <summary>Renames a file and replaces the one that has the name. Who has the file open keeps it. Durable after <see cref="SyncDirectory"/>.</summary>
    void Rename(string from, string to);

    /// <summary>Deletes a file. Durable after <see cref="SyncDirectory"/>.</summary>
    void Delete(string name);

    /// <summary>Makes created, renamed and deleted names durable.</summary>
    void SyncDirectory();

    /// <summary>Whether the directory is still ours: whether the fencing epoch in <c>LOCK</c> is the one this device wrote when it was opened.</summary>
    bool HoldsLock();
}
