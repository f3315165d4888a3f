using System.Text.Json;
using System.Text.Json.Serialization.Metadata;

namespace Shop.Fakes;

/// <summary>
/// The books of a fake: one JSON record a line, only ever appended. Several processes may keep the same books, and any of them may be
/// killed at any moment: each call holds the file alone, reads what others wrote since, and adds its record in one write. A line
/// without its end was cut off by a kill before its call was answered; the next call removes it.
/// </summary>
public sealed class RecordFile<TRecord>(string path, JsonTypeInfo<TRecord> type, Action<TRecord> fold, TimeProvider time)
{
    // Another process keeps the file for well under a millisecond; who waits this long is waiting for something that is broken.
    private static readonly TimeSpan LockTimeout = TimeSpan.FromSeconds(10);
    private static readonly TimeSpan LockRetryDelay = TimeSpan.FromMilliseconds(2);

    private readonly SemaphoreSlim _oneCall = new(1);

    // Bytes of the file that were folded; everything before it is whole lines.
    private long _foldedBytes;

    /// <summary>Makes one entry. All earlier ones, of every process, were folded when <paramref name="decide"/> runs.</summary>
    public async Task<TRecord> AddAsync(Func<TRecord> decide, CancellationToken cancellationToken)
    {
        await _oneCall.WaitAsync(cancellationToken);
        try
        {
            using var file = await OpenAloneAsync(cancellationToken);
            FoldNew(file);
            var record = decide();
            byte[] line = [.. JsonSerializer.SerializeToUtf8Bytes(record, type), (byte)'\n'];
            RandomAccess.Write(file.SafeFileHandle, line, _foldedBytes);
            _foldedBytes += line.Length;
            fold(record);
            return record;
        }
        finally
        {
            _oneCall.Release();
        }
    }

    /// <summary>Reads all whole records of a file without locking it; none when there is no file.</summary>
    public static IReadOnlyList<TRecord> ReadAll(string path, JsonTypeInfo<TRecord> type)
    {
        if (!File.Exists(path))
            return [];

        using var file = new FileStream(path, FileMode.Open, FileAccess.Read, FileShare.ReadWrite);
        var records = new List<TRecord>();
        ReadLines(file, 0, type, records.Add);
        return records;
    }

    private void FoldNew(FileStream file)
    {
        if (file.Length == _foldedBytes)
            return;

        _foldedBytes += ReadLines(file, _foldedBytes, type, fold);
        if (file.Length > _foldedBytes)
            file.SetLength(_foldedBytes);
    }

    /// <summary>Hands out every whole line from an offset on; returns their bytes.</summary>
    private static int ReadLines(FileStream file, long offset, JsonTypeInfo<TRecord> type, Action<TRecord> use)
    {
        var bytes = new byte[file.Length - offset];
        var length = RandomAccess.Read(file.SafeFileHandle, bytes, offset);
        var done = 0;
        for (int end; (end = bytes.AsSpan(done, length - done).IndexOf((byte)'\n')) >= 0; done += end + 1)
        {
            use(JsonSerializer.Deserialize(bytes.AsSpan(done, end), type)
                ?? throw new InvalidDataException($"{file.Name} has an empty record at byte {offset + done}."));
        }

        return done;
    }

    private async Task<FileStream> OpenAloneAsync(CancellationToken cancellationToken)
    {
        var started = time.GetTimestamp();
        while (true)
        {
            try
            {
                return new FileStream(path, FileMode.OpenOrCreate, FileAccess.ReadWrite, FileShare.None, bufferSize: 0);
            }
            catch (IOException) when (File.Exists(path) && time.GetElapsedTime(started) < LockTimeout)
            {
                // .NET has no blocking file lock. Only another process can be in the way here, and only for one short call.
                await Task.Delay(LockRetryDelay, time, cancellationToken);
            }
        }
    }
}
