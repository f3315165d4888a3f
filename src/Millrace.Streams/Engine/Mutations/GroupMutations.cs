using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>
/// Makes a group, and the stream when it is new. What the group has read may be given, and then is at most what was appended. The result is
/// whether the group is new.
/// </summary>
/// <remarks><code>stream text | group text | start | entries read + 1, or 0 for unknown</code></remarks>
internal readonly record struct CreateGroup(string Stream, string Group, GroupStart Start, long? EntriesRead = null) : IMutation<bool>
{
    public MutationKind Kind => MutationKind.CreateGroup;

    public bool Apply(StreamEngine engine, long nowMs, out bool result)
    {
        var isNewStream = engine.FindStream(Stream) is null;
        var stream = engine.GetOrAddStream(Stream);
        result = stream.AddGroup(Group, Start);
        if (result && EntriesRead is { } read)
            stream.FindGroup(Group)!.EntriesRead = Math.Min(read, stream.EntriesAdded);
        if (isNewStream)
            engine.Touch(Stream);
        return result;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Text(Group);
        writer.Start(Start);
        writer.OptionalNumber(EntriesRead);
    }

    public static CreateGroup Read(ref RecordReader reader) => new(reader.Text(), reader.Text(), reader.Start(), reader.OptionalNumber());
}

/// <summary>
/// Moves a group's cursor. What it has read can no longer be counted unless it is given. As in Redis, readers that wait are not woken. The
/// result is always true.
/// </summary>
/// <remarks><code>stream text | group text | start | entries read + 1, or 0 for unknown</code></remarks>
internal readonly record struct SetGroup(string Stream, string Group, GroupStart Start, long? EntriesRead = null) : IMutation<bool>
{
    public MutationKind Kind => MutationKind.SetGroup;

    public bool Apply(StreamEngine engine, long nowMs, out bool result)
    {
        var group = engine.GetGroup(Stream, Group, out var stream);
        group.LastDeliveredId = stream.Resolve(Start);
        group.EntriesRead = EntriesRead is { } read ? Math.Min(read, stream.EntriesAdded) : null;
        return result = true;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Text(Group);
        writer.Start(Start);
        writer.OptionalNumber(EntriesRead);
    }

    public static SetGroup Read(ref RecordReader reader) => new(reader.Text(), reader.Text(), reader.Start(), reader.OptionalNumber());
}

/// <summary>Deletes a group with its pending entries. The result is whether there was one.</summary>
/// <remarks><code>stream text | group text</code></remarks>
internal readonly record struct DestroyGroup(string Stream, string Group) : IMutation<bool>
{
    public MutationKind Kind => MutationKind.DestroyGroup;

    public bool Apply(StreamEngine engine, long nowMs, out bool result)
    {
        result = engine.FindStream(Stream)?.RemoveGroup(Group) ?? false;
        if (result)
            engine.Signal(Stream);
        return result;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Text(Group);
    }

    public static DestroyGroup Read(ref RecordReader reader) => new(reader.Text(), reader.Text());
}

/// <summary>Makes a consumer. The result is whether it is new.</summary>
/// <remarks><code>stream text | group text | consumer text</code></remarks>
internal readonly record struct CreateConsumer(string Stream, string Group, string Consumer) : IMutation<bool>
{
    public MutationKind Kind => MutationKind.CreateConsumer;

    public bool Apply(StreamEngine engine, long nowMs, out bool result)
    {
        var group = engine.GetGroup(Stream, Group, out _);
        result = group.FindConsumer(Consumer) is null;
        if (result)
            group.GetOrAddConsumer(Consumer, nowMs, out _);
        return result;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Text(Group);
        writer.Text(Consumer);
    }

    public static CreateConsumer Read(ref RecordReader reader) => new(reader.Text(), reader.Text(), reader.Text());
}

/// <summary>Deletes a consumer with its pending entries. The result is how many went with it.</summary>
/// <remarks><code>stream text | group text | consumer text</code></remarks>
internal readonly record struct DeleteConsumer(string Stream, string Group, string Consumer) : IMutation<long>
{
    public MutationKind Kind => MutationKind.DeleteConsumer;

    public bool Apply(StreamEngine engine, long nowMs, out long result)
    {
        var dropped = engine.GetGroup(Stream, Group, out _).RemoveConsumer(Consumer);
        result = dropped ?? 0;
        return dropped is not null;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Text(Group);
        writer.Text(Consumer);
    }

    public static DeleteConsumer Read(ref RecordReader reader) => new(reader.Text(), reader.Text(), reader.Text());
}
