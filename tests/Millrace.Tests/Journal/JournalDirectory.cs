using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Embedded;
using Millrace.Embedded.Journal;
using Millrace.Embedded.Storage;

namespace Millrace.Tests.Journal;

/// <summary>A data directory of one test, deleted afterwards, and what the tests do with it.</summary>
internal sealed class JournalDirectory : IDisposable, IJournalReplay
{
    public string Path { get; } = Directory.CreateTempSubdirectory("millrace-journal-").FullName;

    public string SegmentPath => PathOf(1);

    /// <summary>What the last <see cref="Open"/> replayed, as text.</summary>
    public List<string> Replayed { get; } = [];

    /// <summary>The parts of the snapshot that the last <see cref="Open"/> read, as text; the end as a full stop.</summary>
    public List<string> Parts { get; } = [];

    public string PathOf(long segment) => System.IO.Path.Combine(Path, JournalFiles.SegmentName(segment));

    public string[] FileNames => [.. Directory.GetFiles(Path).Select(file => System.IO.Path.GetFileName(file)).Order(StringComparer.Ordinal)];

    public StreamJournal Open(
        SyncPolicy sync = SyncPolicy.EverySecond,
        TimeProvider? time = null,
        ILogger? logger = null,
        JournalOptions? options = null,
        IStorageDevice? device = null)
    {
        Replayed.Clear();
        Parts.Clear();
        return StreamJournal.Open(
            device ?? DiskDevice.Open(Path),
            (options ?? new()) with { Sync = sync, Aside = static work => work() },
            time ?? TimeProvider.System,
            logger ?? NullLogger.Instance,
            this);
    }

    /// <summary>Writes records, each in a frame of its own, and closes; returns the offset of each, and the one of the mark behind them.</summary>
    public async Task<long[]> WriteAsync(params string[] records)
    {
        var offsets = new long[records.Length + 1];
        offsets[0] = JournalFormat.FileHeaderBytes;
        await using var journal = Open();
        for (var i = 0; i < records.Length; i++)
        {
            await journal.WhenDurableAsync(journal.Append(Encoding.UTF8.GetBytes(records[i])));
            offsets[i + 1] = new FileInfo(SegmentPath).Length;
        }

        return offsets;
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);

    void IJournalReplay.Snapshot(IEnumerable<ReadOnlyMemory<byte>> parts)
    {
        Parts.AddRange(parts.Select(static part => Encoding.UTF8.GetString(part.Span)));
        Parts.Add(".");
    }

    void IJournalReplay.Record(ReadOnlySpan<byte> record) => Replayed.Add(Encoding.UTF8.GetString(record));
}
