using Microsoft.Extensions.DependencyInjection;
using Millrace.Messages;
using Millrace.Streams;

namespace Millrace.Testing;

/// <summary>
/// Runs the handlers of a group over the past of a stream, beside the live application: in a store of their own in memory, on a clock that stands
/// where it stood for each entry, so that nothing they publish or write through Millrace gets out. What they do is compared with what the group
/// really did.
/// </summary>
/// <remarks>
/// <para>The live store is only read. Entries come one after the other; retries, delays and dead letters are those of the real pipeline. Consumers of
/// other groups, and recurring messages, do not run.</para>
/// <para>What they publish to the stream itself, or to another lane of it, is compared and goes no further: the group handles the entries of the past,
/// each once, and those are among them. So what is new there is told as an output, and what would follow from it is not.</para>
/// <para>Outputs are matched by their message IDs, which follow from the message handled, its stream, its group and the position of the output. What
/// was trimmed meanwhile counts as missing there.</para>
/// <para>What handlers do elsewhere, in a database or at a web service, really happens: give them stand-ins through <c>services</c>.</para>
/// </remarks>
public static class ShadowReplay
{
    // Outputs looked for beyond as many as the replay made.
    private const int MoreOutputs = 16;

    /// <summary>Replays and compares. Reads the range, the output streams from its beginning on, and what waits or is dead in the group.
    /// Keeps the range in memory, and of the others what is of its messages.</summary>
    /// <param name="live">The store of the live application.</param>
    /// <param name="configure">The registrations to try, as for a <see cref="MillraceTestHost"/>.</param>
    /// <param name="options">What to replay.</param>
    /// <param name="services">What the handlers need. Default: nothing.</param>
    /// <param name="cancellationToken">Ends it.</param>
    /// <exception cref="ArgumentException">
    /// The registrations have no such group; or not all lanes that the live stream has, and so parts it was to be replayed with.
    /// </exception>
    /// <exception cref="MillraceConfigurationException">The registrations are wrong.</exception>
    /// <exception cref="StreamException">The live store failed.</exception>
    /// <exception cref="TimeoutException">A handler does not come to rest, see <see cref="TestHostOptions.Deadline"/>.</exception>
    public static async Task<ShadowReport> RunAsync(
        IStreamStore live,
        Action<MillraceBuilder> configure,
        ShadowReplayOptions options,
        Action<IServiceCollection>? services = null,
        CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(live);
        ArgumentNullException.ThrowIfNull(options);
        ArgumentOutOfRangeException.ThrowIfLessThan(options.MaxEntries, 1, nameof(options));
        ArgumentOutOfRangeException.ThrowIfGreaterThan(options.MaxEntries, 1_000_000, nameof(options));
        var entries = await ReadRangeAsync(live, options, cancellationToken).ConfigureAwait(false);
        var hostOptions = new TestHostOptions
        {
            Start = entries is [var first, ..] ? TimeOf(first) : DateTimeOffset.UnixEpoch,
            Only = consumer => (consumer.Stream, consumer.Group) == (options.Stream, options.Group),
        };
        var host = await MillraceTestHost.StartAsync(configure, services, hostOptions).ConfigureAwait(false);
        await using var closing = host.ConfigureAwait(false);
        var core = host.Services.GetRequiredService<MillraceCore>();
        if (core.Groups.Count == 0)
            throw new ArgumentException($"There is no handler of '{options.Stream}' in group '{options.Group}'.", nameof(configure));
        if (options.Lane is { } lane)
            core.LaneOf(options.Stream, lane);
        if (await LaneDirectory.FindUnknownAsync(core, live, options.Stream, cancellationToken).ConfigureAwait(false) is [_, ..] unknown)
            throw new ArgumentException(
                $"The stream '{options.Stream}' has lanes that the registrations do not declare: {string.Join(", ", unknown)}. Add them with AddLanes, " +
                "and replay each by itself with ShadowReplayOptions.Lane.",
                nameof(configure));
        if (entries.Count == 0)
            return new() { Replayed = 0, Same = 0, Unsettled = 0, Differences = [] };

        host.Seal(core.Groups.Select(static plan => plan.Stream));
        await CopyDocumentsAsync(live, host.Store, options.Documents, cancellationToken).ConfigureAwait(false);
        await ReplayAsync(host, options, entries, cancellationToken).ConfigureAwait(false);
        var comparison = new ShadowComparison(options, await LookAsync(host, options).ConfigureAwait(false));
        await comparison.ReadLiveAsync(live, entries, MoreOutputs, cancellationToken).ConfigureAwait(false);
        return comparison.Compare(entries) with
        {
            DifferentDocuments = await CompareDocumentsAsync(live, host.Store, options.FinalDocuments, cancellationToken).ConfigureAwait(false),
        };
    }

