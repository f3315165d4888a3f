using Millrace.Streams;

namespace Millrace.EntityFrameworkCore;

/// <summary>What an outbox keeps in the store.</summary>
internal static class OutboxNames
{
    /// <summary>Who relays at the moment.</summary>
    public static StateKey Lease(string outbox) => new("millrace:outbox", $"{outbox}/lease");

    /// <summary>The rows last relayed to a stream. In the stream's hash slot, since it is written in the commit that appends them.</summary>
    public static StateKey Memory(string outbox, string stream) => new(stream, $"millrace/outbox/{outbox}");
}
