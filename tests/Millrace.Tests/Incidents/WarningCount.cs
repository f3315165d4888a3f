using System.Collections.Concurrent;
using Microsoft.Extensions.Logging;

namespace Millrace.Tests.Incidents;

/// <summary>Counts what a host logs as a warning, or as another level, or worse.</summary>
internal sealed class WarningCount(LogLevel least = LogLevel.Warning) : ILoggerProvider, ILogger
{
    private readonly ConcurrentDictionary<int, int> _byEvent = [];

    public int Count => _byEvent.Values.Sum();

    /// <summary>How often each event was logged.</summary>
    public IReadOnlyDictionary<int, int> ByEvent => _byEvent;

    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= least;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (IsEnabled(logLevel))
            _byEvent.AddOrUpdate(eventId.Id, 1, static (_, count) => count + 1);
    }

    public void Dispose()
    {
    }
}
