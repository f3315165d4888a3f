using System.Runtime.CompilerServices;
using Millrace.Messages;
using Millrace.Streams;

namespace Millrace;

/// <summary>Reads messages without a group: everybody who reads sees all of them, and nothing is acknowledged. A singleton.</summary>
public sealed class MessageReader
{
    // What of small messages one read brings: large enough to amortize a round trip, small enough that a slow reader holds little.
    private const int BatchSize = 256;

    // Long enough to cost nothing, short enough that a server which forgot us is noticed.
    private static readonly TimeSpan Block = TimeSpan.FromSeconds(30);

    // How often one that reads on and on looks whether the stream has got lanes; a round trip each time.
    private static readonly TimeSpan LaneInterval = TimeSpan.FromSeconds(30);

    private readonly IStreamStore _store;
    private readonly MillraceCore _core;

    internal MessageReader(MillraceCore core, IStreamStore store) => (_core, _store) = (core, store);

    /// <summary>
    /// Reads the messages of a type, in order. Older versions are brought to the one asked for by upcasters; entries of other types, of
    /// newer versions and unreadable ones are skipped. Of a stream with lanes these are the messages without one; each lane is a stream of its own
    /// (<see cref="PriorityLanes.StreamOf"/>), and who has not declared them does not get far. Costs a round trip every 30 s besides the reading.
    /// </summary>
    /// <typeparam name="T">
    /// The message type; <see cref="object"/> gives every known type, each in the newest version upcasters lead to.
    /// </typeparam>
    /// <param name="stream">The stream; it need not exist.</param>
    /// <param name="from">Where to begin.</param>
    /// <param name="follow">Whether to wait for more at the end, for ever, or to stop there. Default: wait.</param>
    /// <param name="cancellationToken">Ends the reading.</param>
    /// <exception cref="InvalidOperationException">
    /// <typeparamref name="T"/> has no declared name; or the stream has lanes that this process did not declare with
    /// <see cref="MillraceBuilder.AddLanes"/>, and so parts it would miss.
    /// </exception>
    /// <exception cref="StreamException">The store failed. Read on after the last message seen.</exception>
    public async IAsyncEnumerable<ReceivedMessage<T>> ReadAsync<T>(
        string stream, ReadFrom from, bool follow = true, [EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        var wanted = typeof(T) == typeof(object) ? null : _core.Codec.Registry.Describe(typeof(T));
        var after = from.IsNow ? await FindEndAsync(stream, cancellationToken).ConfigureAwait(false) : from.Position;
        var pages = new EntryPages(_store);
        long? lookedAt = null;
        while (true)
        {
            if (lookedAt is not { } last || _core.Time.GetElapsedTime(last) >= LaneInterval)
            {
                lookedAt = _core.Time.GetTimestamp();
                await RefuseUnknownLanesAsync(stream, cancellationToken).ConfigureAwait(false);
            }

            var entries = await pages.ReadOnAsync(stream, after, BatchSize, follow ? Block : TimeSpan.Zero, cancellationToken).ConfigureAwait(false);
            if (entries.Count == 0)
            {
                if (!follow)
                    yield break;
                continue;
            }

            foreach (var entry in entries)
            {
                after = entry.Id;
                if (TryDecode(entry.Fields, wanted) is T body)
                    yield return new(body, entry.Id, new(entry.Id, entry.Fields));
            }
        }
    }

    private async ValueTask RefuseUnknownLanesAsync(string stream, CancellationToken cancellationToken)
    {
        var unknown = await LaneDirectory.FindUnknownAsync(_core, _store, stream, cancellationToken).ConfigureAwait(false);
        if (unknown.Count > 0)
            throw new InvalidOperationException(
                $"The stream '{stream}' has lanes whose messages are not among what is read here: {string.Join(", ", unknown)}. " +
                "Declare them with AddLanes, and read the streams that PriorityLanes.StreamOf names as well.");
    }

    private async ValueTask<EntryId> FindEndAsync(string stream, CancellationToken cancellationToken) =>
        await _store.GetStreamInfoAsync(stream, cancellationToken).ConfigureAwait(false) is { } info ? info.LastGeneratedId : EntryId.Zero;

    private object? TryDecode(EntryFields fields, MessageType? wanted)
    {
        var envelope = EnvelopeCodec.Decode(fields);
        var type = wanted;
        if (envelope.Type is not { } name || envelope.Data is not { } data || !envelope.IsJson)
            return null;
        if (!(wanted is not null && wanted.Version == envelope.Version && wanted.NameUtf8.Span.SequenceEqual(name.Span)) &&
            !_core.Codec.Registry.TryFind(name.Span, envelope.Version, out type, out _))
            return null;
        if (wanted is not null && type!.Name != wanted.Name)
            return null;

        try
        {
            var message = MessageSerializer.Deserialize(data.Span, type!.Json);
            return message is null ? null : type.Upcast(message, wanted?.Version ?? int.MaxValue);
        }
        catch (Exception)
        {
            // Unreadable data are skipped as documented: without a group there is nowhere to put them. Converters, constructors and upcasters
            // are the application's code and may throw anything.
            return null;
        }
    }
}
