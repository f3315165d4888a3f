using System.Collections.Concurrent;
using System.Diagnostics.Tracing;

namespace Millrace.AllocationProbe;

/// <summary>Which types take the memory: the runtime names an object drawn at random for about each 100 KiB.</summary>
internal sealed class TypeSampler(bool isWanted) : EventListener
{
    private const EventKeywords AllocationSampling = (EventKeywords)0x80_000_000_000;
    private const long SampleBytes = 100 * 1024;

    private readonly ConcurrentDictionary<string, long> _bytesByType = new();

    private EventSource? _runtime;

    public void Start()
    {
        if (isWanted && _runtime is { } runtime)
            EnableEvents(runtime, EventLevel.Informational, AllocationSampling);
    }

    public void Print(int messages)
    {
        if (!isWanted)
            return;
        Console.WriteLine("| type | bytes a message, about |");
        Console.WriteLine("| --- | ---: |");
        foreach (var (type, bytes) in _bytesByType.OrderByDescending(pair => pair.Value).Take(25))
            Console.WriteLine(FormattableString.Invariant($"| {type} | {(double)bytes / messages:0.0} |"));
    }

    protected override void OnEventSourceCreated(EventSource eventSource)
    {
        if (eventSource.Name == "Microsoft-Windows-DotNETRuntime")
            _runtime = eventSource;
    }

    protected override void OnEventWritten(EventWrittenEventArgs eventData)
    {
        if (eventData.EventName != "AllocationSampled")
            return;
        var type = (string)eventData.Payload![eventData.PayloadNames!.IndexOf("TypeName")]!;
        _bytesByType.AddOrUpdate(type, SampleBytes, (_, sum) => sum + SampleBytes);
    }
}
