using Millrace.Embedded;

namespace Millrace.Tests.Embedded;

/// <summary>The store's clock, with a wall clock that does what it likes.</summary>
public sealed class StoreClockTests(ITestOutputHelper output)
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);

    private readonly ManualTime _time = new();

    private long WallMs => _time.GetUtcNow().ToUnixTimeMilliseconds();

    [Fact]
    public void Clock_is_the_wall_clock_when_both_clocks_agree()
    {
        var clock = new StoreClock(_time);
        foreach (var ms in (double[])[0, 0.1, 0.9, 1, 1.5, 17, 1_000, 3_600_000])
        {
            _time.Move(TimeSpan.FromMilliseconds(ms));
            Assert.Equal(WallMs, clock.ReadMs());
        }

        Assert.Equal(0, clock.SkippedMs);
    }

    [Fact]
    public void Clock_stands_still_within_a_millisecond()
    {
        var clock = new StoreClock(_time);
        var first = clock.ReadMs();

        Assert.All(Enumerable.Range(0, 1_000), _ => Assert.Equal(first, clock.ReadMs()));
    }

    [Fact]
    public void Wall_clock_an_hour_back_slows_the_clock_by_an_eighth_until_both_agree()
    {
        var clock = new StoreClock(_time);
        var start = clock.ReadMs();
        _time.Jump(TimeSpan.FromHours(-1));

        Assert.Equal(start, clock.ReadMs());
        for (var second = 1; second <= 8 * 3_600; second++)
        {
            _time.Move(Second);
            Assert.Equal(start + (second * 875L), clock.ReadMs());
        }

        Assert.Equal(WallMs, clock.ReadMs());
        _time.Move(Second);
        Assert.Equal(WallMs, clock.ReadMs());
        Assert.Equal(0, clock.SkippedMs);
    }

    [Fact]
    public void Wall_clock_a_day_ahead_is_followed_at_once_and_the_day_is_skipped()
    {
        var clock = new StoreClock(_time);
        clock.ReadMs();

        _time.Move(Second, TimeSpan.FromDays(1) + Second);

        Assert.Equal(WallMs, clock.ReadMs());
        Assert.Equal(86_400_000, clock.SkippedMs);
        clock.ClearSkipped();
        _time.Move(Second);
        Assert.Equal((WallMs, 0), (clock.ReadMs(), clock.SkippedMs));
    }

    [Fact]
    public void Wall_clock_that_is_set_right_by_less_than_a_second_skips_nothing()
    {
        var clock = new StoreClock(_time);

        _time.Move(Second, Second + TimeSpan.FromMilliseconds(999));

        Assert.Equal((WallMs, 0), (clock.ReadMs(), clock.SkippedMs));
    }

    [Fact]
    public void Time_passes_while_the_wall_clock_stands_still()
    {
        var clock = new StoreClock(_time);
        var start = clock.ReadMs();

        _time.Move(TimeSpan.FromMinutes(8), TimeSpan.Zero);

        Assert.Equal(start + (7 * 60_000), clock.ReadMs());
    }

    [Fact]
    public void Wall_clock_before_the_epoch_takes_the_clock_nowhere()
    {
        _time.Jump(TimeSpan.FromDays(-30_000));
        var clock = new StoreClock(_time);

        _time.Move(Second);

        Assert.InRange(clock.ReadMs(), 0, 1_000);
    }

    [Fact]
    public void Clock_goes_on_from_what_a_journal_tells_when_the_wall_clock_is_behind_it()
    {
        var newestMs = WallMs + 3_600_000;
        var clock = new StoreClock(_time);

        clock.StartFrom(newestMs);
        Assert.Equal(newestMs, clock.ReadMs());
        _time.Move(Second);
        Assert.Equal(newestMs + 875, clock.ReadMs());

        clock.StartFrom(WallMs - 1_000);
        Assert.Equal(newestMs + 875, clock.ReadMs());
    }

    [Fact]
    public void Pause_between_the_two_readings_is_no_jump()
    {
        var pausing = new PausingTime(_time);
        var clock = new StoreClock(pausing);
        var start = clock.ReadMs();
        _time.Move(Second);

        pausing.Pause = TimeSpan.FromMinutes(10);

        Assert.Equal((start + 601_000, 0), (clock.ReadMs(), clock.SkippedMs));
    }

    /// <summary>The wall clock jumps, stands still or goes at random. To repeat a run, put its seed into the list.</summary>
    [Fact]
    public void Clock_never_goes_back_nor_further_ahead_than_jumps_explain()
    {
        foreach (var seed in (int[])[1, 20261121, Random.Shared.Next()])
        {
            var (random, clock) = (new Random(seed), new StoreClock(_time));
            var (before, backMs, jumps, freezes) = (clock.ReadMs(), 0L, 0, 0);
            for (var step = 0; step < 20_000; step++)
            {
                var elapsed = TimeSpan.FromMicroseconds(Math.Pow(10, 3 + (random.NextDouble() * 4)));
                var wall = elapsed;
                switch (random.Next(20))
                {
                    case 0:
                        wall += TimeSpan.FromSeconds(random.Next(-3_600, 3_600));
                        jumps++;
                        break;
                    case 1:
                        wall = TimeSpan.Zero;
                        freezes++;
                        break;
                }

                backMs += Math.Max(0, (long)Math.Ceiling((elapsed - wall).TotalMilliseconds));
                _time.Move(elapsed, wall);
                var now = clock.ReadMs();
                Assert.True(now >= before && now >= WallMs && now <= WallMs + backMs, $"Seed {seed}, step {step}: {now} after {before}, wall {WallMs}.");
                before = now;
            }

            output.WriteLine($"Seed {seed}: {jumps} jumps and {freezes} freezes of the wall clock fired.");
            Assert.True(jumps > 0 && freezes > 0);
        }
    }

    /// <summary>Lets a pause pass before it tells the wall clock.</summary>
    private sealed class PausingTime(ManualTime time) : TimeProvider
    {
        public TimeSpan Pause { get; set; }

        public override long TimestampFrequency => time.TimestampFrequency;

        public override long GetTimestamp() => time.GetTimestamp();

        public override DateTimeOffset GetUtcNow()
        {
            time.Move(Pause);
            return time.GetUtcNow();
        }
    }
}
