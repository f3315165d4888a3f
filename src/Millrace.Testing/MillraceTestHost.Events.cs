using Microsoft.Extensions.DependencyInjection;
using Millrace.Messages;
using Millrace.Streams;

namespace Millrace.Testing;

/// <summary>What happened, as data.</summary>
public sealed partial class MillraceTestHost
{
    /// <summary>
    /// Messages of one type that were published since the start, oldest first: by the test, by handlers that were acknowledged, and for
    /// later. Retries, hand-backs and dead letters are not publishing, and are left out.
    /// </summary>
    /// <typeparam name="T">The message type; its name and version decide.</typeparam>
    /// <param name="stream">Only to this stream. Default: to any.</param>
    /// <exception cref="InvalidOperationException">The type has no declared name.</exception>
    public IReadOnlyList<PublishedMessage<T>> Published<T>(string? stream = null)
        where T : notnull
    {
        var core = Services.GetRequiredService<MillraceCore>();
        var own = core.Groups.SelectMany(static plan => new[] { plan.Again, plan.DeadLetters }).ToHashSet(StringComparer.Ordinal);
        return Read<T>(core, _watched.Published.Where(message => (stream ?? message.Stream) == message.Stream && !own.Contains(message.Stream)));
    }

    /// <summary>Everything that was appended or scheduled since the start, retries and dead letters too.</summary>
    internal IReadOnlyList<PublishedMessage> AllPublished => _watched.Published;

    /// <summary>These streams get entries by <see cref="AppendAsync"/> only. What the application publishes there is seen, and handled by nobody.</summary>
    internal void Seal(IEnumerable<string> streams) => _watched.Sealed = streams.ToHashSet(StringComparer.Ordinal);

    /// <summary>Appends an entry of another store under its own ID. It does not count as published.</summary>
    internal async Task AppendAsync(string stream, StreamEntry entry, CancellationToken cancellationToken)
    {
        using var change = _changes.Begin();
        var append = new CommitChange.Append(stream, entry.Fields, entry.Id);
        await _store.CommitAsync(new Commit { Changes = [append] }, cancellationToken).ConfigureAwait(false);
    }

    /// <summary>Runs of handlers of a message type that returned, in the order they ended.</summary>
    /// <typeparam name="T">The type of the message as the handler takes it, or one of its base types.</typeparam>
    /// <param name="group">Only of this group. Default: of any.</param>
    public IReadOnlyList<HandledMessage<T>> Handled<T>(string? group = null) =>
        [.. _handlers.Ended.Where(handled => handled.Failure is null && handled.Body is T && (group ?? handled.Group) == handled.Group)
            .Select(static handled => new HandledMessage<T>(handled, (T)handled.Body))];

    /// <summary>Runs of handlers that threw, whatever became of their messages, in the order they ended.</summary>
    public IReadOnlyList<HandledMessage> Failed => [.. _handlers.Ended.Where(static handled => handled.Failure is not null)];

    /// <summary>The dead letters of a group, oldest first, with reason, attempts and exceptions.</summary>
    /// <param name="stream">The stream.</param>
    /// <param name="group">The group.</param>
    public async Task<IReadOnlyList<DeadLetter>> DeadLettersAsync(string stream, string group)
    {
        var letters = new List<DeadLetter>();
        await foreach (var letter in new DeadLetters(_store, Time).Of(stream, group).ListAsync().ConfigureAwait(false))
            letters.Add(letter);
        return letters;
    }

    /// <summary>Forgets what was published and handled so far; the store keeps everything.</summary>
    public void ClearEvents()
    {
        _watched.Clear();
        _handlers.Clear();
    }

    internal static IReadOnlyList<PublishedMessage<T>> Read<T>(MillraceCore core, IEnumerable<PublishedMessage> messages)
    {
        var type = core.Codec.Registry.Describe(typeof(T));
        return [.. messages.Where(message => message.Headers.Type == type.Name && message.Headers.Version == type.Version)
            .Select(message => new PublishedMessage<T>(message, Read<T>(type, message.Headers.Fields)))];
    }

    private static T Read<T>(MessageType type, EntryFields fields) =>
        (T)MessageSerializer.Deserialize((EnvelopeCodec.Decode(fields).Data ?? default).Span, type.Json)!;
}
