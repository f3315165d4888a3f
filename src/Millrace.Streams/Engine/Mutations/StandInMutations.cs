using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>Puts a string under a key, over whatever is there. The result is always true.</summary>
/// <remarks><code>key text | bytes | Unix milliseconds when it is taken away, 0 for never</code></remarks>
internal readonly record struct SetString(string Key, ReadOnlyMemory<byte> Bytes, long? ExpiresMs) : IMutation<bool>
{
    public MutationKind Kind => MutationKind.SetString;

    public bool Apply(StreamEngine engine, long nowMs, out bool result)
    {
        engine.PutKey(Key, new StringValue(Bytes) { ExpiresMs = ExpiresMs });
        return result = true;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Key);
        writer.Bytes(Bytes.Span);
        writer.Number(ExpiresMs ?? 0);
    }

    public static SetString Read(ref RecordReader reader)
    {
        var key = reader.Text();
        var bytes = reader.Bytes();
        var expiresMs = reader.PositiveNumber();
        return new(key, bytes, expiresMs == 0 ? null : expiresMs);
    }
}
