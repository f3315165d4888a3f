using System.Globalization;

namespace Millrace.Tests.Recurring;

public sealed class CronTests
{
    /// <summary>Forward at 2026-03-29 02:00 to 03:00, back at 2026-10-25 03:00 to 02:00, as in Berlin; known on every machine.</summary>
    private static readonly TimeZoneInfo Zone = TimeZoneInfo.CreateCustomTimeZone(
        "Test", TimeSpan.FromHours(1), "Test", "standard", "summer",
        [
            TimeZoneInfo.AdjustmentRule.CreateAdjustmentRule(
                new(2020, 1, 1), new(2030, 12, 31), TimeSpan.FromHours(1),
                TimeZoneInfo.TransitionTime.CreateFloatingDateRule(new(1, 1, 1, 2, 0, 0), 3, 5, DayOfWeek.Sunday),
                TimeZoneInfo.TransitionTime.CreateFloatingDateRule(new(1, 1, 1, 3, 0, 0), 10, 5, DayOfWeek.Sunday)),
        ]);

    [Theory]
    [InlineData("* * * * *", "2026-01-01 00:00:00", "01-01 00:01:00", "01-01 00:02:00")]
    [InlineData("*/20 * * * *", "2026-01-01 00:50:30", "01-01 01:00:00", "01-01 01:20:00")]
    [InlineData("5/20 * * * *", "2026-01-01 00:00:00", "01-01 00:05:00", "01-01 00:25:00", "01-01 00:45:00", "01-01 01:05:00")]
    [InlineData("*/15 * * * * *", "2026-01-01 00:00:44", "01-01 00:00:45", "01-01 00:01:00")]
    [InlineData("0 9-17/4 * * MON-FRI", "2026-01-02 12:00:00", "01-02 13:00:00", "01-02 17:00:00", "01-05 09:00:00")]
    [InlineData("30 4 1,15 * 5", "2026-01-01 00:00:00", "01-01 04:30:00", "01-02 04:30:00", "01-09 04:30:00", "01-15 04:30:00")]
    [InlineData("0 0 31 * *", "2026-01-31 00:00:00", "03-31 00:00:00", "05-31 00:00:00")]
    [InlineData("0 12 * jan,JUL sun", "2026-01-20 00:00:00", "01-25 12:00:00", "07-05 12:00:00")]
    [InlineData("0 0 * * 7", "2026-01-01 00:00:00", "01-04 00:00:00", "01-11 00:00:00")]
    [InlineData("@monthly", "2026-01-01 00:00:00", "02-01 00:00:00", "03-01 00:00:00")]
    public void Next_is_what_cron_says(string expression, string after, params string[] expected)
    {
        Assert.Equal(expected, Following(Recurrence.Cron(expression), Utc(after), expected.Length));
    }

    [Fact]
    public void Next_finds_a_leap_day_and_nothing_where_there_is_no_such_day()
    {
        Assert.Equal(Utc("2028-02-29 00:00:00"), Recurrence.Cron("0 0 29 2 *").Next(Utc("2026-01-01 00:00:00")));
        Assert.Null(Recurrence.Cron("0 0 30 2 *").Next(Utc("2026-01-01 00:00:00")));
    }

    [Theory]
    [InlineData("30 2 * * *", "2026-03-28 00:30:00", "03-28 01:30:00", "03-29 01:00:00", "03-30 00:30:00")] // 02:30 is left out: due at 03:00.
    [InlineData("0 */1 * * *", "2026-03-28 23:30:00", "03-29 00:00:00", "03-29 01:00:00", "03-29 02:00:00")]
    [InlineData("30 2 * * *", "2026-10-24 12:00:00", "10-25 00:30:00", "10-26 01:30:00")]                    // 02:30 twice: the first.
    [InlineData("*/30 * * * *", "2026-10-24 23:45:00", "10-25 00:00:00", "10-25 00:30:00", "10-25 01:00:00", "10-25 01:30:00", "10-25 02:00:00")]
    [InlineData("0 2-4 * * *", "2026-10-24 12:00:00", "10-25 00:00:00", "10-25 02:00:00", "10-25 03:00:00", "10-26 01:00:00")]
    public void Next_knows_the_hours_that_a_zone_leaves_out_or_shows_twice(string expression, string after, params string[] expected)
    {
        Assert.Equal(expected, Following(Recurrence.Cron(expression, Zone), Utc(after), expected.Length));
    }

