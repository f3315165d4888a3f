using Microsoft.Extensions.Logging.Abstractions;
using Microsoft.Extensions.Logging.Console;

namespace Shop;

/// <summary>
/// Logs for people who watch a terminal: time, level, message and the reason, one line each. Everything goes to standard error, because
/// standard output belongs to the greeting and the report.
/// </summary>
internal sealed class ShopConsole(TimeProvider time) : ConsoleFormatter(FormatterName)
{
    private const string FormatterName = "shop";

    public static void AddTo(ILoggingBuilder logging, IConfiguration configuration)
    {
        logging.ClearProviders();
        logging.AddConfiguration(configuration.GetSection("Logging"));
        logging.AddConsole(console =>
        {
            console.FormatterName = FormatterName;
            console.LogToStandardErrorThreshold = LogLevel.Trace;
        });
        logging.AddConsoleFormatter<ShopConsole, ConsoleFormatterOptions>();
    }

    /// <summary>
    /// Quiet: what a visitor breaks on purpose is retried, and that is no news. <c>Logging__LogLevel__Millrace.Consuming=Warning</c> in the
    /// environment shows the retries.
    /// </summary>
    public static IEnumerable<KeyValuePair<string, string?>> Defaults() =>
    [
        new("Logging:LogLevel:Default", nameof(LogLevel.Warning)),
        new("Logging:LogLevel:Millrace.Consuming", nameof(LogLevel.Error)),
        // Whoever called the database tells what failed there.
        new("Logging:LogLevel:Microsoft.EntityFrameworkCore", nameof(LogLevel.Critical)),
    ];

    public override void Write<TState>(in LogEntry<TState> entry, IExternalScopeProvider? scopes, TextWriter writer)
    {
        var message = entry.Formatter(entry.State, entry.Exception);
        var reason = entry.Exception is { } exception && !message.Contains(exception.Message)
            ? $" {exception.GetType().Name}: {exception.Message}"
            : "";
        writer.WriteLine($"{time.GetLocalNow():HH:mm:ss} {entry.LogLevel.ToString().ToLowerInvariant()}: {message}{reason}");
        if (entry.LogLevel == LogLevel.Critical && entry.Exception is not null)
            writer.WriteLine(entry.Exception);
    }
}
