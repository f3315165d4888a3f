using System.Buffers;
using System.Text;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Engine.Records;

namespace Millrace.Tests.Engine;

/// <summary>
/// An engine with a clock the test moves, driven as the store drives it: a tick when something is due, a record for all that changed.
/// </summary>
internal sealed class EngineRun
{
    public StreamEngine Engine { get; } = new();

    /// <summary>Unix milliseconds.</summary>
    public long NowMs { get; set; } = 1_000_000;

    /// <summary>What the journal would hold.</summary>
    public List<byte[]> Records { get; } = [];

    public TResult Apply<TMutation, TResult>(TMutation mutation)
        where TMutation : struct, IMutation<TResult>
    {
        Tick();
        var result = ApplyAndRecord<TMutation, TResult>(mutation);
        Tick();
        return result;
    }

    public void Tick()
    {
        if (Engine.NextDueMs <= NowMs)
            ApplyAndRecord<Tick, int>(new(1_000));
    }

    public EntryId Append(string stream, string value = "x", StreamTrim? trim = null) =>
        Apply<Append, EntryId>(new(stream, Fields(value), trim));

    public bool CreateGroup(string stream, string group = "g", GroupStart start = default) =>
        Apply<CreateGroup, bool>(new(stream, group, start));

    public DeliveredEntry[] Read(string stream, string consumer, int count = 100, string group = "g")
    {
        var delivered = Apply<ReadGroup, DeliveredRange>(new(stream, group, consumer, count));
        return Engine.FindStream(stream)!.Copy(delivered);
    }

    public long Ack(string stream, params EntryId[] ids) => Apply<Ack, long>(new(stream, "g", ids));

    public CommitResult Commit(params CommitChange[] changes) => Commit([], changes);

    public CommitResult Commit(CommitCondition[] conditions, params CommitChange[] changes) =>
        Apply<ApplyCommit, CommitResult>(new(new() { Conditions = conditions, Changes = changes }));

    public string[] Values(string stream) => [.. Engine.Range(stream, new() { Count = 10_000 }).Select(entry => entry.Fields.GetText("v"u8)!)];

    public GroupInfo Group(string stream, string group = "g") => Engine.Groups(stream).Single(info => info.Name == group);

    public static EntryFields Fields(string value) => EntryFields.Create(("v", value));

    public static byte[] Encode<TMutation>(TMutation mutation, long nowMs)
        where TMutation : struct, IMutation
    {
        var output = new ArrayBufferWriter<byte>();
        MutationRecord.Write(output, mutation, 0, nowMs);
        return output.WrittenSpan.ToArray();
    }

    /// <summary>A second engine, made of the records alone.</summary>
    public StreamEngine Replay()
    {
        var engine = new StreamEngine();
        foreach (var record in Records)
            engine.Replay(record);
        engine.Verify();
        return engine;
    }

    /// <summary>
    /// Everything an engine holds as text, one line for each thing, in one canonical order. Left out: when consumers were last seen, which is
    /// not journaled for reads that bring nothing.
    /// </summary>
    public static string Dump(StreamEngine engine)
    {
        var text = new StringBuilder();
        foreach (var (key, value) in engine.Keyspace.OrderBy(item => item.Key, StringComparer.Ordinal))
        {
            switch (value)
            {
                case StreamValue stream:
                    text.AppendLine($"{key}: last {stream.LastGeneratedId}, deleted {stream.MaxDeletedId}, added {stream.EntriesAdded}");
                    var producers = stream.Producers;
                    text.AppendLine(
                        $"  remembers {producers.MaxSize} IDs for {producers.DurationSeconds} s: {string.Join(' ', producers.InOrder)}, " +
                        $"added {producers.Added}, repeated {producers.Duplicates}");
                    foreach (var entry in stream.Entries.Read(EntryId.Zero, EntryId.Max, int.MaxValue))
                        text.AppendLine($"  {entry.Id} {Convert.ToHexString(entry.Fields.Packed.Span)}");
                    foreach (var group in stream.Groups.OrderBy(group => group.Name, StringComparer.Ordinal))
                        Dump(text, stream, group);
                    break;
                case StringValue state:
                    text.AppendLine($"{key}: expires {state.ExpiresMs}, {Convert.ToHexString(state.Bytes.Span)}");
                    break;
                case ScheduleValue schedule:
                    text.AppendLine($"{key}: schedule of {schedule.Stream}");
                    foreach (var (dueMs, fields) in schedule.InOrder)
                        text.AppendLine($"  {dueMs} {Convert.ToHexString(fields.Packed.Span)}");
                    break;
            }
        }

        return text.AppendLine($"next due {engine.NextDueMs}").ToString();
    }

    private static void Dump(StringBuilder text, StreamValue stream, ConsumerGroup group)
    {
        text.AppendLine($"  group {group.Name}: delivered {group.LastDeliveredId}, read {group.EntriesRead}, lag {stream.LagOf(group)}");
        foreach (var consumer in group.Consumers.OrderBy(consumer => consumer.Name, StringComparer.Ordinal))
            text.AppendLine($"    consumer {consumer.Name}: {consumer.HeldCount}, active {consumer.ActiveMs}");
        foreach (var (id, pending) in group.Pending)
            text.AppendLine($"    {id} {pending.Owner?.Name ?? "nobody"} at {pending.DeliveredMs}, {pending.DeliveryCount} times");
    }

    public TResult ApplyAndRecord<TMutation, TResult>(TMutation mutation)
        where TMutation : struct, IMutation<TResult>
    {
        var record = Encode(mutation, NowMs);
        if (Engine.Apply(mutation, NowMs, out TResult result))
            Records.Add(record);
        Engine.Signals.Clear();
        return result;
    }
}
