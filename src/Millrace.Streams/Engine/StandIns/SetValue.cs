using System.Globalization;

namespace Millrace.Streams.Engine;

/// <summary>A set of strings, as text without loss. Never empty while it has a key.</summary>
internal sealed class SetValue : KeyspaceValue
{
    /// <summary>Up to so many numbers Redis keeps packed (<c>set-max-intset-entries</c>).</summary>
    private const int MaxPackedNumbers = 512;

    public HashSet<string> Members { get; private init; } = new(StringComparer.Ordinal);

    public override string TypeName => "set";

    public override string Encoding => Members.Count <= MaxPackedNumbers && Members.All(IsInteger) ? "intset" : "hashtable";

    public override KeyspaceValue Clone() => new SetValue { Members = new(Members, StringComparer.Ordinal) };

    private static bool IsInteger(string text) =>
        long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value) &&
        text == value.ToString(CultureInfo.InvariantCulture);
}
