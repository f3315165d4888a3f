using Microsoft.EntityFrameworkCore;
using Microsoft.EntityFrameworkCore.Infrastructure;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Streams;

namespace Millrace.EntityFrameworkCore;

/// <summary>Publishes messages with the changes of a <c>DbContext</c>.</summary>
public static class OutboxDbContextExtensions
{
    extension(DbContext db)
    {
        /// <summary>
        /// Publishes a message if, and only if, the changes of this context are committed: it becomes a row of the outbox with the next
        /// <c>SaveChanges</c>, in the same transaction, and a relay publishes it afterwards. In a handler the correlation goes on, the cause is the
        /// message handled,
        /// and the message ID is derived from it.
        /// </summary>
        /// <remarks>
        /// Costs one insert in the batch of <c>SaveChanges</c>, and none of the store. Messages of one context are relayed in the order of the calls; a
        /// transaction that begins to save after another was committed comes after it, provided that the database numbers rows as they come (an identity
        /// column; not a sequence with a cache). <see cref="PublishOptions.Delay"/> begins when the relay hands the
        /// message to the store, usually some milliseconds after the commit.
        /// </remarks>
        /// <typeparam name="T">The message type; the class of the instance decides the name it travels under.</typeparam>
        /// <param name="stream">The stream.</param>
        /// <param name="message">The message; serialized now.</param>
        /// <param name="options">More about the message; rows with one <see cref="PublishOptions.PartitionKey"/> keep their order while one of them is
        /// refused and tried again, until it is parked: then those behind it go on. Default: nothing.</param>
        /// <exception cref="ArgumentException">The store would refuse the name of the stream, the delay or the size of the message; or a trim is asked
        /// for.</exception>
        /// <exception cref="InvalidOperationException">
        /// The message type has no declared name, or the context has no outbox: it was not made by the container, <c>AddOutbox</c> is missing, or
        /// <c>AddMillraceOutbox</c> in its model; or the model numbers rows before they are saved, as with HiLo.
        /// </exception>
        public void Publish<T>(string stream, T message, PublishOptions? options = null)
            where T : notnull
        {
            ArgumentNullException.ThrowIfNull(db);
            ArgumentNullException.ThrowIfNull(message);
            var services = db.GetService<IDbContextOptions>().FindExtension<CoreOptionsExtension>()?.ApplicationServiceProvider;
            var writer = services?.GetService<OutboxWriter>() ?? throw new InvalidOperationException(
                $"{db.GetType().Name} knows no outbox: add it with AddDbContext, AddDbContextPool or AddDbContextFactory, and AddOutbox in AddMillrace.");
            writer.Write(db, stream, message, options);
        }
    }
}
