using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Streams.Engine.Mutations;
using Millrace.Tests.Embedded;

namespace Millrace.Tests.Journal;

/// <summary>What a sample has been through.</summary>
public enum SampleKind
{
    /// <summary>Several segments, no snapshot, and the store was closed.</summary>
    Closed,

    /// <summary>The same, and the process was killed with writes that were never synced.</summary>
    Killed,

    /// <summary>A snapshot, several segments behind it, closed.</summary>
    SnapshotClosed,

    /// <summary>The same, killed.</summary>
    SnapshotKilled,
}

/// <summary>A data directory that a real store wrote on disk, in small segments, with what it held after each record.</summary>
internal sealed class SampleDirectory : IDisposable
{
    private readonly JournalDirectory _work = new();
    private readonly JournalDirectory _sample = new();
    private readonly Dictionary<long, string> _digests = [];

    /// <summary>The sizes it was written with.</summary>
    public static JournalSizes Sizes => new(SegmentBytes: 2_048, FrameBytes: 512);

    /// <summary>The directory. Not to be opened: take a <see cref="Copy"/>.</summary>
    public string Path => _sample.Path;

    public long LastLsn { get; private set; }

    /// <summary>Everything up to here was synced, and several frames say so.</summary>
    public long SyncedLsn { get; private set; }

    /// <summary>The last record that the snapshot covers, or 0.</summary>
    public long SnapshotLsn { get; private set; }

    /// <summary>The state after a record.</summary>
    public string DigestAt(long lsn) => _digests[lsn];

    /// <summary>The record after which the state was this one, or null: it never was.</summary>
    public long? LsnOf(string digest) => _digests.FirstOrDefault(item => item.Value == digest) is { Value: not null } found ? found.Key : null;

    public static async Task<SampleDirectory> WriteAsync(SampleKind kind)
    {
        var sample = new SampleDirectory();
        await sample.FillAsync(
            isKilled: kind is SampleKind.Killed or SampleKind.SnapshotKilled,
            hasSnapshot: kind is SampleKind.SnapshotClosed or SampleKind.SnapshotKilled);
        return sample;
    }

    /// <summary>A store on a directory, with a clock that stands still and nobody to sync.</summary>
    public static EmbeddedStreamStore Open(string path, ListLogger? log = null, ManualTime? time = null) => new(
        new() { Directory = path, Journal = new() { SegmentBytes = Sizes.SegmentBytes, FrameBytes = Sizes.FrameBytes } },
        time ?? new ManualTime(),
        log,
        openDevice: null);

    /// <summary>A copy to break.</summary>
    public JournalDirectory Copy()
    {
        var copy = new JournalDirectory();
        CopyTo(copy.Path);
        return copy;
    }

    public void CopyTo(string path)
    {
        foreach (var file in Directory.EnumerateFiles(Path))
            File.Copy(file, System.IO.Path.Combine(path, System.IO.Path.GetFileName(file)));
    }

    public void Dispose()
    {
        _work.Dispose();
        _sample.Dispose();
    }

    private async Task FillAsync(bool isKilled, bool hasSnapshot)
    {
        var time = new ManualTime();
        await using (var store = Open(_work.Path, time: time))
        {
            await store.OpenAsync(TestContext.Current.CancellationToken);
            _digests[0] = StateDigest.Of(store);
            var script = new EveryMutation(store, time) { Applied = () => _digests[LastLsn = store.LastLsnNeedsLock] = StateDigest.Of(store) };
            await script.RunAsync();
            if (hasSnapshot)
            {
                await SaveAsync(store);
                SnapshotLsn = LastLsn;
            }

            await AppendAsync(script, 40);
            await store.SyncAsync(LastLsn);
            SyncedLsn = LastLsn;
            await AppendAsync(script, 8);
            if (isKilled)
                CopyFiles();
        }

        if (isKilled)
            return;
        SyncedLsn = LastLsn;
        CopyFiles();
    }

    private static async Task AppendAsync(EveryMutation script, int count)
    {
        for (var i = 0; i < count; i++)
            await script.ApplyAsync<Append, EntryId>(new("orders", EntryFields.Create(("n", $"{i}"), ("text", new string('x', i * 3)))));
    }

    /// <summary>Writes a snapshot, and waits until it is current.</summary>
    public static async Task SaveAsync(EmbeddedStreamStore store)
    {
        Task saving;
        store.EnterTurnBesidesTime();
        try
        {
            saving = store.SaveNeedsLock();
        }
        finally
        {
            store.ExitTurn();
        }

        await saving;
    }

    /// <summary>The lock cannot be read while it is held; another holder's does as well.</summary>
    private void CopyFiles()
    {
        foreach (var file in Directory.EnumerateFiles(_work.Path).Where(static file => !file.EndsWith("LOCK", StringComparison.Ordinal)))
            File.Copy(file, System.IO.Path.Combine(Path, System.IO.Path.GetFileName(file)));
        File.WriteAllText(System.IO.Path.Combine(Path, "LOCK"), "process 1 on nowhere\nepoch 0123456789abcdef\n");
    }

    /// <summary>Sizes of a journal.</summary>
    internal readonly record struct JournalSizes(long SegmentBytes, int FrameBytes);
}
