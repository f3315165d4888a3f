using Microsoft.Extensions.Logging;

namespace Millrace.Tests.Fixtures;

/// <summary>Holds up whoever first writes a certain event.</summary>
internal sealed class HeldUpLog(int awaited) : ILoggerProvider, ILogger
{
    private readonly TaskCompletionSource _reached = new(TaskCreationOptions.RunContinuationsAsynchronously);
    private readonly TaskCompletionSource _mayGoOn = new();

    public Task Reached => _reached.Task;

    public void Release() => _mayGoOn.TrySetResult();

    public ILogger CreateLogger(string categoryName) => this;

    public IDisposable? BeginScope<TState>(TState state)
        where TState : notnull => null;

    public bool IsEnabled(LogLevel logLevel) => true;

    public void Log<TState>(LogLevel logLevel, EventId eventId, TState state, Exception? exception, Func<TState, Exception?, string> formatter)
    {
        if (eventId.Id == awaited && _reached.TrySetResult())
            _mayGoOn.Task.Wait(Eventually.Deadline);
    }

    public void Dispose() => Release();
}
