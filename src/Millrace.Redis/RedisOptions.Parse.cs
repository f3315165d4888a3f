using System.Globalization;

namespace Millrace.Redis;

public sealed partial class RedisOptions
{
    private static readonly Dictionary<string, Func<RedisOptions, string, bool>> Settings = new(StringComparer.OrdinalIgnoreCase)
    {
        ["user"] = static (options, value) => Set(options.User = value),
        ["password"] = static (options, value) => Set(options.Password = value),
        ["db"] = static (options, value) => SetNumber(value, number => options.Database = number),
        ["defaultDatabase"] = static (options, value) => SetNumber(value, number => options.Database = number),
        ["ssl"] = static (options, value) => SetFlag(value, flag => options.UseTls = flag),
        ["tls"] = static (options, value) => SetFlag(value, flag => options.UseTls = flag),
        ["sslHost"] = static (options, value) => Set(options.TlsHost = value),
        ["tlsHost"] = static (options, value) => Set(options.TlsHost = value),
        ["tlsAuthorityFile"] = static (options, value) => Set(options.TlsAuthorityFile = value),
        ["name"] = static (options, value) => Set(options.ClientName = value),
        ["connectTimeout"] = static (options, value) => SetNumber(value, ms => options.ConnectTimeout = TimeSpan.FromMilliseconds(ms)),
        ["connectAttempts"] = static (options, value) => SetNumber(value, number => options.ConnectAttempts = number),
        ["reconnectDelay"] = static (options, value) => SetNumber(value, ms => options.ReconnectDelay = TimeSpan.FromMilliseconds(ms)),
        ["maxReconnectDelay"] = static (options, value) =>
            SetNumber(value, ms => options.MaxReconnectDelay = TimeSpan.FromMilliseconds(ms)),
        ["commandTimeout"] = static (options, value) => SetNumber(value, ms => options.CommandTimeout = TimeSpan.FromMilliseconds(ms)),
        ["keepAlive"] = static (options, value) => SetNumber(value, seconds => options.KeepAlive = TimeSpan.FromSeconds(seconds)),
        ["maxPipelinedCommands"] = static (options, value) => SetNumber(value, number => options.MaxPipelinedCommands = number),
        ["maxPipelinedBytes"] = static (options, value) => SetNumber(value, number => options.MaxPipelinedBytes = number),
        ["maxReplyBytes"] = static (options, value) => SetNumber(value, number => options.MaxReplyBytes = number),
    };

    /// <summary>
    /// Reads a configuration string, <c>host:port,option=value,…</c>, or a URL,
    /// <c>redis://user:password@host:port/database?option=value</c>;
    /// <c>rediss</c> means TLS. A password with a comma needs the URL form, where special characters are percent-encoded.
    /// </summary>
    /// <remarks>
    /// Options, in any case: <c>user</c>, <c>password</c>, <c>db</c> (or <c>defaultDatabase</c>), <c>ssl</c> (or
    /// <c>tls</c>), <c>tlsHost</c> (or
    /// <c>sslHost</c>), <c>tlsAuthorityFile</c>, <c>name</c>, <c>connectTimeout</c>, <c>reconnectDelay</c>, <c>maxReconnectDelay</c> and
    /// <c>commandTimeout</c> in milliseconds, <c>keepAlive</c> in seconds, <c>connectAttempts</c>, <c>maxPipelinedCommands</c>,
    /// <c>maxPipelinedBytes</c>, <c>maxReplyBytes</c>.
    /// </remarks>
    /// <param name="text">The text.</param>
    /// <exception cref="FormatException">Something is wrong; the message lists everything, without repeating values,
    /// which may be secret.</exception>
    public static RedisOptions Parse(string text)
    {
        ArgumentNullException.ThrowIfNull(text);
        var options = new RedisOptions();
        var errors = new List<string>();
        if (IsUrl(text))
            ParseUrl(text, options, errors);
        else
            ParseList(text, options, errors);

        errors.AddRange(options.FindErrors());
        return errors.Count == 0
            ? options
            : throw new FormatException($"The Redis connection string is not valid: {string.Join(' ', errors)}");
    }