    internal static ReadOnlyMemory<byte> Data(MessageHeaders message) => EnvelopeCodec.Decode(message.Fields).Data ?? default;

    /// <summary>Entries of a stream, a page in memory at a time.</summary>
    internal static IAsyncEnumerable<StreamEntry> ReadAsync(
        IStreamStore store, string stream, EntryId start, EntryId end, CancellationToken cancellationToken) =>
        new EntryPages(store).ReadAsync(stream, new() { Start = start, End = end }, cancellationToken);

    private static async Task<List<StreamEntry>> ReadRangeAsync(IStreamStore live, ShadowReplayOptions options, CancellationToken cancellationToken)
    {
        var after = options.From.Position;
        if (options.From.IsNow)
            throw new ArgumentException("A replay is of the past; begin before now.", nameof(options));
        return await ReadAsync(live, options.Source, after == EntryId.Zero ? after : after.Next(), options.Through, cancellationToken)
            .Take(options.MaxEntries).ToListAsync(cancellationToken).ConfigureAwait(false);
    }

    private static async Task CopyDocumentsAsync(
        IStreamStore live, IStreamStore shadow, IReadOnlyCollection<StateKey> documents, CancellationToken cancellationToken)
    {
        foreach (var key in documents)
        {
            if (await live.GetStateAsync(key, cancellationToken).ConfigureAwait(false) is { } document)
                await shadow.CommitAsync(new Commit { Changes = [new CommitChange.PutState(key, document.Payload)] }, cancellationToken).ConfigureAwait(false);
        }
    }

    private static async Task<IReadOnlyList<StateKey>> CompareDocumentsAsync(
        IStreamStore live, IStreamStore shadow, IReadOnlyCollection<StateKey> documents, CancellationToken cancellationToken)
    {
        List<StateKey> different = [];
        foreach (var key in documents)
        {
            var was = await live.GetStateAsync(key, cancellationToken).ConfigureAwait(false);
            var now = await shadow.GetStateAsync(key, cancellationToken).ConfigureAwait(false);
            if ((was is null) != (now is null) || (was is not null && !was.Payload.Span.SequenceEqual(now!.Payload.Span)))
                different.Add(key);
        }

        return different;
    }

    /// <summary>Each entry under its own ID, at its own time.</summary>
    private static async Task ReplayAsync(
        MillraceTestHost host, ShadowReplayOptions options, List<StreamEntry> entries, CancellationToken cancellationToken)
    {
        foreach (var entry in entries)
        {
            cancellationToken.ThrowIfCancellationRequested();
            if (TimeOf(entry) - host.Time.GetUtcNow() is { Ticks: > 0 } span)
                await host.AdvanceAsync(span).ConfigureAwait(false);
            await host.AppendAsync(options.Source, entry, cancellationToken).ConfigureAwait(false);
            await host.WhenIdleAsync().ConfigureAwait(false);
        }

        await host.AdvanceAsync(options.Settle).ConfigureAwait(false);
    }

    private static async Task<ShadowOutcomes> LookAsync(MillraceTestHost host, ShadowReplayOptions options)
    {
        var dead = await host.DeadLettersAsync(options.Stream, options.Group).ConfigureAwait(false);
        var handled = host.Handled<object>().Select(static run => run.MessageId).ToHashSet(StringComparer.Ordinal);
        string[] own = [StreamNames.Again(options.Source, options.Group), StreamNames.DeadLetters(options.Stream, options.Group)];
        return new()
        {
            Dead = dead.GroupBy(static letter => letter.Headers.MessageId)
                .ToDictionary(static letters => letters.Key, static letters => $"{letters.Last().Reason}: {letters.Last().Error}"),
            Waiting = host.Failed.Select(static run => run.MessageId).Where(id => !handled.Contains(id)).ToHashSet(StringComparer.Ordinal),
            Outputs = host.AllPublished
                .Where(message => !own.Contains(message.Stream))
                .ToLookup(static message => message.Headers.CausationId ?? ""),
        };
    }

    /// <summary>IDs of streams whose versions are their IDs tell no time; then all happens at once.</summary>
    private static DateTimeOffset TimeOf(StreamEntry entry) => new MessageHeaders(entry.Id, entry.Fields).Time;
}
