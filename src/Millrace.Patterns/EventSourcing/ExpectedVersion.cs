using System.Globalization;
using Millrace.Streams;

namespace Millrace.EventSourcing;

/// <summary>What an append demands of the version the stream has.</summary>
public readonly record struct ExpectedVersion
{
    private const long AnyValue = -1;

    private readonly long _value;

    // What a load of ours ended with: stricter than the version, of which another program's entry may be a second.
    private readonly EntryId? _lastId;

    private ExpectedVersion(long value, EntryId? lastId = null) => (_value, _lastId) = (value, lastId);

    /// <summary>Any version, none included: the append comes after whatever is there.</summary>
    public static ExpectedVersion Any => new(AnyValue);

    /// <summary>The stream has no event.</summary>
    public static ExpectedVersion NoStream => default;

    /// <summary>Whether every version will do.</summary>
    public bool IsAny => _value == AnyValue;

    /// <summary>The version demanded; 0 for <see cref="NoStream"/>.</summary>
    /// <exception cref="InvalidOperationException">Any version will do.</exception>
    public long Version => IsAny ? throw new InvalidOperationException("Any version will do; there is no one version.") : _value;

    /// <summary>Exactly this version: nobody appended since it was read.</summary>
    /// <param name="version">As an event, an append or a load told it; 0 is <see cref="NoStream"/>.</param>
    public static ExpectedVersion Exactly(long version)
    {
        ArgumentOutOfRangeException.ThrowIfNegative(version);
        return new(version);
    }

    /// <summary>Exactly where a load ended.</summary>
    internal static ExpectedVersion After(EntryId lastId) => new((long)lastId.Milliseconds, lastId);

    /// <summary>The last ID a stream has that is as expected, or <see langword="null"/>: it does not exist. Not for any version.</summary>
    internal EntryId? LastId => _lastId is { } id && id != EntryId.Zero ? id : Version == 0 ? null : new((ulong)Version, 0);

    /// <summary>Whether a stream with this last ID is as expected.</summary>
    internal bool IsMetBy(EntryId last) => IsAny || (_lastId is { } id ? last == id : (long)last.Milliseconds == _value);

    /// <summary>For logs.</summary>
    public override string ToString() => _value switch
    {
        AnyValue => "any",
        0 => "no stream",
        _ => _value.ToString(CultureInfo.InvariantCulture),
    };
}
