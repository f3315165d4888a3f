// Measures Millrace end to end and prints a markdown report.
//   dotnet run -c Release --project bench/Millrace.Benchmarks -- NAME
// with one of latency|idle|journal|throughput|engine|served-append|served-read|served-wake-up|memory|in-process|all.
using Millrace.Benchmarks;

var benchmarks = new Dictionary<string, Func<Task>>
{
    ["latency"] = LatencyBenchmark.RunAsync,
    ["idle"] = IdleBenchmark.RunAsync,
    ["journal"] = JournalBenchmark.RunAsync,
    ["throughput"] = ThroughputBenchmark.RunAsync,
    ["engine"] = EngineBenchmark.RunAsync,
    ["served-append"] = ServedBenchmark.AppendAsync,
    ["served-read"] = ServedBenchmark.GroupReadAsync,
    ["served-wake-up"] = ServedBenchmark.WakeUpAsync,
    ["memory"] = MemoryBenchmark.RunAsync,
    ["in-process"] = EngineBenchmark.AgainstRedisAsync,
};

var name = args.Length == 1 ? args[0] : "";
if (name != "all" && !benchmarks.ContainsKey(name))
{
    Console.Error.WriteLine($"Usage: Millrace.Benchmarks {string.Join('|', benchmarks.Keys)}|all");
    return 2;
}

Machine.Print();
foreach (var benchmark in benchmarks.Where(benchmark => name == "all" || benchmark.Key == name))
    await benchmark.Value();
return 0;
