using Microsoft.Extensions.Logging;
using Millrace.Embedded.Storage;
using Millrace.Streams;

namespace Millrace.Embedded.Journal;

/// <summary>
/// Decides what a bad frame is, and takes a torn tail out of the journal. Records that a frame behind the bad one, in its segment or a later one, calls
/// synced were acknowledged: their loss is damage. Otherwise no policy has promised them, and all from the bad frame on goes: whole frames behind
/// it, too, which the device has written in another order.
/// </summary>
internal sealed class TornTail(IStorageDevice device, ILogger logger)
{
    /// <summary>As many files are kept aside, for a person to look at; the oldest go first. 512 MiB with segments of the usual size.</summary>
    private const int KeptFiles = 8;

    private const int CopyBytes = 1024 * 1024;

    /// <summary>Cuts the journal off where the reader stands.</summary>
    /// <param name="reader">In front of the bad frame.</param>
    /// <param name="file">Its segment.</param>
    /// <param name="lsn">The record that is missing.</param>
    /// <param name="snapshotLsn">The last record that the snapshot covers; it was published after they were synced.</param>
    /// <param name="later">The segments behind.</param>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>: it is damage. Nothing was changed.</exception>
    public void Cut(FrameReader reader, IStorageFile file, long lsn, long snapshotLsn, List<FileHeader> later)
    {
        if (lsn <= snapshotLsn)
            throw Damaged(reader, lsn, $"the snapshot was made after record {snapshotLsn} had been synced");
        if (reader.FindSynced(lsn) is { } here)
            throw Damaged(reader, lsn, $"the frame at offset {here.Offset} says that all up to record {here.Frame.SyncedLsn} had been synced");
        foreach (var header in later)
            RefuseIfSynced(reader, lsn, JournalFiles.SegmentName(header.Number));

        var offset = reader.Offset;
        var bytes = reader.FileLength - offset;
        var keptBytes = SetAside(file, reader.Header.Number, offset, bytes);

        // The last first, each durably: whatever a crash leaves is a row without a hole that ends in the same torn tail.
        for (var i = later.Count - 1; i >= 0; i--)
        {
            var name = JournalFiles.SegmentName(later[i].Number);
            device.Rename(name, name + JournalFiles.SetAsideSuffix);
            device.SyncDirectory();
        }

        file.SetLength(offset);
        file.Sync();
        DeleteOldest();
        JournalLog.TornTailTruncated(logger, reader.Path, bytes, offset, lsn - 1, keptBytes, later.Count, device.Path);
    }

    private void RefuseIfSynced(FrameReader bad, long lsn, string name)
    {
        using var file = device.Open(name, writable: false);
        var reader = new FrameReader(file, isSnapshot: false, JournalFiles.PathOf(device, name));
        if (reader.FindSynced(lsn) is { } found)
            throw Damaged(
                bad, lsn, $"the frame at offset {found.Offset} of '{reader.Path}' says that all up to record {found.Frame.SyncedLsn} had been synced");
    }

    /// <summary>Copies the tail into a file of its own. On a full disk it is let go: recovery needs room for nothing else.</summary>
    /// <returns>Bytes that are kept.</returns>
    private long SetAside(IStorageFile file, long segment, long offset, long bytes)
    {
        if (bytes == 0)
            return 0;

        var name = $"{JournalFiles.SegmentName(segment)}.{offset}{JournalFiles.SetAsideSuffix}";
        try
        {
            using var aside = device.Create(name);
            var buffer = new byte[(int)Math.Min(CopyBytes, bytes)];
            for (long copied = 0; copied < bytes;)
            {
                var read = file.Read(buffer, offset + copied);
                if (read == 0)
                    break;
                aside.Write(buffer.AsSpan(0, read), copied);
                copied += read;
            }

            aside.Sync();
            device.SyncDirectory();
            return bytes;
        }
        catch (StorageFullException exception)
        {
            JournalLog.NotSetAside(logger, JournalFiles.PathOf(device, name), exception.Message, exception);
            device.Delete(name);
            return 0;
        }
    }

    private void DeleteOldest()
    {
        var names = device.List().Where(static name => name.EndsWith(JournalFiles.SetAsideSuffix, StringComparison.Ordinal)).Order(StringComparer.Ordinal);
        foreach (var name in names.SkipLast(KeptFiles).ToList())
            device.Delete(name);
    }

    private static StreamException Damaged(FrameReader reader, long lsn, string evidence) => new(
        StreamErrorCode.Corrupt,
        $"The journal '{reader.Path}' is damaged at offset {reader.Offset}: record {lsn} is missing or fails its checksum, and {evidence}. " +
        $"Nothing was changed. {JournalRecovery.Advice(reader.Path)}");
}
