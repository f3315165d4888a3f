using System.Collections;
using System.Diagnostics;
using System.Text;

namespace Millrace.Streams;

/// <summary>One field of an entry. Names need not be unique within an entry; order is kept.</summary>
/// <param name="Name">The name as bytes, UTF-8 by convention. May be empty.</param>
/// <param name="Value">The value: any bytes.</param>
public readonly record struct EntryField(ReadOnlyMemory<byte> Name, ReadOnlyMemory<byte> Value)
{
    /// <summary>The name decoded as UTF-8. Allocates.</summary>
    public string NameText => Encoding.UTF8.GetString(Name.Span);

    /// <summary>The value decoded as UTF-8. Allocates.</summary>
    public string ValueText => Encoding.UTF8.GetString(Value.Span);
}

/// <summary>
/// The ordered fields of an entry, in one immutable buffer that the garbage collector owns: keep it as long as you like.
/// </summary>
/// <remarks>
/// <code>
/// field  ┌───────────────┬──────┬────────────────┬───────┐   repeated, in order,
///        │ name length   │ name │ value length   │ value │   until the buffer ends
///        └───────────────┴──────┴────────────────┴───────┘
///          LEB128 varint          LEB128 varint
/// </code>
/// The same bytes go into the journal. Reading a field slices the buffer and allocates nothing. Files that must change with this layout:
/// this one, <see cref="EntryFieldsWriter"/>, <see cref="Varint"/>.
/// </remarks>
[DebuggerDisplay("{ToString(),nq}")]
public readonly struct EntryFields : IEnumerable<EntryField>, IEquatable<EntryFields>
{
    private EntryFields(ReadOnlyMemory<byte> packed, int count)
    {
        Packed = packed;
        Count = count;
    }

    /// <summary>No fields. A store refuses to append it; it stands for an entry that is no longer in its stream.</summary>
    public static EntryFields Empty => default;

    /// <summary>Number of fields.</summary>
    public int Count { get; }

    /// <summary>The packed form, see the remarks of the type.</summary>
    public ReadOnlyMemory<byte> Packed { get; }

    /// <summary>Makes fields of name and value pairs, encoded as UTF-8. Two allocations.</summary>
    /// <param name="fields">The pairs, in order.</param>
    public static EntryFields Create(params ReadOnlySpan<(string Name, string Value)> fields)
    {
        var writer = new EntryFieldsWriter();
        foreach (var (name, value) in fields)
            writer.Add(name, value);
        return writer.ToFields();
    }

    /// <summary>Reads the packed form. The buffer is kept, not copied: it must never change again.</summary>
    /// <exception cref="FormatException">The bytes are not whole fields.</exception>
    public static EntryFields FromPacked(ReadOnlyMemory<byte> packed)
    {
        var span = packed.Span;
        int offset = 0, parts = 0;
        while (offset < span.Length)
        {
            if (!Varint.TryRead(span, ref offset, out var length) || length > (ulong)(span.Length - offset))
                throw new FormatException($"Packed fields are cut off or damaged at byte {offset} of {span.Length}.");
            offset += (int)length;
            parts++;
        }

        if (parts % 2 != 0)
            throw new FormatException("Packed fields end after a name without a value.");
        return new(packed, parts / 2);
    }

    /// <summary>Takes packed bytes that our own writer made, with their count.</summary>
    internal static EntryFields FromTrusted(ReadOnlyMemory<byte> packed, int count) => new(packed, count);

    /// <summary>Finds the first field of a name. Looks at the fields in order; allocates nothing.</summary>
    /// <param name="name">The name as UTF-8 bytes, as in <c>"type"u8</c>.</param>
    /// <param name="value">The value, a slice of the packed buffer.</param>
    public bool TryGet(ReadOnlySpan<byte> name, out ReadOnlyMemory<byte> value)
    {
        foreach (var field in this)
        {
            if (field.Name.Span.SequenceEqual(name))
            {
                value = field.Value;
                return true;
            }
        }

        value = default;
        return false;
    }

    /// <summary>The value of the first field of a name as text, or <see langword="null"/> when there is none. Allocates the string.</summary>
    public string? GetText(ReadOnlySpan<byte> name) => TryGet(name, out var value) ? Encoding.UTF8.GetString(value.Span) : null;

    /// <summary>Enumerates the fields in order without allocating.</summary>
    public Enumerator GetEnumerator() => new(Packed);

    IEnumerator<EntryField> IEnumerable<EntryField>.GetEnumerator() => GetEnumerator();

    IEnumerator IEnumerable.GetEnumerator() => GetEnumerator();

    /// <summary>Equal when names, values and order are equal, byte for byte.</summary>
    public bool Equals(EntryFields other) => Packed.Span.SequenceEqual(other.Packed.Span);

    /// <inheritdoc/>
    public override bool Equals(object? obj) => obj is EntryFields other && Equals(other);

    /// <inheritdoc/>
    public override int GetHashCode()
    {
        var hash = new HashCode();
        hash.AddBytes(Packed.Span);
        return hash.ToHashCode();
    }

    /// <summary>Whether both hold the same fields in the same order.</summary>
    public static bool operator ==(EntryFields left, EntryFields right) => left.Equals(right);

    /// <summary>Whether the two differ.</summary>
    public static bool operator !=(EntryFields left, EntryFields right) => !left.Equals(right);

    /// <summary>The fields as <c>name=value</c> text, for logs of tests and for the debugger.</summary>
    public override string ToString() => string.Join(' ', this.Select(field => $"{field.NameText}={field.ValueText}"));

    /// <summary>Walks the packed form.</summary>
    public struct Enumerator : IEnumerator<EntryField>
    {
        private readonly ReadOnlyMemory<byte> _packed;
        private int _offset;

        internal Enumerator(ReadOnlyMemory<byte> packed) => _packed = packed;

        /// <inheritdoc/>
        public EntryField Current { get; private set; }

        readonly object IEnumerator.Current => Current;

        /// <inheritdoc/>
        public bool MoveNext()
        {
            if (_offset >= _packed.Length)
                return false;

            var name = Take();
            Current = new(name, Take());
            return true;
        }

        /// <inheritdoc/>
        public void Reset() => _offset = 0;

        /// <inheritdoc/>
        public readonly void Dispose()
        {
        }

        private ReadOnlyMemory<byte> Take()
        {
            // Whoever made the fields has checked them.
            var length = (int)Varint.ReadTrusted(_packed.Span, ref _offset);
            var part = _packed.Slice(_offset, length);
            _offset += length;
            return part;
        }
    }
}
