namespace Millrace.Sagas;

/// <summary>One message on its way through one instance: the document that changes, and what leaves with it. Knows no state, no store and no host.</summary>
internal class SagaTurn
{
    /// <summary>The instance, which the turn changes; <see langword="null"/> as long as there is none.</summary>
    private SagaDocument? _document;

    public required string Id { get; init; }

    public required string MessageId { get; init; }

    /// <summary>What the timeline calls the message.</summary>
    public required string Message { get; init; }

    /// <summary>How often the message was tried, with this time.</summary>
    public required int Attempt { get; init; }

    public required DateTimeOffset Now { get; init; }

    public required SagaOptions Options { get; init; }

    public required Func<string, bool> KnowsStep { get; init; }

    public required Func<string, bool> KnowsTimeout { get; init; }

    /// <summary>Throws for what can never leave: without a name, unserializable, too large. <see langword="null"/>: nobody knows.</summary>
    public Action<SagaOutput>? Encode { get; init; }

    public SagaDocument Document
    {
        get => _document!;
        set => _document = value;
    }

    public bool HasDocument => _document is not null;

    /// <summary>Whether a handler may do more than send.</summary>
    public bool IsRunning { get; set; }

    /// <summary>Whether the document is to be written.</summary>
    public bool IsChanged { get; set; }

    public bool IsComplete { get; set; }

    public string? Failure { get; set; }

    public List<string> Notes { get; } = [];

    public List<SagaOutput> Outputs { get; } = [];

    public void Send(string stream, object message, PublishOptions? options = null)
    {
        if (!Options.HasTag(stream))
            throw new InvalidOperationException(
                $"The stream '{stream}' has not the tag '{{{Options.Tag}}}' of the saga: "
                + "on a cluster its message could not leave in the commit of the saga's state.");
        Outputs.Add(new(stream, message, options));
    }

    public void SetTimeout(string name, TimeSpan delay)
    {
        if (!KnowsTimeout(name))
            throw new InvalidOperationException($"Nothing follows from the time-out '{name}': add it with OnTimeout.");
        if (delay > Options.MaxTimeout)
            throw new InvalidOperationException($"The time-out '{name}' is {delay}, and MaxTimeout {Options.MaxTimeout}.");
        Schedule(name, delay);
        if (Document.Timeouts.Count > Options.MaxTimeouts)
            throw new InvalidOperationException($"The saga '{Id}' has more than {Options.MaxTimeouts} time-outs at once, see MaxTimeouts.");
    }

    /// <summary>Sets a time-out of the application or of the machine itself. Only the last one of a name counts.</summary>
    public void Schedule(string name, TimeSpan delay)
    {
        CancelTimeout(name);
        Outputs.RemoveAll(output => output.Message is SagaTimeout timeout && timeout.Name == name);
        Document.Timeouts.Add(new(name, MessageId, Now + delay));
        Outputs.Add(new(null, new SagaTimeout(Id, name, MessageId), new() { Delay = delay }));
    }

    public void CancelTimeout(string name) => Document.Timeouts.RemoveAll(timeout => timeout.Name == name);

    /// <returns>Whether it was not done before.</returns>
    public bool MarkDone(string step, string? detail)
    {
        if (!KnowsStep(step))
            throw new InvalidOperationException($"The saga has no step '{step}': add it with Step.");
        if (Document.Steps.Exists(done => done.Name == step && done.Detail == detail))
            return false;
        Document.Steps.Add(new(step, detail, Now));
        return true;
    }
}

/// <summary>A message that leaves with the commit.</summary>
/// <param name="Stream">The stream; <see langword="null"/>: the private one of the saga's group.</param>
/// <param name="Message">The message.</param>
/// <param name="Options">More about it.</param>
internal sealed record SagaOutput(string? Stream, object Message, PublishOptions? Options);

/// <summary>A turn with the application's state.</summary>
internal sealed class SagaTurn<TState> : SagaTurn
    where TState : notnull
{
    /// <summary>The state; without a document, the default.</summary>
    public TState State { get; set; } = default!;
}
