using Microsoft.Extensions.Logging;

namespace Millrace.Tests.Incidents;

/// <summary>Counts what a host logs as a warning, or as another level, or worse.</summary>
internal sealed class WarningCount(LogLevel least = LogLevel.Warning) : ILoggerProvider, ILogger
{
    private int _count;

    public int Count => Volatile.Read(ref _count);

    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= least;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (IsEnabled(logLevel))
            Interlocked.Increment(ref _count);
    }

    public void Dispose()
    {
    }
}
