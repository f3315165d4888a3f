using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Records;
using Millrace.Streams.Engine.Snapshots;

namespace Millrace.Tests.Engine.Snapshots;

/// <summary>Snapshots in memory, and engines as text that can be compared.</summary>
internal static class SnapshotParts
{
    /// <summary>The parts of an image, each of which is checked for its size.</summary>
    public static List<byte[]> Of(EngineImage image)
    {
        var parts = new List<byte[]>();
        SnapshotWriter.Write(image, part =>
        {
            Assert.InRange(part.Length, 1, SnapshotWriter.MaxPartBytes);
            parts.Add(part.ToArray());
        });
        return parts;
    }

    public static StreamEngine Read(IEnumerable<byte[]> parts)
    {
        var engine = SnapshotReader.Read(parts.Select(static part => (ReadOnlyMemory<byte>)part));
        engine.Verify();
        return engine;
    }

    /// <summary>The same bytes in parts of one size.</summary>
    public static IEnumerable<byte[]> Cut(List<byte[]> parts, int partBytes) => parts.SelectMany(static part => part).Chunk(partBytes);

    /// <summary>
    /// Everything there is, in an order that does not depend on how it came to be. Left out on demand: when the store was last called, and consumers
    /// were last seen, which is not journaled for calls that change nothing else.
    /// </summary>
    public static string Describe(StreamEngine engine, bool withSeen)
    {
        var text = new StringBuilder();
        var options = engine.Options;
        text.AppendLine($"{options.StreamNodeMaxEntries} {options.StreamIdmpDurationSeconds} {options.StreamIdmpMaxSize}");
        text.AppendLine($"due {engine.NextDueMs}, newest {(withSeen ? engine.NewestMs : 0)}");
        for (var number = 0; number < engine.Databases.Count; number++)
        {
            foreach (var (key, value) in engine.Databases[number].OrderBy(item => item.Key, StringComparer.Ordinal))
            {
                text.AppendLine($"{number} {key} {value.TypeName} expires {value.ExpiresMs} due {value.DueMs}");
                if (value is StreamValue stream)
                    Describe(text, stream, withSeen);
                else if (value is SetValue set)
                    text.AppendLine($"  {string.Join(' ', set.Members.Order(StringComparer.Ordinal))}");
                else
                    text.AppendLine($"  {Hash(value.WriteSnapshot)}");
            }
        }

        return text.ToString();
    }

    private static void Describe(StringBuilder text, StreamValue stream, bool withSeen)
    {
        text.AppendLine($"  {stream.Entries.Count} {stream.Entries.FirstId} {stream.Entries.LastId} in {stream.Entries.BlockCount}: " +
            $"{Hash(stream.Entries.WriteSnapshot)}");
        text.AppendLine($"  last {stream.LastGeneratedId}, deleted {stream.MaxDeletedId}, added {stream.EntriesAdded}");
        text.AppendLine($"  {string.Join(' ', stream.Producers.InOrder)} {Hash(stream.Producers.WriteSnapshot)}");
        foreach (var group in stream.Groups.OrderBy(group => group.Name, StringComparer.Ordinal))
        {
            text.AppendLine($"  group {group.Name}: delivered {group.LastDeliveredId}, read {group.EntriesRead}, lag {stream.LagOf(group)}");
            foreach (var consumer in group.Consumers.OrderBy(consumer => consumer.Name, StringComparer.Ordinal))
                text.AppendLine($"    {consumer.Name}: {consumer.HeldCount}, active {consumer.ActiveMs}, seen {(withSeen ? consumer.SeenMs : 0)}");
            foreach (var (id, pending) in group.Pending)
                text.AppendLine($"    {id} {pending.Owner?.Name ?? "nobody"} at {pending.DeliveredMs}, {pending.DeliveryCount} times");
            text.AppendLine($"    released {string.Join(' ', group.Pending.Released())}");
        }
    }

    private static string Hash(Action<RecordWriter> write)
    {
        var output = new ArrayBufferWriter<byte>();
        write(new(output));
        return $"{output.WrittenCount} {Convert.ToHexString(SHA256.HashData(output.WrittenSpan)[..8])}";
    }
}