    [Theory]
    [InlineData("* * * *", "has 4 fields")]
    [InlineData("60 * * * *", "'60 * * * *'|minute")]
    [InlineData("* 24 * * *", "hour")]
    [InlineData("* * 0 * *", "day of month")]
    [InlineData("* * * 13 *", "month")]
    [InlineData("* * * * FUN", "day of week")]
    [InlineData("5-1 * * * *", "'5-1'")]
    [InlineData("*/0 * * * *", "'0'")]
    [InlineData("1,,2 * * * *", "minute")]
    [InlineData("+1 * * * *", "minute")]
    public void Expression_that_is_none_is_refused_with_its_field(string expression, string named)
    {
        var error = Assert.Throws<FormatException>(() => Recurrence.Cron(expression));

        Assert.Contains(named.Split('|')[^1], error.Message);
    }

    [Fact]
    public void Period_is_at_multiples_since_the_epoch_and_counts_what_was_missed()
    {
        var every = Recurrence.Every(TimeSpan.FromMinutes(15));

        Assert.Equal(["01-01 00:15:00", "01-01 00:30:00"], Following(every, Utc("2026-01-01 00:07:00"), 2));
        Assert.Equal(Utc("2026-01-01 00:15:00"), every.Next(Utc("2026-01-01 00:00:00")));
        Assert.Equal(Utc("1969-12-31 23:45:00"), every.Next(Utc("1969-12-31 23:31:00")));
        Assert.Equal(Utc("2026-01-02 11:45:00"), every.LastUntil(Utc("2026-01-01 00:00:00"), Utc("2026-01-02 11:59:59")));
        Assert.Equal(Utc("2026-01-01 00:00:00"), every.LastUntil(Utc("2026-01-01 00:00:00"), Utc("2025-01-01 00:00:00")));
        Assert.Equal(Utc("2026-01-04 00:00:00"), Recurrence.Cron("@daily").LastUntil(Utc("2026-01-01 00:00:00"), Utc("2026-01-04 12:00:00")));
        Assert.Throws<ArgumentOutOfRangeException>(() => Recurrence.Every(TimeSpan.FromMilliseconds(99)));
        Assert.Throws<ArgumentOutOfRangeException>(() => Recurrence.Every(TimeSpan.FromTicks(2_000_001)));
    }

    [Theory]
    [InlineData("every 00:15:00")]
    [InlineData("every 1.00:00:00.1000000")]
    [InlineData("cron UTC 0 3 * * *")]
    [InlineData("cron UTC */30 0 3 * * MON")]
    [InlineData("cron UTC @daily")]
    public void Text_is_read_back(string text) => Assert.Equal(text, Recurrence.Parse(text).ToString());

    /// <summary>The names that Windows has. Where the machine does not know them, it says which it does not.</summary>
    [Theory]
    [InlineData("W. Europe Standard Time", "0 3 * * *")]
    [InlineData("UTC-11", "15 0 3 * * *")]
    [InlineData("Romance Standard Time", "*/30 0 3 * * MON-FRI")]
    [InlineData("Central America Standard Time", "@daily")]
    public void Text_with_the_name_of_a_time_zone_that_has_spaces_is_read_back(string zone, string expression)
    {
        var text = Recurrence.Cron(expression, TimeZoneInfo.CreateCustomTimeZone(zone, TimeSpan.FromHours(1), null, null)).ToString();
        try
        {
            Assert.Equal(text, Recurrence.Parse(text).ToString());
        }
        catch (TimeZoneNotFoundException error)
        {
            Assert.Contains($"'{zone}'", error.Message, StringComparison.Ordinal);
        }
    }

    [Theory]
    [InlineData("cron 0 3 * * *")]
    [InlineData("cron UTC")]
    [InlineData("cron @daily")]
    [InlineData("daily")]
    public void Text_that_is_no_recurrence_is_refused(string text) => Assert.Throws<FormatException>(() => Recurrence.Parse(text));

    private static string[] Following(Recurrence recurrence, DateTimeOffset after, int count)
    {
        var found = new string[count];
        for (var i = 0; i < count; i++)
        {
            after = recurrence.Next(after)!.Value;
            Assert.Equal(TimeSpan.Zero, after.Offset);
            found[i] = after.ToString("MM-dd HH:mm:ss", CultureInfo.InvariantCulture);
        }

        return found;
    }

    private static DateTimeOffset Utc(string text) =>
        DateTimeOffset.ParseExact(text, "yyyy-MM-dd HH:mm:ss", CultureInfo.InvariantCulture, DateTimeStyles.AssumeUniversal);
}
