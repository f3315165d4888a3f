using Microsoft.Extensions.Logging;

namespace Millrace.ChaosWorker;

/// <summary>Writes what the framework logs into the history; a run that a conflict on state repeats is told from a second delivery by it.</summary>
public sealed class HistoryLog(string worker, IHistory history) : ILoggerProvider, ILogger
{
    // Enough for a message and its cause.
    private const int MaxDetail = 400;

    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(
        LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        var isConflict = eventId.Name == "CommitConflict";
        var values = state as IReadOnlyList<KeyValuePair<string, object?>> ?? [];
        string Value(string name) => values.FirstOrDefault(value => value.Key == name).Value?.ToString() ?? "";
        var text = $"{eventId.Name}: {formatter(state, exception)} {exception?.GetType().Name} {exception?.Message}";
        history.Add(new(history.NowMs, isConflict ? Happened.Conflict : Happened.Log)
        {
            Who = worker,
            Group = Value("Group"),
            Entry = Value("EntryId"),
            Detail = text.Length > MaxDetail ? text[..MaxDetail] : text,
        });
    }

    public void Dispose()
    {
    }
}
