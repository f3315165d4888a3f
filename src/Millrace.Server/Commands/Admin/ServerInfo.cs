using System.Globalization;
using System.Text;

namespace Millrace.Server.Commands.Admin;

/// <summary>The sections of <c>INFO</c>, with Redis's names, as far as there is something true to say.</summary>
internal static partial class ServerInfo
{
    private static readonly Section[] Sections =
    [
        new("Server", WriteServer),
        new("Clients", WriteClients),
        new("Memory", WriteMemory),
        new("Persistence", WritePersistence),
        new("Stats", WriteStatistics),
        new("Replication", WriteReplication),
        new("CPU", WriteProcessor),
        new("Modules", static (_, _, _) => { }),
        new("Commandstats", WriteCommands) { IsDefault = false },
        new("Errorstats", WriteErrors),
        new("Latencystats", WriteLatencies) { IsDefault = false },
        new("Cluster", static (text, _, _) => text.Append("cluster_enabled:0\r\n")),
        new("Keyspace", WriteKeyspace),
    ];

    public static void Run(ref CommandCall call)
    {
        var wanted = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        for (var i = 1; i < call.Count; i++)
            wanted.Add(call.Text(i));
        var isAll = wanted.Contains("all") || wanted.Contains("everything");
        var isDefault = wanted.Count == 0 || wanted.Contains("default");
        var text = new StringBuilder();
        foreach (var section in Sections)
        {
            if (!isAll && !(isDefault && section.IsDefault) && !wanted.Contains(section.Name))
                continue;
            if (text.Length > 0)
                text.Append("\r\n");
            text.Append("# ").Append(section.Name).Append("\r\n");
            section.Write(text, call.Server, call.NowMs);
        }

        call.WriteVerbatim(text.ToString());
    }

    private static void WriteServer(StringBuilder text, RespServer server, long nowMs)
    {
        var uptime = (nowMs - server.StartedMs) / 1000;
        Append(text, "redis_version", RespServer.RedisVersion);
        Append(text, "redis_mode", "standalone");
        Append(text, "os", Environment.OSVersion.VersionString);
        Append(text, "arch_bits", 64);
        Append(text, "process_id", Environment.ProcessId);
        Append(text, "run_id", server.RunId);
        Append(text, "tcp_port", server.Endpoint.Port);
        Append(text, "server_time_usec", nowMs * 1000);
        Append(text, "uptime_in_seconds", uptime);
        Append(text, "uptime_in_days", uptime / 86_400);
        Append(text, "config_file", "");
    }

    private static void WriteClients(StringBuilder text, RespServer server, long nowMs)
    {
        Append(text, "connected_clients", server.Clients.Count);
        Append(text, "cluster_connections", 0);
        Append(text, "maxclients", server.Options.MaxClients);
        Append(text, "blocked_clients", server.Store.BlockedNeedsLock.Count);
        Append(text, "tracking_clients", 0);
        Append(text, "total_blocking_keys", server.Store.BlockedNeedsLock.Keys.Count);
    }

    /// <summary>What is used is what the keys take, which is what <c>maxmemory</c> limits; the heap of the process is the allocator's.</summary>
    private static void WriteMemory(StringBuilder text, RespServer server, long nowMs)
    {
        var engine = server.Store.EngineNeedsLock;
        var (used, peak, resident) = (engine.UsedBytes, engine.PeakBytes, Environment.WorkingSet);
        AppendBytes(text, "used_memory", used);
        AppendBytes(text, "used_memory_rss", resident);
        AppendBytes(text, "used_memory_peak", peak);
        text.Append(CultureInfo.InvariantCulture, $"used_memory_peak_perc:{(peak == 0 ? 100 : 100.0 * used / peak):F2}%\r\n");
        Append(text, "used_memory_dataset", used);
        Append(text, "allocator_allocated", GC.GetTotalMemory(forceFullCollection: false));
        Append(text, "allocator_resident", resident);
        AppendBytes(text, "total_system_memory", GC.GetGCMemoryInfo().TotalAvailableMemoryBytes);
        AppendBytes(text, "maxmemory", server.Store.MaxMemoryBytesNeedsLock);
        Append(text, "maxmemory_policy", "noeviction");
        text.Append(CultureInfo.InvariantCulture, $"mem_fragmentation_ratio:{(used == 0 ? 0 : (double)resident / used):F2}\r\n");
        Append(text, "mem_clients_normal", server.OutputBytes);
        Append(text, "mem_allocator", "dotnet");
    }

