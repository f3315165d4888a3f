using System.Globalization;
using System.Runtime.InteropServices;
using System.Text.Json;
using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.Sagas;

/// <summary>The consumer of a saga's messages: reads the instance, asks the machine, and lets everything leave with the acknowledgement.</summary>
internal sealed class SagaRunner<TState>(
    Saga<TState> saga, SagaHome home, IStreamStore store, MessageCodec codec, TimeProvider time, ILogger<SagaRunner<TState>> logger)
    where TState : notnull
{
    // Only what began within the time of one commit stands before an instance's own entry.
    private const int PageSize = 32;

    // The name of the document, beside its ID, and of the key around it.
    private readonly int _maxIdLength = (StreamLimits.MaxNameBytes / 4) - saga.Name.Length;

    public Task HandleAsync(SagaRule<TState> rule, object message, MessageContext context, CancellationToken cancellationToken)
    {
        var id = rule.Correlate!(message);
        if (string.IsNullOrEmpty(id) || id.Length > _maxIdLength)
            throw new MessageRejectedException($"The message says no ID of a saga '{saga.Name}' of 1 to {_maxIdLength} characters.");
        return RunAsync(id, context.Type, context, turn => SagaMachine.Handle(saga, rule, message, turn), cancellationToken);
    }

    public Task HandleTimeoutAsync(SagaTimeout timeout, MessageContext context, CancellationToken cancellationToken) => RunAsync(
        timeout.Id, $"time-out {timeout.Name}", context, turn => SagaMachine.HandleTimeout(saga, timeout, turn), cancellationToken);

    public Task HandleRequestAsync(SagaRequest request, MessageContext context, CancellationToken cancellationToken) => RunAsync(
        request.Id, $"request {request.Act}", context, turn => SagaMachine.HandleRequest(saga, request, turn), cancellationToken);

    private async Task RunAsync(
        string id, string message, MessageContext context, Action<SagaTurn<TState>> handle, CancellationToken cancellationToken)
    {
        var turn = new SagaTurn<TState>
        {
            Id = id,
            // An entry of a foreign program has no ID but that of the entry, which another stream may have as well.
            MessageId = context.Fields.TryGet(EnvelopeFieldNames.Id, out _) ? context.MessageId : $"{context.Stream}/{context.MessageId}",
            Message = message,
            Attempt = context.Attempt,
            Now = time.GetUtcNow(),
            Options = home.Options,
            KnowsStep = saga.Steps.ContainsKey,
            KnowsTimeout = name => saga.TryFindTimeout(name, out _),
            Encode = output => codec.Encode(output.Message, output.Options),
        };
        var read = await context.State.GetAsync<SagaDocument>(home.Instance(id), cancellationToken).ConfigureAwait(false);
        if (read is not null)
            (turn.Document, turn.State) = (read, saga.ReadState(codec, id, read.StateVersion, JsonMarshal.GetRawUtf8Value(read.State)));
        var indexedAfter = read?.IndexedAfter;
        handle(turn);

        foreach (var output in turn.Outputs)
            context.Publish(output.Stream ?? home.Private, output.Message, output.Options);
        if (turn.IsChanged)
            await WriteAsync(turn, indexedAfter, context, cancellationToken).ConfigureAwait(false);
        else if (read is null && turn.Outputs.Count > 0)
            context.Require(CommitCondition.StateAbsent(home.Instance(id)));
    }

    private async ValueTask WriteAsync(SagaTurn<TState> turn, string? indexedAfter, MessageContext context, CancellationToken cancellationToken)
    {
        var document = turn.Document;
        if (document.Ended is not null)
        {
            document.IndexedAfter = null;
            if (indexedAfter is not null && await FindIndexedAsync(turn.Id, indexedAfter, cancellationToken).ConfigureAwait(false) is { } entry)
                context.Enlist(new CommitChange.Delete(home.Active, entry));
            if (home.Options.Retention > TimeSpan.Zero)
                context.Enlist(new CommitChange.Append(home.Ended, SagaHome.Note(turn.Id)));
        }
        else if ((document.IndexedAfter = indexedAfter) is null)
        {
            var index = await store.GetStreamInfoAsync(home.Active, cancellationToken).ConfigureAwait(false);
            document.IndexedAfter = (index?.LastGeneratedId ?? EntryId.Zero).ToString();
            context.Enlist(new CommitChange.Append(home.Active, SagaHome.Note(turn.Id)));
        }

        document.StateVersion = saga.StateVersion;
        using var state = JsonDocument.Parse(codec.Serialize(turn.State));
        document.State = state.RootElement;
        if (document.Ended is not null && home.Options.ArchivesEnded)
            context.Enlist(new CommitChange.Append(home.Archive, SagaHome.Archived(turn.Id, codec.Serialize(document).Span)));
        if (document.Ended is null)
            context.State.Put(home.Instance(turn.Id), document);
        else if (home.Options.Retention > TimeSpan.Zero)
            context.State.Put(home.Instance(turn.Id), document, home.Options.Retention);
        else
            context.State.Delete(home.Instance(turn.Id));
        if (document.Attention is { } attention && turn.Notes.Contains(attention))
            LogMessages.SagaNeedsAttention(logger, saga.Name, turn.Id, attention);
    }

    /// <summary>
    /// The instance's entry in the index. Nobody is told the ID an entry gets in a commit, so it is looked for behind the one that was the last when the
    /// instance was made: few come between, and most of those are gone.
    /// </summary>
    private async ValueTask<EntryId?> FindIndexedAsync(string id, string after, CancellationToken cancellationToken)
    {
        var start = EntryId.Parse(after, CultureInfo.InvariantCulture).Next();
        while (true)
        {
            var page = await store.RangeAsync(home.Active, new() { Start = start, Count = PageSize }, cancellationToken).ConfigureAwait(false);
            foreach (var entry in page)
                if (entry.Fields.GetText(SagaHome.IdField) == id)
                    return entry.Id;
            if (page.Count < PageSize)
                return null; // Somebody trimmed the index.
            start = page[^1].Id.Next();
        }
    }
}
