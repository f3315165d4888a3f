using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>Puts a value that was written before under a key, over what is there. The result is always true.</summary>
/// <param name="Key">The key.</param>
/// <param name="Record">The value as <see cref="ValueRecord"/> writes it.</param>
/// <param name="ExpiresMs">When it is taken away, in Unix milliseconds, or null: never.</param>
/// <remarks><code>key text | record bytes | Unix milliseconds when it is taken away, 0 for never</code></remarks>
internal readonly record struct RestoreKey(string Key, ReadOnlyMemory<byte> Record, long? ExpiresMs) : IMutation<bool>
{
    public MutationKind Kind => MutationKind.RestoreKey;

    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>: the record is not one. Nothing changed.</exception>
    public bool Apply(StreamEngine engine, long nowMs, out bool result)
    {
        var value = ValueRecord.Read(Record.Span);
        value.ExpiresMs = ExpiresMs;
        engine.PutKey(Key, value);
        return result = true;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Key);
        writer.Bytes(Record.Span);
        writer.Number(ExpiresMs ?? 0);
    }

    public static RestoreKey Read(ref RecordReader reader)
    {
        var (key, record, expiresMs) = (reader.Text(), reader.Bytes(), reader.PositiveNumber());
        return new(key, record, expiresMs == 0 ? null : expiresMs);
    }
}