    private static void WritePersistence(StringBuilder text, RespServer server, long nowMs)
    {
        Append(text, "loading", 0);
        Append(text, "async_loading", 0);
        // A snapshot is both: what is saved, and what shortens the journal.
        var store = server.Store;
        var lastSave = store.IsBroken || store.HasSnapshotFailed ? "err" : "ok";
        Append(text, "rdb_changes_since_last_save", store.RecordsSinceSnapshotNeedsLock);
        Append(text, "rdb_bgsave_in_progress", store.IsSavingNeedsLock ? 1 : 0);
        Append(text, "rdb_last_save_time", PersistenceCommands.LastSaveSeconds(server));
        Append(text, "rdb_last_bgsave_status", lastSave);
        Append(text, "aof_enabled", store.IsDurable ? 1 : 0);
        Append(text, "aof_rewrite_in_progress", store.IsSavingNeedsLock ? 1 : 0);
        Append(text, "aof_rewrite_scheduled", store.IsSaveScheduledNeedsLock ? 1 : 0);
        Append(text, "aof_last_bgrewrite_status", lastSave);
        Append(text, "aof_last_write_status", server.Store.IsBroken ? "err" : "ok");
    }

    private static void WriteReplication(StringBuilder text, RespServer server, long nowMs)
    {
        Append(text, "role", "master");
        Append(text, "connected_slaves", 0);
        Append(text, "master_failover_state", "no-failover");
        Append(text, "master_replid", server.RunId);
        Append(text, "master_repl_offset", 0);
        Append(text, "repl_backlog_active", 0);
    }

    private static void WriteProcessor(StringBuilder text, RespServer server, long nowMs)
    {
        var usage = Environment.CpuUsage;
        text.Append(CultureInfo.InvariantCulture, $"used_cpu_sys:{usage.PrivilegedTime.TotalSeconds:F6}\r\n")
            .Append(CultureInfo.InvariantCulture, $"used_cpu_user:{usage.UserTime.TotalSeconds:F6}\r\n");
    }

    private static void WriteKeyspace(StringBuilder text, RespServer server, long nowMs)
    {
        var databases = server.Store.EngineNeedsLock.Databases;
        for (var i = 0; i < databases.Count; i++)
        {
            if (databases[i].Count > 0)
            {
                var expiring = databases[i].Values.Count(static value => value.ExpiresMs is not null);
                text.Append(CultureInfo.InvariantCulture, $"db{i}:keys={databases[i].Count},expires={expiring},avg_ttl=0\r\n");
            }
        }
    }

    private static void Append(StringBuilder text, string name, string value) => text.Append(name).Append(':').Append(value).Append("\r\n");

    private static void Append(StringBuilder text, string name, long value) =>
        text.Append(CultureInfo.InvariantCulture, $"{name}:{value}\r\n");

    private static void AppendBytes(StringBuilder text, string name, long bytes) =>
        text.Append(CultureInfo.InvariantCulture, $"{name}:{bytes}\r\n{name}_human:{MemoryCommands.ForPeople(bytes)}\r\n");

    /// <summary>A section, by its name in any case.</summary>
    private sealed record Section(string Name, Action<StringBuilder, RespServer, long> Write)
    {
        /// <summary>Whether it is shown to who asks for none by name.</summary>
        public bool IsDefault { get; init; } = true;
    }
}
