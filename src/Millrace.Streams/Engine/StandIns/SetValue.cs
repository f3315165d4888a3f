using System.Globalization;
using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine;

/// <summary>A set of strings, as text without loss. Never empty while it has a key.</summary>
internal sealed class SetValue : KeyspaceValue
{
    /// <summary>Up to so many numbers Redis keeps packed (<c>set-max-intset-entries</c>).</summary>
    private const int MaxPackedNumbers = 512;

    private readonly HashSet<string> _members;

    private long _characters;

    public SetValue() => _members = new(StringComparer.Ordinal);

    private SetValue(SetValue other) => (_members, _characters) = (new(other._members, StringComparer.Ordinal), other._characters);

    public IReadOnlySet<string> Members => _members;

    public override string TypeName => "set";

    public override string Encoding => Members.Count <= MaxPackedNumbers && Members.All(IsInteger) ? "intset" : "hashtable";

    public override ValueKind Kind => ValueKind.Set;

    /// <summary>A member is a slot of the table, of which some are free, and a text of two bytes per character.</summary>
    public override long SizeBytes => 96 + (_members.Count * 56L) + (_characters * 2);

    public bool Add(string member)
    {
        if (!_members.Add(member))
            return false;
        _characters += member.Length;
        return true;
    }

    public bool Remove(string member)
    {
        if (!_members.Remove(member))
            return false;
        _characters -= member.Length;
        return true;
    }

    public override void Write(RecordWriter writer)
    {
        writer.Number(_members.Count);
        foreach (var member in _members)
            writer.Text(member);
    }

    public static SetValue Read(ref RecordReader reader)
    {
        var (set, left) = (new SetValue(), reader.Count());
        if (left == 0)
            throw EngineErrors.Damaged("a set is empty", 0);
        for (; left > 0; left--)
        {
            if (!set.Add(reader.Text()))
                throw EngineErrors.Damaged("a member comes twice", 0);
        }

        return set;
    }

    public override KeyspaceValue Clone() => new SetValue(this);

    private static bool IsInteger(string text) =>
        long.TryParse(text, NumberStyles.AllowLeadingSign, CultureInfo.InvariantCulture, out var value) &&
        text == value.ToString(CultureInfo.InvariantCulture);
}
