using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>Deletes keys, whatever they hold. The result is how many there were.</summary>
/// <remarks><code>count | count × key text</code></remarks>
internal readonly record struct DeleteKeys(IReadOnlyList<string> Keys) : IMutation<long>
{
    public MutationKind Kind => MutationKind.DeleteKeys;

    public bool Apply(StreamEngine engine, long nowMs, out long result)
    {
        result = 0;
        for (var i = 0; i < Keys.Count; i++)
        {
            if (engine.RemoveKey(Keys[i]) is not null)
                result++;
        }

        return result > 0;
    }

    public void Write(RecordWriter writer)
    {
        writer.Number(Keys.Count);
        for (var i = 0; i < Keys.Count; i++)
            writer.Text(Keys[i]);
    }

    public static DeleteKeys Read(ref RecordReader reader)
    {
        var keys = new string[reader.Count()];
        for (var i = 0; i < keys.Length; i++)
            keys[i] = reader.Text();
        return new(keys);
    }
}

/// <summary>Deletes all keys of the current database, or of every database. The result is how many there were.</summary>
/// <remarks><code>1 for every database, 0 for the current one</code></remarks>
internal readonly record struct ClearKeys(bool EveryDatabase) : IMutation<long>
{
    public MutationKind Kind => MutationKind.ClearKeys;

    public bool Apply(StreamEngine engine, long nowMs, out long result)
    {
        var current = engine.Database;
        result = 0;
        for (var number = 0; number < StreamEngine.DatabaseCount; number++)
        {
            if (!EveryDatabase && number != current)
                continue;
            engine.Select(number);
            result += engine.Clear();
        }

        engine.Select(current);
        return result > 0;
    }

    public void Write(RecordWriter writer) => writer.Byte(EveryDatabase ? (byte)1 : (byte)0);

    public static ClearKeys Read(ref RecordReader reader) => new(reader.Byte() != 0);
}

/// <summary>Says when a key is taken away, or that it never is. The result is whether there is such a key.</summary>
/// <remarks><code>key text | Unix milliseconds, 0 for never</code></remarks>
internal readonly record struct SetExpiry(string Key, long? ExpiresMs) : IMutation<bool>
{
    public MutationKind Kind => MutationKind.SetExpiry;

    public bool Apply(StreamEngine engine, long nowMs, out bool result)
    {
        var value = engine.Keyspace.Find(Key);
        result = value is not null;
        if (value is null)
            return false;
        engine.Touch(Key);
        if (value.ExpiresMs == ExpiresMs)
            return false;
        engine.SetExpiry(value, ExpiresMs);
        return true;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Key);
        writer.Number(ExpiresMs ?? 0);
    }

    public static SetExpiry Read(ref RecordReader reader)
    {
        var key = reader.Text();
        var expiresMs = reader.PositiveNumber();
        return new(key, expiresMs == 0 ? null : expiresMs);
    }
}

/// <summary>
/// Moves a value to another key and database, over what is there. Its expiry moves along. The result is whether there was one.
/// </summary>
/// <remarks><code>key text | target database byte | target key text</code></remarks>
internal readonly record struct MoveKey(string Key, int TargetDatabase, string TargetKey) : IMutation<bool>
{
    public MutationKind Kind => MutationKind.MoveKey;

    public bool Apply(StreamEngine engine, long nowMs, out bool result)
    {
        var database = engine.Database;
        result = (TargetDatabase != database || TargetKey != Key) && engine.Keyspace.ContainsKey(Key);
        if (!result)
            return false;
        var value = engine.RemoveKey(Key)!;
        engine.Select(TargetDatabase);
        engine.PutKey(TargetKey, value);
        engine.Select(database);
        return true;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Key);
        writer.Byte((byte)TargetDatabase);
        writer.Text(TargetKey);
    }

    public static MoveKey Read(ref RecordReader reader)
    {
        var key = reader.Text();
        var database = reader.Database();
        return new(key, database, reader.Text());
    }
}

/// <summary>
/// Copies a value to another key and database, over what is there. The copy expires with the original. The result is whether there was one.
/// </summary>
/// <remarks><code>key text | target database byte | target key text</code></remarks>
internal readonly record struct CopyKey(string Key, int TargetDatabase, string TargetKey) : IMutation<bool>
{
    public MutationKind Kind => MutationKind.CopyKey;

    public bool Apply(StreamEngine engine, long nowMs, out bool result)
    {
        var database = engine.Database;
        var value = engine.Keyspace.Find(Key);
        result = value is not null && (TargetDatabase != database || TargetKey != Key);
        if (!result)
            return false;
        var copy = value!.Clone();
        copy.ExpiresMs = value.ExpiresMs;
        engine.Select(TargetDatabase);
        engine.PutKey(TargetKey, copy);
        engine.Select(database);
        return true;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Key);
        writer.Byte((byte)TargetDatabase);
        writer.Text(TargetKey);
    }

    public static CopyKey Read(ref RecordReader reader)
    {
        var key = reader.Text();
        var database = reader.Database();
        return new(key, database, reader.Text());
    }
}

/// <summary>Exchanges the keys of two databases. The result is whether they are two.</summary>
/// <remarks><code>first database byte | second database byte</code></remarks>
internal readonly record struct SwapDatabases(int First, int Second) : IMutation<bool>
{
    public MutationKind Kind => MutationKind.SwapDatabases;

    public bool Apply(StreamEngine engine, long nowMs, out bool result)
    {
        result = First != Second;
        if (result)
            engine.SwapDatabases(First, Second);
        return result;
    }

    public void Write(RecordWriter writer)
    {
        writer.Byte((byte)First);
        writer.Byte((byte)Second);
    }

    public static SwapDatabases Read(ref RecordReader reader) => new(reader.Database(), reader.Database());
}
