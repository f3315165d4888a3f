using Millrace.Embedded;
using Millrace.Streams.Engine;

namespace Millrace.Server.Commands.Admin;

/// <summary>Every setting there is, by name: what programs ask for, and what a running server can change.</summary>
internal static class Settings
{
    /// <summary>Commands the slow log may be told to keep: each is a few kilobytes at most.</summary>
    private const long MaxSlowCommands = 100_000;

    public static Setting[] All { get; } =
    [
        new("aclfile", static server => server.Options.UsersFile ?? ""),
        Setting.Number(
            "acllog-max-len",
            0,
            int.MaxValue,
            static server => server.Access.Log.MaxEntries,
            static (server, value) => server.Access.Log.MaxEntries = (int)value),
        new("appendfsync", static server => server.Store.Sync switch { SyncPolicy.Always => "always", SyncPolicy.Never => "no", _ => "everysec" }),
        new("appendonly", static server => server.Store.IsDurable ? "yes" : "no"),
        new("bind", static server => server.Endpoint.Address.ToString()),
        new("client-output-buffer-limit", static server => OutputLimits(server.Options.MaxOutputBytes)),
        new("client-query-buffer-limit", static server => Setting.Text(server.Options.MaxCommandBytes)),
        Setting.Fixed("cluster-enabled", "no"),
        Setting.Fixed("databases", Setting.Text(StreamEngine.DatabaseCount)),
        Setting.Number(
            "latency-monitor-threshold",
            0,
            long.MaxValue,
            static server => server.Statistics.Latency.LeastMilliseconds,
            static (server, value) => server.Statistics.Latency.LeastMilliseconds = value),
        Setting.Number(
            "maxclients", 1, int.MaxValue, static server => server.Options.MaxClients, static (server, value) => server.Options.MaxClients = (int)value),
        Setting.Bytes(
            "maxmemory",
            0,
            long.MaxValue,
            static server => server.Store.MaxMemoryBytesNeedsLock,
            static (server, value) => server.Store.MaxMemoryBytesNeedsLock = value),
        Setting.Fixed("maxmemory-policy", "noeviction"),
        Setting.Fixed("notify-keyspace-events", ""),
        new("port", static server => Setting.Text(server.Endpoint.Port)),
        Setting.Bytes(
            "proto-max-bulk-len",
            1024 * 1024,
            int.MaxValue,
            static server => server.Options.MaxBulkBytes,
            static (server, value) => server.Options.MaxBulkBytes = (int)value),
        Setting.Fixed("replica-read-only", "yes"),
        new("requirepass", static server => server.Options.Password ?? "")
        {
            Check = static text => (null, (server, _) => server.Access.SetDefaultPassword(text)),
        },
        Setting.Fixed("save", ""),
        Setting.Fixed("slave-read-only", "yes"),
        Setting.Number(
            "slowlog-log-slower-than",
            -1,
            long.MaxValue,
            static server => server.Statistics.SlowLog.LeastMicroseconds,
            static (server, value) => server.Statistics.SlowLog.LeastMicroseconds = value),
        Setting.Number(
            "slowlog-max-len",
            0,
            MaxSlowCommands,
            static server => server.Statistics.SlowLog.MaxCount,
            static (server, value) => server.Statistics.SlowLog.MaxCount = value),
        Setting.OfEngine(
            "stream-idmp-duration",
            EngineOption.StreamIdmpDurationSeconds,
            1,
            EngineOptions.LongestIdmpDurationSeconds,
            static engine => engine.StreamIdmpDurationSeconds),
        Setting.OfEngine(
            "stream-idmp-maxsize", EngineOption.StreamIdmpMaxSize, 1, EngineOptions.LargestIdmpMaxSize, static engine => engine.StreamIdmpMaxSize),

        // Taken because scripts written for Redis set it, and only kept: bytes never close a block below 64 KiB, and always do there.
        Setting.Bytes(
            "stream-node-max-bytes", 0, long.MaxValue, static server => server.NodeMaxBytes, static (server, value) => server.NodeMaxBytes = value),
        Setting.OfEngine("stream-node-max-entries", EngineOption.StreamNodeMaxEntries, 0, long.MaxValue, static engine => engine.StreamNodeMaxEntries),
        Setting.Number(
            "timeout",
            0,
            int.MaxValue,
            static server => (long)server.Options.IdleTimeout.TotalSeconds,
            static (server, value) => server.SetIdleTimeout(TimeSpan.FromSeconds(value))),
    ];

    /// <summary>Finds a setting by its name in any case.</summary>
    public static Setting? Find(string name) => Array.Find(All, setting => setting.Name.Equals(name, StringComparison.OrdinalIgnoreCase));

    /// <summary>One limit for all: hard, at once, the same for every kind of client.</summary>
    private static string OutputLimits(long bytes) => $"normal {bytes} 0 0 slave {bytes} 0 0 pubsub {bytes} 0 0";
}
