using Microsoft.Win32.SafeHandles;
using Millrace.Embedded.Journal;
using Millrace.Embedded.Storage;
using Millrace.Streams;
using Millrace.Streams.Engine.Snapshots;

namespace Millrace.Embedded.Inspection;

/// <summary>Brings what is whole in a directory to another one, as a snapshot and an empty segment behind it. The first one is only read.</summary>
internal static class DirectorySalvage
{
    /// <param name="source">The directory; nobody may have it open.</param>
    /// <param name="target">Where the copy goes: new or empty.</param>
    /// <param name="skipDamage">Whether to keep the whole records behind damage as far as they still apply.</param>
    /// <exception cref="StreamException">The directory is in use, or nothing in it can be read.</exception>
    /// <exception cref="IOException">A file cannot be read or written, or the target is not empty.</exception>
    public static SalvageReport Run(string source, string target, bool skipDamage)
    {
        source = DataDirectory.List(source).Path;
        target = Path.TrimEndingDirectorySeparator(Path.GetFullPath(target));
        if ((target + Path.DirectorySeparatorChar).StartsWith(source + Path.DirectorySeparatorChar, StringComparison.Ordinal))
            throw new IOException($"'{target}' is inside '{source}', which is not to be touched. Give a directory elsewhere.");
        if (Directory.Exists(target) && Directory.EnumerateFileSystemEntries(target).Any())
            throw new IOException($"'{target}' is not empty. Give a directory that is new or empty.");

        using var hold = Hold(source);
        var report = DirectorySurvey.Read(source);
        var replay = StateReplay.Run(report, skipDamage);
        if (report.LastLsn == 0 || (replay.Applied == 0 && replay.Engine.Databases.All(static keys => keys.Count == 0)))
            throw new StreamException(StreamErrorCode.Corrupt, $"Nothing in '{source}' can be read{Why(replay)}. '{target}' was not made.");

        replay.Engine.Verify();
        Write(target, report.LastLsn, replay);
        return new()
        {
            Directory = source,
            Target = target,
            Keys = replay.Engine.Databases.Sum(static keys => (long)keys.Count),
            Applied = replay.Applied,
            LeftOut = WithTail(replay.LeftOut, report.Tail),
        };
    }

    private static string Why(StateReplay replay) => replay.LeftOut is [var first, ..] ? $": {first.Why.TrimEnd('.')}" : "";

    private static IReadOnlyList<LeftOut> WithTail(IReadOnlyList<LeftOut> leftOut, TailReport? tail) => tail is null
        ? leftOut
        : [.. leftOut, new(tail.Lsn, tail.Lsn, $"{tail.File} ends there in {tail.Bytes} bytes of a write that was cut off, which a start leaves out, too.")];

    /// <summary>The segment first: until the snapshot is there, a start refuses what an interrupted salvage left.</summary>
    private static void Write(string target, long lastLsn, StateReplay replay)
    {
        using var device = DiskDevice.Open(target);
        using (var segment = JournalSegment.Make(device, 1, lastLsn + 1))
            segment.Publish(device);

        var name = JournalFiles.SnapshotName(lastLsn);
        using (var file = device.Create(name + JournalFiles.NewSuffix))
        {
            SnapshotFile.Write(
                file, lastLsn, SnapshotWriter.MaxPartBytes, emit => SnapshotWriter.Write(replay.Engine.Capture(), emit), CancellationToken.None);
            file.Sync();
        }

        device.Rename(name + JournalFiles.NewSuffix, name);
        device.SyncDirectory();
    }

    /// <summary>Keeps a store from starting on the directory meanwhile, without writing a byte to its lock.</summary>
    private static SafeFileHandle? Hold(string directory)
    {
        var path = Path.Combine(directory, DataDirectory.LockName);
        if (!File.Exists(path))
            return null;
        try
        {
            return File.OpenHandle(path, FileMode.Open, FileAccess.Read, FileShare.None);
        }
        catch (IOException e)
        {
            throw new StreamException(
                StreamErrorCode.Locked, $"The data directory '{directory}' is in use by {DirectoryLock.ReadHolder(path)}. Stop that process first.", e);
        }
    }
}
