using Microsoft.Extensions.Logging;

namespace Millrace.Tests.Incidents;

/// <summary>Counts what a host logs as a warning or worse.</summary>
internal sealed class WarningCount : ILoggerProvider, ILogger
{
    private int _count;

    public int Count => Volatile.Read(ref _count);

    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => logLevel >= LogLevel.Warning;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter) =>
        Interlocked.Increment(ref _count);

    public void Dispose()
    {
    }
}
