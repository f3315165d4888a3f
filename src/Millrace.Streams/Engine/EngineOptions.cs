namespace Millrace.Streams.Engine;

/// <summary>
/// Settings that change what mutations do, with Redis's names, defaults and bounds. Part of the engine's state: a change is a mutation
/// (<see cref="Mutations.SetOption"/>), so that replay gives the same blocks and trims the same entries.
/// </summary>
internal sealed class EngineOptions
{
    /// <summary>The most that <see cref="StreamIdmpDurationSeconds"/>, also of a single stream, may be: a day.</summary>
    public const long LongestIdmpDurationSeconds = 86_400;

    /// <summary>The most that <see cref="StreamIdmpMaxSize"/>, also of a single stream, may be.</summary>
    public const long LargestIdmpMaxSize = 10_000;

    /// <summary><c>stream-node-max-entries</c>: entries a block holds, deleted ones included; 0 for no limit. Default 100.</summary>
    public long StreamNodeMaxEntries { get; set; } = 100;

    /// <summary><c>stream-idmp-duration</c>: seconds a new stream remembers an idempotent ID. Default 100.</summary>
    public long StreamIdmpDurationSeconds { get; set; } = 100;

    /// <summary><c>stream-idmp-maxsize</c>: idempotent IDs a new stream remembers of one producer. Default 100.</summary>
    public long StreamIdmpMaxSize { get; set; } = 100;

    /// <summary><see cref="StreamNodeMaxEntries"/> as <see cref="EntryLog.Append"/> takes it.</summary>
    public int BlockEntries => (int)Math.Min(StreamNodeMaxEntries, int.MaxValue);

    /// <summary>Entries that approximate trimming without a LIMIT removes at most: 100 blocks, between one entry and a million.</summary>
    public long DefaultTrimLimit => StreamNodeMaxEntries == 0 ? 10_000 : Math.Clamp(StreamNodeMaxEntries * 100, 1, 1_000_000);

    public EngineOptions Clone() => (EngineOptions)MemberwiseClone();
}

/// <summary>The options by number, as the journal keeps them. Never reuse one.</summary>
internal enum EngineOption : byte
{
    StreamNodeMaxEntries = 1,
    StreamIdmpDurationSeconds = 2,
    StreamIdmpMaxSize = 3,
}
