using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Monitoring;

/// <summary>Listens to the meter of one host and of no other test's.</summary>
public sealed class MeterRecorder : IDisposable
{
    private readonly MeterListener _listener = new();
    private readonly ConcurrentQueue<Reading> _readings = new();
    private readonly ConcurrentQueue<Instrument> _instruments = new();

    /// <param name="host">The host.</param>
    /// <param name="isWanted">Which instruments to listen to. Default: all.</param>
    public MeterRecorder(ConsumerHost host, Func<string, bool>? isWanted = null)
    {
        var scope = host.Host.Services.GetRequiredService<IMeterFactory>();
        _listener.InstrumentPublished = (instrument, listener) =>
        {
            if (instrument.Meter.Name != MillraceTelemetry.MeterName || instrument.Meter.Scope != scope)
                return;
            _instruments.Enqueue(instrument);
            if (isWanted?.Invoke(instrument.Name) ?? true)
                listener.EnableMeasurementEvents(instrument);
        };
        _listener.SetMeasurementEventCallback<long>((instrument, value, tags, _) => Add(instrument, value, tags));
        _listener.SetMeasurementEventCallback<double>((instrument, value, tags, _) => Add(instrument, value, tags));
        _listener.Start();
    }

    public IReadOnlyCollection<Instrument> Instruments => _instruments;

    /// <summary>What was told so far of an instrument; gauges only tell when they are asked.</summary>
    public IReadOnlyList<Reading> Of(string instrument) => [.. _readings.Where(reading => reading.Name == instrument)];

    /// <summary>Asks all gauges; returns what they say.</summary>
    public ILookup<string, Reading> Scrape()
    {
        var before = _readings.Count;
        _listener.RecordObservableInstruments();
        return _readings.Skip(before).ToLookup(reading => reading.Name);
    }

    /// <summary>Scrapes until a gauge says this; what it said with it is what the sampler found at that moment.</summary>
    public async Task<ILookup<string, Reading>> ScrapeUntilAsync(Func<ILookup<string, Reading>, bool> isWanted)
    {
        ILookup<string, Reading>? found = null;
        await Eventually.TrueAsync("the gauges say so", () =>
        {
            found = Scrape();
            return ValueTask.FromResult(isWanted(found));
        });
        return found!;
    }

    /// <summary>Waits until an instrument has counted this much.</summary>
    public Task WhenCountedAsync(string instrument, double sum) => Eventually.TrueAsync(
        $"{instrument} comes to {sum}", () => ValueTask.FromResult(Of(instrument).Sum(reading => reading.Value) >= sum));

    public void Dispose() => _listener.Dispose();

    private void Add(Instrument instrument, double value, ReadOnlySpan<KeyValuePair<string, object?>> tags) =>
        _readings.Enqueue(new(instrument.Name, instrument.Unit, value, string.Join(' ', tags.ToArray().Select(tag => $"{tag.Key}={tag.Value}"))));

    /// <param name="Name">The instrument.</param>
    /// <param name="Unit">Its unit.</param>
    /// <param name="Value">What was measured.</param>
    /// <param name="Tags">The tags in order, as <c>name=value</c>.</param>
    public sealed record Reading(string Name, string? Unit, double Value, string Tags);
}
