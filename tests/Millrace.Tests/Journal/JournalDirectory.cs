using System.Text;
using Microsoft.Extensions.Logging;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Embedded;
using Millrace.Embedded.Journal;
using Millrace.Embedded.Storage;

namespace Millrace.Tests.Journal;

/// <summary>A data directory of one test, deleted afterwards, and what the tests do with it.</summary>
internal sealed class JournalDirectory : IDisposable
{
    public string Path { get; } = Directory.CreateTempSubdirectory("millrace-journal-").FullName;

    public string SegmentPath => System.IO.Path.Combine(Path, JournalFormat.SegmentFileName(1));

    /// <summary>What the last <see cref="Open"/> replayed, as text.</summary>
    public List<string> Replayed { get; } = [];

    public StreamJournal Open(SyncPolicy sync = SyncPolicy.EverySecond, TimeProvider? time = null, ILogger? logger = null)
    {
        Replayed.Clear();
        return StreamJournal.Open(
            DiskDevice.Open(Path),
            new() { Sync = sync },
            time ?? TimeProvider.System,
            logger ?? NullLogger.Instance,
            record => Replayed.Add(Encoding.UTF8.GetString(record.Span)));
    }

    /// <summary>Writes records and closes; returns the offset of each, and the file's length behind them.</summary>
    public async Task<long[]> WriteAsync(params string[] records)
    {
        var offsets = new long[records.Length + 1];
        offsets[0] = JournalFormat.SegmentHeaderBytes;
        await using var journal = Open();
        for (var i = 0; i < records.Length; i++)
        {
            await journal.WhenDurableAsync(journal.Append(Encoding.UTF8.GetBytes(records[i])));
            offsets[i + 1] = new FileInfo(SegmentPath).Length;
        }

        return offsets;
    }

    public void Dispose() => Directory.Delete(Path, recursive: true);
}
