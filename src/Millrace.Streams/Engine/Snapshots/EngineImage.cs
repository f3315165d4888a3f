using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Snapshots;

/// <summary>An engine as it was at a moment. Nothing that is applied to the engine later changes it, so that it is written without a lock.</summary>
/// <param name="newestMs">The latest moment at which anything was applied.</param>
/// <param name="lastVersion">The version last given to a state document.</param>
/// <param name="options">The settings, of its own.</param>
/// <param name="databases">The keys of each database.</param>
internal sealed class EngineImage(long newestMs, long lastVersion, EngineOptions options, CapturedKey[][] databases)
{
    /// <summary>Keys of all databases.</summary>
    public long KeyCount => databases.Sum(static keys => keys.LongLength);

    /// <summary>Writes everything but the version of the format, as <see cref="SnapshotWriter"/> draws it.</summary>
    public void Write(RecordWriter writer)
    {
        writer.Number(newestMs);
        writer.Number(lastVersion);
        writer.Number(options.StreamNodeMaxEntries);
        writer.Number(options.StreamIdmpDurationSeconds);
        writer.Number(options.StreamIdmpMaxSize);
        foreach (var keys in databases)
        {
            writer.Number(keys.Length);
            foreach (var (key, expiresMs, value) in keys)
            {
                writer.Text(key);
                writer.OptionalNumber(expiresMs);
                writer.Byte((byte)value.Kind);
                value.WriteSnapshot(writer);
            }
        }
    }
}

/// <summary>A key of an image. The value knows neither, as both may have changed since.</summary>
internal readonly record struct CapturedKey(string Key, long? ExpiresMs, KeyspaceValue Value);
