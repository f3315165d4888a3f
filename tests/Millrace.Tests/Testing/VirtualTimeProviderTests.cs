using Millrace.Testing;

namespace Millrace.Tests.Testing;

public sealed class VirtualTimeProviderTests
{
    [Fact]
    public void Timers_fire_at_their_own_moments_in_the_order_they_are_due()
    {
        var time = new VirtualTimeProvider(new(2030, 1, 1, 2, 0, 0, TimeSpan.FromHours(2)));
        var fired = new List<(string Name, int Second)>();
        using var late = time.CreateTimer(_ => Note("late"), null, TimeSpan.FromSeconds(5), Timeout.InfiniteTimeSpan);
        using var often = time.CreateTimer(_ => Note("often"), null, TimeSpan.FromSeconds(2), TimeSpan.FromSeconds(2));
        using var never = time.CreateTimer(_ => Note("never"), null, TimeSpan.FromSeconds(1), TimeSpan.Zero);
        never.Dispose();
        Assert.Equal(time.GetUtcNow() + TimeSpan.FromSeconds(2), time.NextTimer);

        time.Advance(TimeSpan.FromSeconds(6));

        Assert.Equal([("often", 2), ("often", 4), ("late", 5), ("often", 6)], fired);
        Assert.Equal(new DateTimeOffset(2030, 1, 1, 0, 0, 6, TimeSpan.Zero), time.GetUtcNow());
        Assert.Equal(TimeZoneInfo.Utc, time.LocalTimeZone);
        Assert.Throws<ArgumentOutOfRangeException>(() => time.Advance(TimeSpan.FromTicks(-1)));

        void Note(string name) => fired.Add((name, time.GetUtcNow().Second));
    }

    [Fact]
    public async Task Timer_that_is_due_at_once_fires_and_one_without_a_period_fires_once()
    {
        var time = new VirtualTimeProvider();
        var fired = new TaskCompletionSource();
        await using var timer = time.CreateTimer(_ => fired.SetResult(), null, TimeSpan.Zero, TimeSpan.Zero);
        await fired.Task;

        time.Advance(TimeSpan.FromDays(1));

        Assert.Null(time.NextTimer);
    }
}
