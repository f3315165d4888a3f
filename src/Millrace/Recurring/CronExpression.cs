using System.Globalization;
using System.Numerics;

namespace Millrace.Recurring;

/// <summary>
/// A cron expression as crontab(5) of Vixie cron has it, with an optional field of seconds in front. Each field is a set of bits.
/// </summary>
internal sealed class CronExpression
{
    // Longer than between two 29ths of February on the same day of the week of any rule that can be written down in practice.
    private const int MaxYears = 10;

    private static readonly string[] Months =
        ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];

    private static readonly string[] Days = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

    private readonly ulong _seconds;
    private readonly ulong _minutes;
    private readonly ulong _hours;
    private readonly ulong _daysOfMonth;
    private readonly ulong _months;
    private readonly ulong _daysOfWeek;

    // Whether a day must match one of the two day fields only, because both are restricted.
    private readonly bool _eitherDay;

    // Whether it is due every so many hours, and so also in an hour that the clock shows twice.
    private readonly bool _isInterval;

    private CronExpression(string[] fields)
    {
        _seconds = Field("second", fields[0], 0, 59, []);
        _minutes = Field("minute", fields[1], 0, 59, []);
        _hours = Field("hour", fields[2], 0, 23, []);
        _daysOfMonth = Field("day of month", fields[3], 1, 31, []);
        _months = Field("month", fields[4], 1, 12, Months);
        _daysOfWeek = Field("day of week", fields[5], 0, 7, Days);
        _daysOfWeek |= _daysOfWeek >> 7; // Sunday is 0 and 7.
        _eitherDay = fields[3][0] != '*' && fields[5][0] != '*';
        _isInterval = fields[2][0] == '*';
    }

    /// <exception cref="FormatException">The expression is not one; the message names the field.</exception>
    public static CronExpression Parse(string expression)
    {
        ArgumentNullException.ThrowIfNull(expression);
        var fields = (expression.Trim().ToUpperInvariant() switch
        {
            "@YEARLY" or "@ANNUALLY" => "0 0 1 1 *",
            "@MONTHLY" => "0 0 1 * *",
            "@WEEKLY" => "0 0 * * 0",
            "@DAILY" or "@MIDNIGHT" => "0 0 * * *",
            "@HOURLY" => "0 * * * *",
            var other => other,
        }).Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries);
        return fields.Length switch
        {
            5 => new(["0", .. fields]),
            6 => new(fields),
            _ => throw new FormatException(
                $"The cron expression '{expression}' has {fields.Length} fields; it needs minute, hour, day of month, month and day of week, " +
                "with a second in front if wanted."),
        };
    }

    /// <summary>Whether a word can be the field of seconds, which has no names, and not one of the name of a time zone.</summary>
    public static bool IsSecond(string word) => word.All(static character => char.IsAsciiDigit(character) || character is '*' or '/' or '-' or ',');

    /// <summary>The first moment after another, in UTC, or <see langword="null"/>: there is none in the next ten years.</summary>
    public DateTimeOffset? Next(DateTimeOffset after, TimeZoneInfo zone)
    {
        var local = TimeZoneInfo.ConvertTime(after, zone);
        var best = Repeated(after, local, zone);
        for (var wall = NextWall(local.DateTime); wall is { } found; wall = NextWall(found))
        {
            if (ToMoment(found, after, zone) is not { } moment)
                continue;
            return best is { } repeated && repeated < moment ? repeated : moment;
        }

        return best;
    }

    /// <summary>
    /// What is due again because the clock goes back: the wall goes on from here, and would miss the hour's second turn while this is the first.
    /// </summary>
    private DateTimeOffset? Repeated(DateTimeOffset after, DateTimeOffset local, TimeZoneInfo zone)
    {
        if (!_isInterval || !zone.IsAmbiguousTime(local.DateTime))
            return null;
        var offsets = zone.GetAmbiguousTimeOffsets(local.DateTime);
        var back = offsets.Max() - offsets.Min();
        for (var wall = NextWall(local.DateTime - back); wall is { } found && found < local.DateTime + back; wall = NextWall(found))
        {
            if (zone.IsAmbiguousTime(found) && new DateTimeOffset(found, offsets.Min()) is var moment && moment > after)
                return moment.ToUniversalTime();
        }

        return null;
    }

    /// <summary>When the clock of the zone shows a time, if that is after a moment.</summary>
    private DateTimeOffset? ToMoment(DateTime wall, DateTimeOffset after, TimeZoneInfo zone)
    {
        if (zone.IsInvalidTime(wall))
        {
            // An hour left out: due when it is over, which is the first minute that the clock shows again.
            var shown = new DateTime(wall.Year, wall.Month, wall.Day, wall.Hour, wall.Minute, 0);
            while (zone.IsInvalidTime(shown))
                shown = shown.AddMinutes(1);
            return After(shown, zone.GetUtcOffset(shown), after);
        }

        if (!zone.IsAmbiguousTime(wall))
            return After(wall, zone.GetUtcOffset(wall), after);
        var offsets = zone.GetAmbiguousTimeOffsets(wall);
        return After(wall, offsets.Max(), after) ?? (_isInterval ? After(wall, offsets.Min(), after) : null);
    }

    private static DateTimeOffset? After(DateTime wall, TimeSpan offset, DateTimeOffset after)
    {
        var moment = new DateTimeOffset(wall, offset).ToUniversalTime();
        return moment > after ? moment : null;
    }

    /// <summary>The next time a clock on the wall shows that matches; it knows no zone.</summary>
    private DateTime? NextWall(DateTime after)
    {
        var at = new DateTime(after.Year, after.Month, after.Day, after.Hour, after.Minute, after.Second).AddSeconds(1);
        var last = after.Year + MaxYears;
        while (at.Year <= last)
        {
            if (!Has(_months, at.Month))
                at = new DateTime(at.Year, at.Month, 1).AddMonths(1);
            else if (!IsDay(at))
                at = at.Date.AddDays(1);
            else if (!Has(_hours, at.Hour))
                at = at.Date.AddHours(at.Hour + 1);
            else if (!Has(_minutes, at.Minute))
                at = at.Date.AddHours(at.Hour).AddMinutes(at.Minute + 1);
            else if (Following(_seconds, at.Second) is { } second)
                return at.AddSeconds(second - at.Second);
            else
                at = at.Date.AddHours(at.Hour).AddMinutes(at.Minute + 1);
        }

        return null;
    }

    private bool IsDay(DateTime at)
    {
        var (ofMonth, ofWeek) = (Has(_daysOfMonth, at.Day), Has(_daysOfWeek, (int)at.DayOfWeek));
        return _eitherDay ? ofMonth || ofWeek : ofMonth && ofWeek;
    }

    private static bool Has(ulong set, int value) => (set >> value & 1) == 1;

    private static int? Following(ulong set, int value) => set >> value is > 0 and var rest ? value + BitOperations.TrailingZeroCount(rest) : null;

    /// <summary>A field as a set of bits.</summary>
    private static ulong Field(string name, string text, int min, int max, string[] names)
    {
        var set = 0UL;
        foreach (var item in text.Split(','))
        {
            var (range, step) = item.Split('/') switch
            {
                [var all] => (all, 1),
                [var all, var every] => (all, Number(every, 1, max)),
                _ => throw Wrong(item),
            };
            var (from, to) = range.Split('-') switch
            {
                ["*"] => (min, max),
                [var only] when step > 1 || item.Contains('/', StringComparison.Ordinal) => (Number(only, min, max), max),
                [var only] => (Number(only, min, max), Number(only, min, max)),
                [var first, var second] => (Number(first, min, max), Number(second, min, max)),
                _ => throw Wrong(item),
            };
            if (from > to)
                throw Wrong(item);
            for (var value = from; value <= to; value += step)
                set |= 1UL << value;
        }

        return set;

        int Number(string number, int least, int most)
        {
            var named = Array.IndexOf(names, number);
            if (named >= 0)
                return named + min;
            return int.TryParse(number, NumberStyles.None, CultureInfo.InvariantCulture, out var value) && value >= least && value <= most
                ? value
                : throw Wrong(number);
        }

        FormatException Wrong(string item) => new($"The cron field '{text}' of the {name}: '{item}' is not within {min}-{max}, a range or a step.");
    }
}
