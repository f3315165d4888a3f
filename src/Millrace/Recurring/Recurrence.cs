using System.Globalization;
using Millrace.Recurring;

namespace Millrace;

/// <summary>When a recurring message is due. Made by <see cref="Every"/> or <see cref="Cron(string, TimeZoneInfo?)"/>; immutable.</summary>
public abstract class Recurrence
{
    private protected Recurrence()
    {
    }

    /// <summary>
    /// At regular distances. The moments are multiples of the period since 1970-01-01T00:00Z, so they are the same in every process and
    /// after every restart: every 15 minutes is at :00, :15, :30 and :45.
    /// </summary>
    /// <param name="period">The distance; at least 100 ms, in whole milliseconds.</param>
    /// <exception cref="ArgumentOutOfRangeException">The period is shorter, longer than ten years or no whole number of milliseconds.</exception>
    public static Recurrence Every(TimeSpan period) => new PeriodicRecurrence(period);

    /// <summary>
    /// By a cron expression: minute, hour, day of month, month, day of week; with six fields the first is the second. Each field is
    /// <c>*</c>, a number, a name (<c>JAN</c>, <c>MON</c>), a range <c>1-5</c>, a step <c>*/15</c> or <c>8-18/2</c>, or a list of these.
    /// <c>@hourly</c>, <c>@daily</c>, <c>@weekly</c>, <c>@monthly</c> and <c>@yearly</c> are known.
    /// </summary>
    /// <remarks>
    /// As cron has it, a moment needs to match only one of the two day fields where both are restricted. When the clock of the zone goes
    /// forward, what was due in the hour left out is due when the hour is over; when it goes back, what is due at a fixed hour is due the first
    /// time only, and what is due every so many hours (an hour field that begins with <c>*</c>) both times.
    /// </remarks>
    /// <param name="expression">The expression.</param>
    /// <param name="zone">The time zone its hours are meant in. Default: UTC.</param>
    /// <exception cref="FormatException">The expression is not one; the message names the field.</exception>
    public static Recurrence Cron(string expression, TimeZoneInfo? zone = null) => new CronRecurrence(expression, zone ?? TimeZoneInfo.Utc);

    /// <summary>The first moment after another, in UTC, or <see langword="null"/>: there is none within the next ten years.</summary>
    /// <param name="after">The other moment.</param>
    public abstract DateTimeOffset? Next(DateTimeOffset after);

    /// <summary>What it is, so that another process can read it: <c>every 00:15:00</c>, or <c>cron Europe/Berlin 0 3 * * *</c>.</summary>
    public abstract override string ToString();

    /// <summary>Reads what <see cref="ToString"/> wrote.</summary>
    /// <exception cref="FormatException">It is neither.</exception>
    /// <exception cref="TimeZoneNotFoundException">This machine does not know the zone.</exception>
    internal static Recurrence Parse(string text)
    {
        switch (text.Split((char[]?)null, StringSplitOptions.RemoveEmptyEntries))
        {
            case ["every", var period]:
                return Every(TimeSpan.ParseExact(period, "c", CultureInfo.InvariantCulture));

            // The zone may be of several words, as in "W. Europe Standard Time": the expression is what there is at the end.
            case ["cron", _, _, ..] and var words:
                var fields = words[^1][0] == '@' ? 1 : words.Length > 7 && CronExpression.IsSecond(words[^6]) ? 6 : 5;
                if (words.Length < fields + 2)
                    break;
                return Cron(string.Join(' ', words[^fields..]), TimeZoneInfo.FindSystemTimeZoneById(string.Join(' ', words[1..^fields])));
        }

        throw new FormatException($"'{text}' is no recurrence.");
    }

    /// <summary>The last moment up to another, given one that is not after it.</summary>
    internal virtual DateTimeOffset LastUntil(DateTimeOffset first, DateTimeOffset until)
    {
        while (Next(first) is { } next && next <= until)
            first = next;
        return first;
    }

    private sealed class PeriodicRecurrence : Recurrence
    {
        private static readonly TimeSpan MinPeriod = TimeSpan.FromMilliseconds(100);
        private static readonly TimeSpan MaxPeriod = TimeSpan.FromDays(3650);

        private readonly TimeSpan _period;

        public PeriodicRecurrence(TimeSpan period)
        {
            if (period < MinPeriod || period > MaxPeriod || period.Ticks % TimeSpan.TicksPerMillisecond != 0)
                throw new ArgumentOutOfRangeException(
                    nameof(period), period, "A period is 100 ms to 3650 days, in whole milliseconds.");
            _period = period;
        }

        public override DateTimeOffset? Next(DateTimeOffset after) => Floor(after) + _period;

        public override string ToString() => $"every {_period.ToString("c", CultureInfo.InvariantCulture)}";

        internal override DateTimeOffset LastUntil(DateTimeOffset first, DateTimeOffset until)
        {
            var last = Floor(until);
            return last > first ? last : first;
        }

        private DateTimeOffset Floor(DateTimeOffset moment)
        {
            var sinceEpoch = (moment - DateTimeOffset.UnixEpoch).Ticks;
            var periods = Math.DivRem(sinceEpoch, _period.Ticks, out var rest);
            return DateTimeOffset.UnixEpoch.AddTicks((rest < 0 ? periods - 1 : periods) * _period.Ticks);
        }
    }

    private sealed class CronRecurrence(string expression, TimeZoneInfo zone) : Recurrence
    {
        private readonly CronExpression _cron = CronExpression.Parse(expression);

        public override DateTimeOffset? Next(DateTimeOffset after) => _cron.Next(after, zone);

        public override string ToString() => $"cron {zone.Id} {expression}";
    }
}
