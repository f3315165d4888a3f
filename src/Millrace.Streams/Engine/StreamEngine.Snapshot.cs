using Millrace.Streams.Engine.Records;
using Millrace.Streams.Engine.Snapshots;

namespace Millrace.Streams.Engine;

/// <summary>The whole engine as it is at a moment, and made again.</summary>
internal sealed partial class StreamEngine
{
    /// <summary>
    /// Everything as it is now, whatever is applied later. Copies what can change and is small, and shares blocks of entries and chunks of pending
    /// ones until they change: a million keys take tens of milliseconds, what is in them hardly counts.
    /// </summary>
    public EngineImage Capture() => new(NewestMs, _lastVersion, Options.Clone(), [.. _databases.Select(Capture)]);

    private static CapturedKey[] Capture(Keyspace keyspace)
    {
        var keys = new CapturedKey[keyspace.Count];
        for (int slot = 0, at = 0; at < keys.Length; slot++)
        {
            // In this order, a scan finds them as before.
            if (keyspace.InSlot(slot) is { } value)
                keys[at++] = new(value.Key, value.ExpiresMs, value.Capture());
        }

        return keys;
    }

    /// <summary>Reads what <see cref="EngineImage.Write"/> wrote into an engine that is new.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>; the engine is of no use then.</exception>
    public void Restore(ref RecordReader reader)
    {
        NewestMs = reader.PositiveNumber();
        _lastVersion = reader.PositiveNumber();
        Options.StreamNodeMaxEntries = reader.PositiveNumber();
        Options.StreamIdmpDurationSeconds = reader.PositiveNumber();
        Options.StreamIdmpMaxSize = reader.PositiveNumber();
        for (var number = 0; number < DatabaseCount; number++)
        {
            Select(number);
            for (var left = reader.PositiveNumber(); left > 0; left--)
                RestoreKey(ref reader);
        }

        Select(0);
    }

    private void RestoreKey(ref RecordReader reader)
    {
        var (key, expiresMs, kind) = (reader.Text(), reader.OptionalNumber(), (ValueKind)reader.Byte());
        if (Keyspace.ContainsKey(key))
            throw EngineErrors.Damaged("a key comes twice", 0);
        var value = kind == ValueKind.Stream ? StreamValue.ReadSnapshot(ref reader) : ValueRecord.ReadSimple(kind, ref reader);
        value.ExpiresMs = expiresMs;
        AddKey(key, value);
    }
}
