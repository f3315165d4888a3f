using System.Buffers.Text;
using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine;

/// <summary>A string: what applications keep beside their streams. Immutable; a change puts another one in its place.</summary>
internal sealed class StringValue(ReadOnlyMemory<byte> bytes) : KeyspaceValue
{
    /// <summary>Up to so many bytes Redis keeps a string together with its header.</summary>
    private const int MaxEmbeddedBytes = 44;

    /// <summary>Owned by the engine.</summary>
    public ReadOnlyMemory<byte> Bytes { get; } = bytes;

    public override string TypeName => "string";

    public override string Encoding => Number is not null ? "int" : Bytes.Length <= MaxEmbeddedBytes ? "embstr" : "raw";

    /// <summary>The signed number of 64 bits that the bytes are in its one canonical form, or null.</summary>
    public long? Number
    {
        get
        {
            Span<byte> canonical = stackalloc byte[20];
            return Utf8Parser.TryParse(Bytes.Span, out long value, out var used) && used == Bytes.Length &&
                Utf8Formatter.TryFormat(value, canonical, out var length) && Bytes.Span.SequenceEqual(canonical[..length])
                ? value
                : null;
        }
    }

    public override ValueKind Kind => ValueKind.String;

    public override long SizeBytes => 48 + Bytes.Length;

    public override void Write(RecordWriter writer) => writer.Bytes(Bytes.Span);

    public override KeyspaceValue Clone() => new StringValue(Bytes);

    public override KeyspaceValue Capture() => this;
}
