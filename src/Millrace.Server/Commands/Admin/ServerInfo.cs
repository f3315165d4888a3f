using System.Globalization;
using System.Text;

namespace Millrace.Server.Commands.Admin;

/// <summary>The sections of <c>INFO</c>, with Redis's names, as far as there is something true to say.</summary>
internal static class ServerInfo
{
    private static readonly (string Name, Action<StringBuilder, RespServer, long> Write)[] Sections =
    [
        ("Server", WriteServer),
        ("Clients", WriteClients),
        ("Memory", WriteMemory),
        ("Persistence", WritePersistence),
        ("Replication", static (text, _, _) => text.Append("role:master\r\nconnected_slaves:0\r\n")),
        ("Cluster", static (text, _, _) => text.Append("cluster_enabled:0\r\n")),
        ("Keyspace", WriteKeyspace),
    ];

    public static void Run(ref CommandCall call)
    {
        var wanted = new HashSet<string>(StringComparer.OrdinalIgnoreCase);
        for (var i = 1; i < call.Count; i++)
            wanted.Add(call.Text(i));
        var isAll = wanted.Count == 0 || wanted.Contains("default") || wanted.Contains("all") || wanted.Contains("everything");
        var text = new StringBuilder();
        foreach (var (name, write) in Sections)
        {
            if (!isAll && !wanted.Contains(name))
                continue;
            if (text.Length > 0)
                text.Append("\r\n");
            text.Append("# ").Append(name).Append("\r\n");
            write(text, call.Server, call.NowMs);
        }

        call.WriteVerbatim(text.ToString());
    }

    private static void WriteServer(StringBuilder text, RespServer server, long nowMs)
    {
        var uptime = (nowMs - server.StartedMs) / 1000;
        text.Append("redis_version:").Append(RespServer.RedisVersion)
            .Append("\r\nredis_mode:standalone\r\nos:").Append(Environment.OSVersion.VersionString)
            .Append(CultureInfo.InvariantCulture, $"\r\narch_bits:64\r\nprocess_id:{Environment.ProcessId}\r\ntcp_port:{server.Endpoint.Port}")
            .Append(CultureInfo.InvariantCulture, $"\r\nuptime_in_seconds:{uptime}\r\nuptime_in_days:{uptime / 86_400}\r\n");
    }

    private static void WriteClients(StringBuilder text, RespServer server, long nowMs) =>
        text.Append(CultureInfo.InvariantCulture, $"connected_clients:{server.Clients.Count}\r\nmaxclients:{server.Options.MaxClients}\r\n")
            .Append(CultureInfo.InvariantCulture, $"blocked_clients:{server.Store.BlockedNeedsLock.Count}\r\n");

    /// <summary>What is used is what the keys take, which is what <c>maxmemory</c> limits; the heap of the process is the allocator's.</summary>
    private static void WriteMemory(StringBuilder text, RespServer server, long nowMs)
    {
        var engine = server.Store.EngineNeedsLock;
        var (used, peak, resident) = (engine.UsedBytes, engine.PeakBytes, Environment.WorkingSet);
        AppendBytes(text, "used_memory", used);
        AppendBytes(text, "used_memory_rss", resident);
        AppendBytes(text, "used_memory_peak", peak);
        text.Append(CultureInfo.InvariantCulture, $"used_memory_peak_perc:{(peak == 0 ? 100 : 100.0 * used / peak):F2}%\r\n")
            .Append(CultureInfo.InvariantCulture, $"used_memory_dataset:{used}\r\nused_memory_dataset_perc:100.00%\r\n")
            .Append(CultureInfo.InvariantCulture, $"allocator_allocated:{GC.GetTotalMemory(forceFullCollection: false)}\r\n")
            .Append(CultureInfo.InvariantCulture, $"allocator_resident:{resident}\r\n");
        AppendBytes(text, "total_system_memory", GC.GetGCMemoryInfo().TotalAvailableMemoryBytes);
        AppendBytes(text, "maxmemory", server.Options.MaxMemoryBytes);
        text.Append("maxmemory_policy:noeviction\r\n")
            .Append(CultureInfo.InvariantCulture, $"mem_fragmentation_ratio:{(used == 0 ? 0 : (double)resident / used):F2}\r\n")
            .Append(CultureInfo.InvariantCulture, $"mem_clients_normal:{server.OutputBytes}\r\nmem_allocator:dotnet\r\n");
    }

    private static void AppendBytes(StringBuilder text, string name, long bytes) =>
        text.Append(CultureInfo.InvariantCulture, $"{name}:{bytes}\r\n{name}_human:{MemoryCommands.ForPeople(bytes)}\r\n");

    private static void WritePersistence(StringBuilder text, RespServer server, long nowMs) =>
        text.Append(CultureInfo.InvariantCulture, $"loading:0\r\naof_enabled:{(server.Store.IsDurable ? 1 : 0)}\r\n");

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
}
