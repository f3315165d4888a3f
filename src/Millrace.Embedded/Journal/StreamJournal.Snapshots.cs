using Millrace.Embedded.Storage;

namespace Millrace.Embedded.Journal;

/// <summary>
/// Snapshots: a file that stands for all records up to one, so that the segments before it can go. The store captures its engine under its lock
/// (<see cref="BeginSnapshot"/>) and publishes the parts outside of it, while writes go on. One at a time.
/// </summary>
internal sealed partial class StreamJournal
{
    /// <summary>Bytes of the records behind the last snapshot begun.</summary>
    private long _bytesSinceSnapshot;

    /// <summary>Bytes of records since the last snapshot was begun, or found at recovery.</summary>
    public long BytesSinceSnapshot => Volatile.Read(ref _bytesSinceSnapshot);

    /// <summary>The last record that the newest snapshot covers; zero: there is none.</summary>
    public long SnapshotLsn { get; private set; }

    /// <summary>Bytes of the newest snapshot; zero: there is none.</summary>
    public long SnapshotBytes { get; private set; }

    /// <summary>
    /// Under the store's lock, together with the capture: the next record begins a new segment, and <see cref="BytesSinceSnapshot"/> starts again.
    /// </summary>
    /// <returns>The last record that the snapshot covers.</returns>
    public long BeginSnapshot()
    {
        lock (_gate)
        {
            _filling.BeginSegment();
            _bytesSinceSnapshot = 0;
            return _appendedLsn;
        }
    }

    /// <summary>
    /// Writes a snapshot aside, syncs the journal up to what it covers, makes it the current one, and deletes what it replaces. Runs on the
    /// caller's thread, apart from waiting for the journal; costs reading and writing its size, and three syncs.
    /// </summary>
    /// <param name="coveredLsn">What <see cref="BeginSnapshot"/> returned; above zero.</param>
    /// <param name="writeParts">
    /// Hands over the parts in order, each with a call, after which its memory is not needed any more, and each at most
    /// <see cref="JournalFormat.MaxRecordBytes"/>.
    /// </param>
    /// <param name="cancellationToken">Gives up between two parts; the journal is as it was.</param>
    /// <exception cref="IOException">The snapshot could not be written; the journal is as it was, and takes records.</exception>
    /// <exception cref="Streams.StreamException">The journal takes no more records.</exception>
    public async Task PublishSnapshotAsync(
        long coveredLsn, Action<Action<ReadOnlyMemory<byte>>> writeParts, CancellationToken cancellationToken = default)
    {
        var name = JournalFiles.SnapshotName(coveredLsn);
        var temporary = name + JournalFiles.NewSuffix;
        long length;
        try
        {
            using (var file = _device.Create(temporary))
            {
                length = SnapshotFile.Write(file, coveredLsn, _options.FrameBytes, writeParts, cancellationToken);
                await SyncAsync(coveredLsn).ConfigureAwait(false);
                file.Sync();
            }

            _device.Rename(temporary, name);
        }
        catch
        {
            DeleteFailedSnapshot(temporary);
            throw;
        }

        _device.SyncDirectory();
        (SnapshotLsn, SnapshotBytes) = (coveredLsn, length);
        DeleteCovered(coveredLsn);
    }

    /// <summary>A disk that is full must not stay so for a file that nobody needs.</summary>
    private void DeleteFailedSnapshot(string name)
    {
        try
        {
            _device.Delete(name);
        }
        catch (IOException exception)
        {
            JournalLog.NotDeleted(_logger, JournalFiles.PathOf(_device, name), exception.Message, exception);
        }
    }

    /// <summary>The oldest first, so that what a crash leaves is one row of segments without a hole.</summary>
    private void DeleteCovered(long coveredLsn)
    {
        foreach (var older in JournalFiles.Snapshots(_device).Where(lsn => lsn < coveredLsn))
            _device.Delete(JournalFiles.SnapshotName(older));

        List<SegmentSpan> covered = [];
        lock (_gate)
        {
            while (covered.Count + 1 < _segments.Count && _segments[covered.Count + 1].FirstLsn <= coveredLsn + 1)
                covered.Add(_segments[covered.Count]);
            _segments.RemoveRange(0, covered.Count);
        }

        foreach (var segment in covered)
            _device.Delete(JournalFiles.SegmentName(segment.Number));
        _device.SyncDirectory();
        JournalLog.SnapshotPublished(_logger, JournalFiles.PathOf(_device, JournalFiles.SnapshotName(coveredLsn)), SnapshotBytes, covered.Count);
    }
}
