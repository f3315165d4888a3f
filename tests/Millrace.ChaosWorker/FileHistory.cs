using System.Diagnostics;
using System.Text.Json;
using System.Text.Json.Serialization;

namespace Millrace.ChaosWorker;

/// <summary>
/// One JSON line for each event, in a file of one process, written before the next thing happens: a kill -9 can cut the last line off, no other.
/// The clock is the machine's, so that the files of several processes fit together.
/// </summary>
public sealed class FileHistory(string path) : IHistory, IDisposable
{
    private static readonly JsonSerializerOptions Json = new()
    {
        DefaultIgnoreCondition = JsonIgnoreCondition.WhenWritingDefault,
        Converters = { new JsonStringEnumConverter() },
    };

    private readonly Lock _lock = new();
    private readonly FileStream _file = new(path, FileMode.Append, FileAccess.Write, FileShare.ReadWrite, bufferSize: 0);

    public double NowMs => Stopwatch.GetTimestamp() * 1_000d / Stopwatch.Frequency;

    public void Add(HistoryEvent happened)
    {
        var line = (byte[])[.. JsonSerializer.SerializeToUtf8Bytes(happened, Json), (byte)'\n'];
        lock (_lock)
            _file.Write(line);
    }

    /// <summary>Reads the file of a process that has ended.</summary>
    public static IReadOnlyList<HistoryEvent> Read(string path)
    {
        var text = File.ReadAllText(path);
        var lines = text.Split('\n');

        // What follows the last line break is a line that was cut off, or nothing.
        return [.. lines.SkipLast(1).Select(line => JsonSerializer.Deserialize<HistoryEvent>(line, Json)!)];
    }

    public void Dispose() => _file.Dispose();
}
