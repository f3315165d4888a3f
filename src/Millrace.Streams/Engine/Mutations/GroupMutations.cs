using Millrace.Streams.Engine.Records;

namespace Millrace.Streams.Engine.Mutations;

/// <summary>Makes a group, and the stream when it is new. The result is whether the group is new.</summary>
/// <remarks><code>stream text | group text | start</code></remarks>
internal readonly record struct CreateGroup(string Stream, string Group, GroupStart Start) : IMutation<bool>
{
    public MutationKind Kind => MutationKind.CreateGroup;

    public bool Apply(StreamEngine engine, long nowMs, out bool result) =>
        result = engine.GetOrAddStream(Stream).AddGroup(Group, Start);

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Text(Group);
        writer.Start(Start);
    }

    public static CreateGroup Read(ref RecordReader reader) => new(reader.Text(), reader.Text(), reader.Start());
}

/// <summary>Moves a group's cursor. What it has read can no longer be counted. The result is always true.</summary>
/// <remarks><code>stream text | group text | start</code></remarks>
internal readonly record struct SetGroup(string Stream, string Group, GroupStart Start) : IMutation<bool>
{
    public MutationKind Kind => MutationKind.SetGroup;

    public bool Apply(StreamEngine engine, long nowMs, out bool result)
    {
        var group = engine.GetGroup(Stream, Group, out var stream);
        group.LastDeliveredId = stream.Resolve(Start);
        group.EntriesRead = null;
        engine.Signal(Stream);
        return result = true;
    }

    public void Write(RecordWriter writer)
    {
        writer.Text(Stream);
        writer.Text(Group);
        writer.Start(Start);
    }

    public static SetGroup Read(ref RecordReader reader) => new(reader.Text(), reader.Text(), reader.Start());
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
