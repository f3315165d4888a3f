using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Logging;
using Millrace.Redis;

namespace Millrace;

/// <summary>Puts the streams of an application on Redis.</summary>
public static class RedisMillraceBuilderExtensions
{
    extension(MillraceBuilder builder)
    {
        /// <summary>
        /// Keeps the streams on a Redis (7.0 or newer) or Valkey (7.2 or newer) server. The container owns the store; the host connects
        /// when it starts, and fails to start when the server cannot be reached.
        /// </summary>
        /// <param name="connection">
        /// <c>host:port,option=value</c>, or a URL with <c>redis://</c> or <c>rediss://</c>; see <see cref="RedisOptions.Parse"/>.
        /// </param>
        /// <param name="configure">Sets options that the text does not, after it was read.</param>
        /// <exception cref="FormatException">The text is not a connection.</exception>
        public MillraceBuilder UseRedis(string connection, Action<RedisOptions>? configure = null)
        {
            ArgumentException.ThrowIfNullOrEmpty(connection);
            var options = RedisOptions.Parse(connection);
            configure?.Invoke(options);
            return builder.UseStore(services => new RedisStreamStore(
                options, services.GetService<TimeProvider>(), services.GetService<ILogger<RedisStreamStore>>()));
        }
    }
}
