using System.Globalization;

namespace Millrace.EventSourcing;

/// <summary>What an append demands of the version the stream has.</summary>
public readonly record struct ExpectedVersion
{
    private const long AnyValue = -1;

    private readonly long _value;

    private ExpectedVersion(long value) => _value = value;

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

    /// <summary>For logs.</summary>
    public override string ToString() => _value switch
    {
        AnyValue => "any",
        0 => "no stream",
        _ => _value.ToString(CultureInfo.InvariantCulture),
    };
}
