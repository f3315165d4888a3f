using System.Diagnostics.CodeAnalysis;
using System.Globalization;

namespace Millrace.Streams;

/// <summary>
/// The ID of a stream entry, <c>&lt;milliseconds&gt;-&lt;sequence&gt;</c>. Strictly increasing within a stream; assigned by the store.
/// </summary>
/// <param name="Milliseconds">Unix time in milliseconds by the store's clock, or what the writer chose.</param>
/// <param name="Sequence">Position among the entries of the same millisecond.</param>
public readonly record struct EntryId(ulong Milliseconds, ulong Sequence)
    : IComparable<EntryId>, ISpanParsable<EntryId>, ISpanFormattable, IUtf8SpanFormattable
{
    /// <summary>The longest text form in characters: two 20-digit numbers and the dash.</summary>
    public const int MaxLength = 41;

    /// <summary>0-0: before every entry. No entry has this ID.</summary>
    public static EntryId Zero => default;

    /// <summary>The largest ID there is.</summary>
    public static EntryId Max => new(ulong.MaxValue, ulong.MaxValue);

    /// <summary>The next larger ID.</summary>
    /// <exception cref="OverflowException">This is <see cref="Max"/>.</exception>
    public EntryId Next() => Sequence < ulong.MaxValue
        ? new(Milliseconds, Sequence + 1)
        : new(checked(Milliseconds + 1), 0);

    /// <summary>The next smaller ID.</summary>
    /// <exception cref="OverflowException">This is <see cref="Zero"/>.</exception>
    public EntryId Previous() => Sequence > 0
        ? new(Milliseconds, Sequence - 1)
        : new(checked(Milliseconds - 1), ulong.MaxValue);

    /// <summary>The ID at which entries of a moment begin, for reads that start at a time. Moments before 1970 give <see cref="Zero"/>.</summary>
    /// <param name="time">The moment, compared with the store's clock.</param>
    public static EntryId FromTime(DateTimeOffset time) => new((ulong)Math.Max(0, time.ToUnixTimeMilliseconds()), 0);

    /// <inheritdoc/>
    public int CompareTo(EntryId other)
    {
        var byTime = Milliseconds.CompareTo(other.Milliseconds);
        return byTime != 0 ? byTime : Sequence.CompareTo(other.Sequence);
    }

    /// <summary>Whether <paramref name="left"/> comes before <paramref name="right"/>.</summary>
    public static bool operator <(EntryId left, EntryId right) => left.CompareTo(right) < 0;

    /// <summary>Whether <paramref name="left"/> comes after <paramref name="right"/>.</summary>
    public static bool operator >(EntryId left, EntryId right) => left.CompareTo(right) > 0;

    /// <summary>Whether <paramref name="left"/> is <paramref name="right"/> or comes before it.</summary>
    public static bool operator <=(EntryId left, EntryId right) => left.CompareTo(right) <= 0;

    /// <summary>Whether <paramref name="left"/> is <paramref name="right"/> or comes after it.</summary>
    public static bool operator >=(EntryId left, EntryId right) => left.CompareTo(right) >= 0;

    /// <summary>Parses <c>ms-seq</c>, or <c>ms</c> alone with sequence 0.</summary>
    /// <exception cref="FormatException">The text is not an entry ID.</exception>
    public static EntryId Parse(ReadOnlySpan<char> s, IFormatProvider? provider = null) =>
        TryParse(s, provider, out var id) ? id : throw new FormatException($"'{s}' is not an entry ID: expected <milliseconds>-<sequence>.");

    /// <inheritdoc cref="Parse(ReadOnlySpan{char}, IFormatProvider?)"/>
    public static EntryId Parse(string s, IFormatProvider? provider = null) => Parse(s.AsSpan(), provider);

    /// <inheritdoc/>
    public static bool TryParse([NotNullWhen(true)] string? s, IFormatProvider? provider, out EntryId result) =>
        TryParse(s.AsSpan(), provider, out result);

    /// <inheritdoc/>
    public static bool TryParse(ReadOnlySpan<char> s, IFormatProvider? provider, out EntryId result)
    {
        result = default;
        var dash = s.IndexOf('-');
        ulong sequence = 0;
        if (!ulong.TryParse(dash < 0 ? s : s[..dash], NumberStyles.None, CultureInfo.InvariantCulture, out var milliseconds) ||
            (dash >= 0 && !ulong.TryParse(s[(dash + 1)..], NumberStyles.None, CultureInfo.InvariantCulture, out sequence)))
            return false;

        result = new(milliseconds, sequence);
        return true;
    }

    /// <summary>Parses UTF-8 <c>ms-seq</c>, as it comes off the wire, without allocating.</summary>
    public static bool TryParse(ReadOnlySpan<byte> utf8, out EntryId result)
    {
        Span<char> text = stackalloc char[MaxLength];
        result = default;
        if (utf8.Length > MaxLength)
            return false;

        for (var i = 0; i < utf8.Length; i++)
            text[i] = (char)utf8[i];
        return TryParse(text[..utf8.Length], null, out result);
    }

    /// <inheritdoc/>
    public override string ToString() => string.Create(CultureInfo.InvariantCulture, $"{Milliseconds}-{Sequence}");

    /// <inheritdoc/>
    public string ToString(string? format, IFormatProvider? formatProvider) => ToString();

    /// <inheritdoc/>
    public bool TryFormat(Span<char> destination, out int charsWritten, ReadOnlySpan<char> format, IFormatProvider? provider) =>
        destination.TryWrite(CultureInfo.InvariantCulture, $"{Milliseconds}-{Sequence}", out charsWritten);

    /// <inheritdoc/>
    public bool TryFormat(Span<byte> utf8Destination, out int bytesWritten, ReadOnlySpan<char> format, IFormatProvider? provider) =>
        System.Text.Unicode.Utf8.TryWrite(utf8Destination, CultureInfo.InvariantCulture, $"{Milliseconds}-{Sequence}", out bytesWritten);
}
