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

/// <summary>Adds items to an end of a list, one after the other, and makes the list when it is missing. The result is its length.</summary>
/// <remarks><code>key text | 1 for the head, 0 for the tail | count | count × bytes</code></remarks>
internal readonly record struct PushList(string Key, bool AtHead, IReadOnlyList<byte[]> Items) : IMutation<long>
{
    public MutationKind Kind => MutationKind.PushList;

    public bool Apply(StreamEngine engine, long nowMs, out long result)
    {
        var list = engine.GetOrAdd<ListValue>(Key);
        for (var i = 0; i < Items.Count; i++)
            list.Push(Items[i], AtHead);
        engine.Signal(Key);
        engine.Touch(Key);
        result = list.Count;
        return true;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Key);
        writer.Byte(AtHead ? (byte)1 : (byte)0);
        writer.Number(Items.Count);
        for (var i = 0; i < Items.Count; i++)
            writer.Bytes(Items[i]);
    }

    public static PushList Read(ref RecordReader reader)
    {
        var key = reader.Text();
        var atHead = reader.Byte() != 0;
        var items = new byte[reader.Count()][];
        for (var i = 0; i < items.Length; i++)
            items[i] = reader.Bytes();
        return new(key, atHead, items);
    }
}

/// <summary>Takes items from an end of a list, and the list away when it is empty. The result is the items.</summary>
/// <remarks><code>key text | 1 for the head, 0 for the tail | count</code></remarks>
internal readonly record struct PopList(string Key, bool AtHead, long Count) : IMutation<byte[][]>
{
    public MutationKind Kind => MutationKind.PopList;

    public bool Apply(StreamEngine engine, long nowMs, out byte[][] result)
    {
        result = [];
        if (engine.Find(Key) is not ListValue list || Count == 0)
            return false;
        result = new byte[Math.Min(Count, list.Count)][];
        for (var i = 0; i < result.Length; i++)
            result[i] = list.Pop(AtHead);
        if (list.Count == 0)
            engine.RemoveKey(Key);
        else
            engine.Touch(Key);
        return true;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Key);
        writer.Byte(AtHead ? (byte)1 : (byte)0);
        writer.Number(Count);
    }

    public static PopList Read(ref RecordReader reader) => new(reader.Text(), reader.Byte() != 0, reader.PositiveNumber());
}

/// <summary>Adds members to a set, which is made when it is missing. The result is how many are new.</summary>
/// <remarks><code>key text | count | count × member text</code></remarks>
internal readonly record struct AddMembers(string Key, IReadOnlyList<string> Members) : IMutation<long>
{
    public MutationKind Kind => MutationKind.AddMembers;

    public bool Apply(StreamEngine engine, long nowMs, out long result)
    {
        var set = engine.GetOrAdd<SetValue>(Key);
        result = 0;
        for (var i = 0; i < Members.Count; i++)
        {
            if (set.Add(Members[i]))
                result++;
        }

        if (result > 0)
            engine.Touch(Key);
        return result > 0;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Key);
        writer.Number(Members.Count);
        for (var i = 0; i < Members.Count; i++)
            writer.Text(Members[i]);
    }

    public static AddMembers Read(ref RecordReader reader)
    {
        var key = reader.Text();
        return new(key, DeleteKeys.Read(ref reader).Keys);
    }
}

/// <summary>Takes members out of a set, and the set away when it is empty. The result is how many there were.</summary>
/// <remarks><code>key text | count | count × member text</code></remarks>
internal readonly record struct RemoveMembers(string Key, IReadOnlyList<string> Members) : IMutation<long>
{
    public MutationKind Kind => MutationKind.RemoveMembers;

    public bool Apply(StreamEngine engine, long nowMs, out long result)
    {
        result = 0;
        if (engine.Find(Key) is not SetValue set)
            return false;
        for (var i = 0; i < Members.Count; i++)
        {
            if (set.Remove(Members[i]))
                result++;
        }

        if (set.Members.Count == 0)
            engine.RemoveKey(Key);
        else if (result > 0)
            engine.Touch(Key);
        return result > 0;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Key);
        writer.Number(Members.Count);
        for (var i = 0; i < Members.Count; i++)
            writer.Text(Members[i]);
    }

    public static RemoveMembers Read(ref RecordReader reader)
    {
        var key = reader.Text();
        return new(key, DeleteKeys.Read(ref reader).Keys);
    }
}
