namespace Millrace.EntityFrameworkCore;

/// <summary>Wakes relays across processes through PostgreSQL.</summary>
public static class PostgreSqlOutboxExtensions
{
    // The server cuts longer names.
    private const int MaxChannelLength = 63;

    extension(OutboxOptions options)
    {
        /// <summary>
        /// Lets processes that do not relay tell those that do of their commits, by NOTIFY after the commit; and relays LISTEN, with a connection of
        /// their own each.
        /// Any other program may send the same: <c>NOTIFY millrace_outbox</c>. Connections through a pooler that hands them out by transaction cannot
        /// listen; the
        /// relay then polls.
        /// </summary>
        /// <param name="channel">The channel: lower-case letters, digits and underscores, at most 63. Channels are those of one database. Default
        /// <c>millrace_outbox</c>.</param>
        /// <exception cref="ArgumentException">The name of the channel has other characters, or too many.</exception>
        public OutboxOptions UsePostgreSqlNotifications(string channel = "millrace_outbox")
        {
            ArgumentException.ThrowIfNullOrEmpty(channel);
            if (channel.Length > MaxChannelLength || !channel.All(static c => char.IsAsciiLetterLower(c) || char.IsAsciiDigit(c) || c == '_'))
            {
                throw new ArgumentException(
                    $"'{channel}' is no channel: at most {MaxChannelLength} lower-case letters, digits and underscores.", nameof(channel));
            }


            options.WakeUp = new PostgreSqlWakeUp(channel);
            return options;
        }
    }
}
