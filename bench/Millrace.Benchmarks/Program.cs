// Measures Millrace end to end and prints a markdown report.
//   dotnet run -c Release --project bench/Millrace.Benchmarks -- NAME [PAIRS]
// with one of those listed below, or all.
using Millrace.Benchmarks;

var benchmarks = new Dictionary<string, Func<Task>>
{
    ["latency"] = LatencyBenchmark.RunAsync,
    ["idle"] = IdleBenchmark.RunAsync,
    ["journal"] = JournalBenchmark.RunAsync,
    ["throughput"] = ThroughputBenchmark.RunAsync,
    ["end-to-end-embedded"] = EndToEndBenchmark.EmbeddedAsync,
    ["end-to-end-redis"] = EndToEndBenchmark.RedisAsync,
    ["engine"] = EngineBenchmark.RunAsync,
    ["served-append"] = ServedBenchmark.AppendAsync,
    ["served-read"] = ServedBenchmark.GroupReadAsync,
    ["served-wake-up"] = ServedBenchmark.WakeUpAsync,
    ["memory"] = MemoryBenchmark.RunAsync,
    ["in-process"] = EngineBenchmark.AgainstRedisAsync,
    ["durable-in-process"] = DurableBenchmark.InProcessAsync,
    ["durable-one-by-one"] = DurableBenchmark.OneByOneAsync,
    ["durable-served"] = DurableBenchmark.ServedAsync,
    ["rolling-restart"] = RollingRestartBenchmark.RunAsync,
    ["scheduled"] = ScheduledBenchmark.RunAsync,
    ["event-sourcing"] = EventSourcingBenchmark.RunAsync,
    ["sagas"] = SagaBenchmark.RunAsync,
    ["projections"] = ProjectionBenchmark.RunAsync,
    ["jobs"] = JobsBenchmark.RunAsync,
    ["outbox"] = OutboxBenchmark.RunAsync,
    ["snapshot"] = SnapshotBenchmark.RunAsync,
    ["restart"] = RestartBenchmark.RunAsync,
    ["restart-memory"] = RestartBenchmark.MemoryAsync,
};

if (args is ["open", var directory])
{
    // A process that a benchmark starts, to look at its memory.
    await RestartBenchmark.OpenAsync(directory);
    return 0;
}

var name = args.Length > 0 ? args[0] : "";
var pairs = Pairs.Count;
if ((name != "all" && !benchmarks.ContainsKey(name)) || (args.Length > 1 && !int.TryParse(args[1], out pairs)))
{
    Console.Error.WriteLine($"Usage: Millrace.Benchmarks {string.Join('|', benchmarks.Keys)}|all [PAIRS]");
    return 2;
}

Pairs.Count = pairs;

Machine.Print();
foreach (var benchmark in benchmarks.Where(benchmark => name == "all" || benchmark.Key == name))
    await benchmark.Value();
return 0;
