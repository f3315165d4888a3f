using System.Globalization;
using System.Text;
using Millrace.Streams;
using Millrace.Streams.Engine;

namespace Millrace.Tests.Simulation;

/// <summary>
/// Everything an engine holds as text, in one canonical order, so that two engines can be compared and a difference read. Left out: when consumers
/// were last seen, which is not journaled for reads that bring nothing.
/// </summary>
internal static class StateText
{
    public static string Of(StreamEngine engine)
    {
        var text = new StringBuilder(4096);
        var options = engine.Options;
        text.Append(CultureInfo.InvariantCulture, $"options {options.StreamNodeMaxEntries} {options.StreamIdmpDurationSeconds} ")
            .Append(CultureInfo.InvariantCulture, $"{options.StreamIdmpMaxSize}, next due {engine.NextDueMs}\n");
        for (var number = 0; number < StreamEngine.DatabaseCount; number++)
        {
            if (engine.Databases[number].Count == 0)
                continue;
            text.Append(CultureInfo.InvariantCulture, $"database {number}\n");
            foreach (var (key, value) in engine.Databases[number].OrderBy(item => item.Key, StringComparer.Ordinal))
            {
                text.Append(CultureInfo.InvariantCulture, $" {key}: {value.TypeName}, expires {value.ExpiresMs}\n");
                Add(text, value);
            }
        }

        return text.ToString();
    }

    private static void Add(StringBuilder text, KeyspaceValue value)
    {
        switch (value)
        {
            case StreamValue stream:
                Add(text, stream);
                break;
            case StringValue bytes:
                Bytes(text.Append("  "), bytes.Bytes.Span).Append('\n');
                break;
            case ScheduleValue schedule:
                text.Append("  of ").Append(schedule.Stream).Append('\n');
                foreach (var (dueMs, fields) in schedule.InOrder)
                    Bytes(text.Append(CultureInfo.InvariantCulture, $"  {dueMs} "), fields.Packed.Span).Append('\n');
                break;
            case ListValue list:
                for (var i = 0; i < list.Count; i++)
                    Bytes(text.Append("  "), list[i]).Append('\n');
                break;
            case SetValue set:
                text.Append("  ").AppendJoin(' ', set.Members.Order(StringComparer.Ordinal)).Append('\n');
                break;
            default:
                throw new InvalidOperationException($"A value of type {value.TypeName} is not compared.");
        }
    }

    private static void Add(StringBuilder text, StreamValue stream)
    {
        text.Append(CultureInfo.InvariantCulture, $"  last {stream.LastGeneratedId}, deleted {stream.MaxDeletedId}, added {stream.EntriesAdded}\n");
        var producers = stream.Producers;
        text.Append(CultureInfo.InvariantCulture, $"  producers {producers.MaxSize} {producers.DurationSeconds} {producers.Added} ")
            .Append(CultureInfo.InvariantCulture, $"{producers.Duplicates}: ").AppendJoin(' ', producers.InOrder).Append('\n');
        foreach (var entry in stream.Entries.Read(EntryId.Zero, EntryId.Max, int.MaxValue))
            Bytes(text.Append(CultureInfo.InvariantCulture, $"  {entry.Id} "), entry.Fields.Packed.Span).Append('\n');
        foreach (var group in stream.Groups.OrderBy(group => group.Name, StringComparer.Ordinal))
            Add(text, stream, group);
    }

    private static void Add(StringBuilder text, StreamValue stream, ConsumerGroup group)
    {
        text.Append(CultureInfo.InvariantCulture, $"  group {group.Name}: delivered {group.LastDeliveredId}, read {group.EntriesRead}, ")
            .Append(CultureInfo.InvariantCulture, $"lag {stream.LagOf(group)}, released {group.NackedCount}\n");
        foreach (var consumer in group.Consumers.OrderBy(consumer => consumer.Name, StringComparer.Ordinal))
            text.Append(CultureInfo.InvariantCulture, $"   {consumer.Name} holds {consumer.HeldCount}, active {consumer.ActiveMs}\n");
        foreach (var (id, pending) in group.Pending)
            text.Append(CultureInfo.InvariantCulture, $"   {id} {pending.Owner?.Name} {pending.DeliveredMs} {pending.DeliveryCount}\n");
    }

    private static StringBuilder Bytes(StringBuilder text, ReadOnlySpan<byte> bytes)
    {
        Span<char> hex = stackalloc char[256];
        for (; bytes.Length > 0; bytes = bytes[Math.Min(bytes.Length, 128)..])
        {
            Convert.TryToHexString(bytes[..Math.Min(bytes.Length, 128)], hex, out var written);
            text.Append(hex[..written]);
        }

        return text;
    }
}
