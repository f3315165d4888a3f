using Microsoft.EntityFrameworkCore;

namespace Millrace.EntityFrameworkCore;

/// <summary>
/// Carries news of a commit from processes that write rows to those that relay them, by whatever the database offers. A message that is lost costs time
/// only: the relay polls besides.
/// </summary>
public abstract class OutboxWakeUp
{
    /// <summary>
    /// Tells the relays of other processes that rows were committed. Called after the commit, by processes that do not relay themselves; commits that come
    /// while it runs are told together.
    /// </summary>
    /// <param name="db">A context of the outbox.</param>
    /// <param name="cancellationToken">The process stops.</param>
    public abstract Task SendAsync(DbContext db, CancellationToken cancellationToken);

    /// <summary>Listens until it is cancelled or the connection is lost, which is an exception; it is then called again.</summary>
    /// <param name="db">A context of the outbox, for nothing else.</param>
    /// <param name="wake">To be called when listening has begun, since something may have been missed before, and at each message.</param>
    /// <param name="cancellationToken">The process stops.</param>
    public abstract Task ListenAsync(DbContext db, Action wake, CancellationToken cancellationToken);
}
