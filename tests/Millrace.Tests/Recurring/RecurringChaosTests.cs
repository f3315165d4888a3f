using System.Text.Json;
using Millrace.Streams;
using Millrace.Tests.Chaos;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Recurring;

/// <summary>
/// A recurring message of several processes, while everything goes wrong that <see cref="PatternChaos"/> knows: hours of virtual time on the embedded
/// store, seconds on a server. On each a tenth of the slice, from the seed <c>MILLRACE_RECURRING_SEED</c> or a new one.
/// </summary>
public sealed class RecurringChaosTests
{
    private const int VirtualSteps = 200;
    private const int Steps = 100;

    // A chain that is broken is begun anew by the minute.
    private const int MaxSteps = 4_000;

    public static TheoryData<string> Places => PatternChaos.Places;

    private static Recurrence[] Slowly => [Recurrence.Every(TimeSpan.FromMinutes(1)), Recurrence.Cron("*/7 * * * *"), Recurrence.Cron("30 5,35 * * * *")];

    [Message("bell.rung")]
    private sealed record BellRung(DateTimeOffset At);

    [Theory]
    [MemberData(nameof(Places))]
    public Task Every_moment_is_fired_once_whatever_dies_and_however_clocks_are_set(string place) =>
        Slice.RunAsync("MILLRACE_RECURRING_SEED", 0.1, seed => RunAsync(place, seed));

    private static async Task RunAsync(string place, int seed)
    {
        var recurrence = place == PatternChaos.Embedded ? Slowly[seed % Slowly.Length] : Recurrence.Every(TimeSpan.FromMilliseconds(100));
        await using var chaos = await PatternChaos.StartAsync(
            place, seed, millrace => millrace.AddRecurring("bell", "bells", recurrence, static due => new BellRung(due)), static _ => { });
        var state = new StateKey("bells", "recurring/bell");
        await chaos.UntilAsync("the chain waits for its first moment", MaxSteps, async () =>
            await chaos.Store.GetStateAsync(state) is { } found && !JsonDocument.Parse(found.Payload).RootElement.TryGetProperty("begun", out _));
        var known = (await NextAsync())!.Value;
        chaos.Begin();
        for (var step = 0; step < (place == PatternChaos.Embedded ? VirtualSteps : Steps); step++)
            await chaos.StepAsync(StepOf(chaos.Random));
        await chaos.HealAsync();

        var healed = chaos.Time.GetUtcNow();
        await chaos.UntilAsync("what was due is fired", MaxSteps, async () => await NextAsync() > healed, TimeSpan.FromSeconds(5));

        var moments = (await chaos.Store.RangeAsync("bells", new() { Count = StreamLimits.MaxBatch }))
            .Select(static entry => JsonDocument.Parse(entry.Fields.GetText("data"u8)!).RootElement.GetProperty("at").GetDateTimeOffset()).ToList();
        TestContext.Current.TestOutputHelper?.WriteLine($"  {moments.Count} firings of {recurrence}");
        Assert.True(moments.Count > 2, $"seed {seed}: {moments.Count} firings");

        // On a server some may have been fired before we looked which is next.
        List<DateTimeOffset> expected = [moments[0] < known ? moments[0] : known];
        while (expected.Count < moments.Count)
            expected.Add(recurrence.Next(expected[^1])!.Value);
        Assert.Equal(expected, moments);

        async Task<DateTimeOffset?> NextAsync() =>
            JsonDocument.Parse((await chaos.Store.GetStateAsync(state))!.Payload).RootElement.GetProperty("next").GetDateTimeOffset();
    }

    /// <summary>Seconds as a rule, now and then minutes.</summary>
    private static TimeSpan StepOf(Random random) =>
        random.Next(8) == 0 ? TimeSpan.FromMinutes(random.Next(1, 15)) : TimeSpan.FromMilliseconds(random.Next(50, 20_000));
}
