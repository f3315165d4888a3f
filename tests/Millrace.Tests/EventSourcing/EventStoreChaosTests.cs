using Microsoft.Extensions.DependencyInjection;
using Millrace.EventSourcing;
using Millrace.Tests.Chaos;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EventSourcing;

/// <summary>
/// Sixteen writers of a few streams, at once and in several processes, while everything goes wrong that <see cref="PatternChaos"/> knows, and somebody
/// trims what snapshots cover. On each store a tenth of the slice, from the seed <c>MILLRACE_EVENTS_SEED</c> or a new one.
/// </summary>
public sealed class EventStoreChaosTests
{
    private const int MaxSteps = 4_000;

    public static TheoryData<string> Places => PatternChaos.Places;

    [Theory]
    [MemberData(nameof(Places))]
    public Task Sixteen_writers_lose_no_event_and_fork_no_history_whatever_dies(string place) =>
        Slice.RunAsync("MILLRACE_EVENTS_SEED", 0.1, seed => RunAsync(place, seed));

    private static async Task RunAsync(string place, int seed)
    {
        var ledger = new LedgerChaos(seed);
        await using var chaos = await PatternChaos.StartAsync(place, seed, ledger.AddWriters, LedgerChaos.AddStore, LedgerChaos.Processes);
        chaos.Begin();
        for (var step = 0; step < MaxSteps && ledger.Missing() is not null; step++)
        {
            await chaos.StepAsync();
            if (chaos.Random.Next(6) == 0)
                await chaos.FinishAsync(LedgerChaos.TrimAsync(EventsOf(chaos)));
        }

        await chaos.HealAsync();
        await chaos.UntilAsync(() => Task.FromResult(ledger.Missing()), MaxSteps);
        await chaos.FinishAsync(ledger.WritersEnded);
        await ledger.CheckAsync(EventsOf(chaos));
    }

    private static EventStore EventsOf(PatternChaos chaos) => chaos.Desk.Host.Services.GetRequiredService<EventStore>();
}
