using System.Text;
using Millrace.Redis.Connections;
using Millrace.Streams;

namespace Millrace.Redis.Commands;

/// <summary>Turns answers of <c>XINFO</c> into what the contract tells. Fields are found by name: newer servers add some.</summary>
internal static class InfoReader
{
    public static StreamInfo ReadStream(RespReply reply) => new()
    {
        Length = Field(reply, "length"u8).Integer,
        LastGeneratedId = EntryReader.ReadId(Field(reply, "last-generated-id"u8)),
        MaxDeletedId = EntryReader.ReadId(Field(reply, "max-deleted-entry-id"u8)),
        EntriesAdded = Field(reply, "entries-added"u8).Integer,
        GroupCount = (int)Field(reply, "groups"u8).Integer,
        FirstEntry = EntryReader.ReadEntry(Field(reply, "first-entry"u8)),
        LastEntry = EntryReader.ReadEntry(Field(reply, "last-entry"u8)),
    };

    public static IReadOnlyList<GroupInfo> ReadGroups(RespReply reply)
    {
        var groups = new List<GroupInfo>(reply.Count);
        foreach (var group in reply)
        {
            groups.Add(new()
            {
                Name = Field(group, "name"u8).Text,
                ConsumerCount = (int)Field(group, "consumers"u8).Integer,
                PendingCount = Field(group, "pending"u8).Integer,
                LastDeliveredId = EntryReader.ReadId(Field(group, "last-delivered-id"u8)),
                EntriesRead = Known(Field(group, "entries-read"u8)),
                Lag = Known(Field(group, "lag"u8)),
            });
        }

        return groups;
    }

    public static IReadOnlyList<ConsumerInfo> ReadConsumers(RespReply reply)
    {
        var consumers = new List<ConsumerInfo>(reply.Count);
        foreach (var consumer in reply)
        {
            consumers.Add(new()
            {
                Name = Field(consumer, "name"u8).Text,
                PendingCount = Field(consumer, "pending"u8).Integer,
                IdleTime = TimeSpan.FromMilliseconds(Math.Max(0, Field(consumer, "idle"u8).Integer)),
            });
        }

        return consumers;
    }

    private static long? Known(RespReply reply) => reply.IsNull ? null : reply.Integer;

    private static RespReply Field(RespReply reply, ReadOnlySpan<byte> name) => reply.TryGet(name, out var value)
        ? value
        : throw new StreamException(
            StreamErrorCode.ServerError, $"The server's XINFO has no field {Encoding.UTF8.GetString(name)}: is it older than 7.0?");
}
