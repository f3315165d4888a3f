using System.Buffers.Binary;
using System.Runtime.InteropServices;
using System.Security.Cryptography;
using System.Text;
using Microsoft.EntityFrameworkCore;
using Millrace.Streams;

namespace Millrace.EntityFrameworkCore;

/// <summary>Makes rows of messages. What is wrong with a message shows here, in the code that publishes it.</summary>
internal sealed class OutboxWriter(
    MessageCodec codec, PriorityLanes lanes, MessageContextAccessor accessor, IEnumerable<OutboxSource> sources)
{
    public void Write<T>(DbContext db, string stream, T message, PublishOptions? options)
        where T : notnull
    {
        var source = sources.FirstOrDefault(one => one.ContextType.IsInstanceOfType(db)) ?? throw new InvalidOperationException(
            $"{db.GetType().Name} has no outbox: call AddOutbox<{db.GetType().Name}>() in AddMillrace.");
        if (db.Model.FindEntityType(typeof(OutboxRow)) is null)
            throw new InvalidOperationException(
                $"The model of {db.GetType().Name} has no table for the outbox: call modelBuilder.AddMillraceOutbox() in OnModelCreating.");

        stream = lanes.StreamOf(stream, options?.Lane);

        // The names of its memory in the store are derived from the stream's.
        StreamArguments.CheckName(stream);
        StreamArguments.Check(OutboxNames.Memory(source.Options.Name!, stream));
        if (options?.Trim is not null)
            throw new ArgumentException("An outbox does not trim the stream; use AddRetention.", nameof(options));
        if (options?.Delay is { } delay)
            StreamArguments.CheckDuration(delay);

        var fields = accessor.Current?.Encode(message, options) ?? codec.Encode(message, options);
        StreamArguments.CheckFields(fields);
        var token = BinaryPrimitives.ReadInt64LittleEndian(RandomNumberGenerator.GetBytes(sizeof(long)));
        var row = new OutboxRow(stream, token, OrderKey(stream, options?.PartitionKey) ?? token, ToArray(fields.Packed))
        {
            DelayMilliseconds = options?.Delay is { } wait ? (long)Math.Ceiling(wait.TotalMilliseconds) : null,
        };
        var entry = db.Add(row);
        if (!entry.Property(one => one.Id).IsTemporary)
        {
            entry.State = EntityState.Detached;
            throw new InvalidOperationException(
                $"The model of {db.GetType().Name} numbers rows of the outbox before they are saved, as HiLo does, so that later ones may come first: " +
                $"let the database number {nameof(OutboxRow)}.{nameof(OutboxRow.Id)} (identity).");
        }

        source.Written(db, row);
    }

    private static long? OrderKey(string stream, string? partitionKey)
    {
        if (partitionKey is null)
            return null;
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(Encoding.UTF8.GetBytes($"{stream}\n{partitionKey}"), hash);
        return BinaryPrimitives.ReadInt64LittleEndian(hash);
    }

    private static byte[] ToArray(ReadOnlyMemory<byte> packed) =>
        MemoryMarshal.TryGetArray(packed, out var part) && part.Array!.Length == part.Count ? part.Array : packed.ToArray();
}
