using Millrace.Hosting;

namespace Millrace.Testing;

/// <summary>Stands around every handler of a host: knows which run, and remembers how they ended.</summary>
internal sealed class HandlerWatch(Changes changes, TimeProvider time)
{
    private readonly Lock _lock = new();
    private readonly HashSet<HandlerRun> _running = [];
    private readonly List<HandledMessage> _ended = [];

    public IReadOnlyList<HandlerRun> Running
    {
        get
        {
            lock (_lock)
                return [.. _running];
        }
    }

    public IReadOnlyList<HandledMessage> Ended
    {
        get
        {
            lock (_lock)
                return [.. _ended];
        }
    }

    public void Clear()
    {
        lock (_lock)
            _ended.Clear();
    }

    /// <summary>Puts itself around every handler of a host that has not started yet.</summary>
    public void Watch(MillraceModel model)
    {
        for (var i = 0; i < model.Consumers.Count; i++)
        {
            var consumer = model.Consumers[i];
            model.Consumers[i] = consumer is { InvokeBatch: { } invokeBatch }
                ? consumer with
                {
                    InvokeBatch = (services, messages, batch, cancellationToken) =>
                        RunAsync(messages, batch.Items, batch.Outcome, () => invokeBatch(services, messages, batch, cancellationToken)),
                }
                : consumer with
                {
                    Invoke = (services, message, context, cancellationToken) => RunAsync(
                        [message], [context], static (_, thrown) => thrown,
                        () => consumer.Invoke!(services, message, context, cancellationToken)),
                };
        }
    }

    /// <summary>Those that a killed host left behind are none of the next one's.</summary>
    public void Forget()
    {
        lock (_lock)
            _running.Clear();
    }

    /// <param name="messages">The message, or those of a batch.</param>
    /// <param name="contexts">The context of each.</param>
    /// <param name="outcome">What came of one of them, when the handler threw something or nothing.</param>
    /// <param name="handler">The handler.</param>
    private async Task RunAsync(
        IReadOnlyList<object> messages, IReadOnlyList<MessageContext> contexts, Func<int, Exception?, Exception?> outcome, Func<Task> handler)
    {
        var now = time.GetUtcNow();
        List<HandlerRun> runs = [.. contexts.Select(context =>
            new HandlerRun(context.Stream, context.Group, $"{context.Type} {context.MessageId}", context.Attempt, now))];
        lock (_lock)
            _running.UnionWith(runs);
        Exception? thrown = null;
        try
        {
            await handler().ConfigureAwait(false);
        }
        catch (Exception exception)
        {
            thrown = exception;
            throw;
        }
        finally
        {
            End(runs, contexts.Select((context, i) => new HandledMessage(messages[i], context, now, time.GetUtcNow(), outcome(i, thrown))));
        }
    }

    private void End(List<HandlerRun> runs, IEnumerable<HandledMessage> handled)
    {
        using var change = changes.Begin();
        lock (_lock)
        {
            _running.ExceptWith(runs);
            _ended.AddRange(handled);
        }
    }
}

/// <summary>A handler that runs.</summary>
/// <param name="Stream">The stream of its message.</param>
/// <param name="Group">Its group.</param>
/// <param name="Message">Type and ID of the message.</param>
/// <param name="Attempt">Which attempt it is.</param>
/// <param name="StartedAt">When it began.</param>
internal sealed record HandlerRun(string Stream, string Group, string Message, int Attempt, DateTimeOffset StartedAt)
{
    // Two runs of one message are two.
    public bool Equals(HandlerRun? other) => ReferenceEquals(this, other);

    public override int GetHashCode() => System.Runtime.CompilerServices.RuntimeHelpers.GetHashCode(this);
}
