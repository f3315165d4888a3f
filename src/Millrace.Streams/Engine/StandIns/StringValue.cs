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

    public override string Encoding => IsInteger(Bytes.Span) ? "int" : Bytes.Length <= MaxEmbeddedBytes ? "embstr" : "raw";

    public override ValueKind Kind => ValueKind.String;

    public override long SizeBytes => 48 + Bytes.Length;

    public override void Write(RecordWriter writer) => writer.Bytes(Bytes.Span);

    public override KeyspaceValue Clone() => new StringValue(Bytes);

    /// <summary>Whether the bytes are a signed number of 64 bits in its one canonical form.</summary>
    private static bool IsInteger(ReadOnlySpan<byte> text)
    {
        Span<byte> canonical = stackalloc byte[20];
        return Utf8Parser.TryParse(text, out long value, out var used) && used == text.Length &&
            Utf8Formatter.TryFormat(value, canonical, out var length) && text.SequenceEqual(canonical[..length]);
    }
}