    private static bool IsUrl(string text) =>
        text.StartsWith("redis://", StringComparison.OrdinalIgnoreCase) || text.StartsWith("rediss://", StringComparison.OrdinalIgnoreCase);

    private static void ParseUrl(string text, RedisOptions options, List<string> errors)
    {
        if (!Uri.TryCreate(text, UriKind.Absolute, out var url))
        {
            errors.Add("The URL cannot be read.");
            return;
        }

        options.UseTls = url.Scheme.Equals("rediss", StringComparison.OrdinalIgnoreCase);
        options.Host = url.IdnHost.Trim('[', ']');
        if (url.Port > 0)
            options.Port = url.Port;

        // "user:password@", or ":password@" for the default user.
        var (user, password) = SplitAtFirst(url.UserInfo, ':');
        options.User = user.Length == 0 ? null : Uri.UnescapeDataString(user);
        options.Password = password is null ? null : Uri.UnescapeDataString(password);

        var database = url.AbsolutePath.Trim('/');
        if (database.Length > 0 && !SetNumber(database, number => options.Database = number))
            errors.Add("The path of the URL must be the number of a database.");
        foreach (var part in url.Query.TrimStart('?').Split('&', StringSplitOptions.RemoveEmptyEntries))
        {
            var (name, value) = SplitAtFirst(part, '=');
            Apply(name, Uri.UnescapeDataString(value ?? ""), options, errors);
        }
    }

    private static void ParseList(string text, RedisOptions options, List<string> errors)
    {
        var endpoints = 0;
        var isAfterPassword = false;
        foreach (var part in text.Split(',', StringSplitOptions.RemoveEmptyEntries | StringSplitOptions.TrimEntries))
        {
            // What follows a password and is no option may be the rest of it: not to be repeated.
            var (name, value) = SplitAtFirst(part, '=');
            if (isAfterPassword && (value is null || !Settings.ContainsKey(name)))
                errors.Add("What follows the password is no option; a password with a comma needs the URL form.");
            else if (value is not null)
                Apply(name, value, options, errors);
            else if (++endpoints == 1)
                ParseEndpoint(part, options, errors);
            isAfterPassword = name.Equals("password", StringComparison.OrdinalIgnoreCase);
        }

        if (endpoints != 1)
            errors.Add($"It must name one endpoint, host:port, but names {endpoints}.");
    }

    private static void ParseEndpoint(string text, RedisOptions options, List<string> errors)
    {
        // An IPv6 address with a port is in brackets; without, its colons separate no port.
        var portStart = text.StartsWith('[') ? text.IndexOf("]:", StringComparison.Ordinal) + 1
            : text.Count(static c => c == ':') == 1 ? text.IndexOf(':', StringComparison.Ordinal)
            : 0;
        options.Host = (portStart > 0 ? text[..portStart] : text).Trim('[', ']');
        if (portStart > 0 && !SetNumber(text[(portStart + 1)..], number => options.Port = number))
            errors.Add("The port is not a number.");
    }

    private static void Apply(string name, string value, RedisOptions options, List<string> errors)
    {
        if (!Settings.TryGetValue(name, out var setting))
            errors.Add($"There is no option '{name}'.");
        else if (!setting(options, value))
            errors.Add($"The value of '{name}' cannot be read.");
    }

    private static (string Name, string? Value) SplitAtFirst(string text, char separator)
    {
        var index = text.IndexOf(separator, StringComparison.Ordinal);
        return index < 0 ? (text, null) : (text[..index], text[(index + 1)..]);
    }

    // The assignment in the argument has happened; a text is never refused here.
    private static bool Set(string? _) => true;

    private static bool SetNumber(string value, Action<int> set)
    {
        if (!int.TryParse(value, NumberStyles.Integer, CultureInfo.InvariantCulture, out var number))
            return false;
        set(number);
        return true;
    }

    private static bool SetFlag(string value, Action<bool> set)
    {
        if (!bool.TryParse(value, out var flag))
            return false;
        set(flag);
        return true;
    }
}
