using System.Runtime.CompilerServices;
using Millrace.Streams;

namespace Millrace.Projections;

/// <summary>
/// Reads the views of a projection from any process, of the generation that serves queries at that moment. A singleton, and a keyed one under the
/// projection's name where several projections make views of a class.
/// </summary>
/// <typeparam name="TView">The view.</typeparam>
public sealed class ProjectionReader<TView>
    where TView : class
{
    private const int PageSize = 100;

    // As many as one commit writes, and so no larger than what was written.
    private const int MaxKeys = 900;

    private readonly ProjectionNames _names;
    private readonly IStreamStore _store;
    private readonly MessageCodec _codec;

    // The last one seen: as a rule still the right one, which saves a round trip. None has the number 0.
    private volatile int _generation;

    internal ProjectionReader(ProjectionNames names, IStreamStore store, MessageCodec codec) => (_names, _store, _codec) = (names, store, codec);

    /// <summary>Reads a view. One round trip, two after a rebuild.</summary>
    /// <param name="key">Its key.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>The view, or <see langword="null"/>: there is none.</returns>
    /// <exception cref="System.Text.Json.JsonException">The document is not JSON of this shape.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<TView?> GetAsync(string key, CancellationToken cancellationToken = default)
    {
        ArgumentException.ThrowIfNullOrEmpty(key);
        return (await GetManyAsync([key], cancellationToken).ConfigureAwait(false))[0];
    }

    /// <summary>
    /// Reads views. One round trip, two after a rebuild. All are of one generation; of those that change just now some may be newer than others.
    /// </summary>
    /// <param name="keys">Their keys, at most 900.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>The views in the order of the keys; <see langword="null"/> where there is none.</returns>
    /// <exception cref="System.Text.Json.JsonException">A document is not JSON of this shape.</exception>
    /// <exception cref="StreamException">The store failed.</exception>
    public async ValueTask<IReadOnlyList<TView?>> GetManyAsync(IReadOnlyList<string> keys, CancellationToken cancellationToken = default)
    {
        ArgumentNullException.ThrowIfNull(keys);
        ArgumentOutOfRangeException.ThrowIfGreaterThan(keys.Count, MaxKeys);
        while (true)
        {
            var generation = _generation;

            // The head last: not every store reads all at one moment, and a generation that still serves queries then was there while its views were read.
            StateKey[] states = [.. keys.Select(key => _names.View(generation, key)), _names.Head];
            var documents = await _store.GetStatesAsync(states, cancellationToken).ConfigureAwait(false);
            if (ProjectionPlan.Parse(documents[^1]) is not { } plan || plan.Head.Live.Number == generation)
                return [.. documents.SkipLast(1).Select(document => document is null ? null : _codec.Deserialize<TView>(document.Payload.Span))];
            _generation = plan.Head.Live.Number;
        }
    }

    /// <summary>
    /// Reads all views, page by page, each as it is when its page is read, and once. In no particular order; after a rebuild in the middle some may be
    /// missing. Holds their keys in memory.
    /// </summary>
    /// <param name="cancellationToken">Ends the reading.</param>
    /// <exception cref="StreamException">The store failed.</exception>
    public async IAsyncEnumerable<KeyValuePair<string, TView>> ReadAllAsync([EnumeratorCancellation] CancellationToken cancellationToken = default)
    {
        await GetManyAsync([], cancellationToken).ConfigureAwait(false);
        var list = _names.Keys(_generation);

        // A view that was deleted and made again is listed twice, perhaps on different pages.
        var seen = new HashSet<string>(StringComparer.Ordinal);
        var range = new StreamRange { Count = PageSize };
        await foreach (var page in new EntryPages(_store).ReadPagesAsync(list, range, cancellationToken).ConfigureAwait(false))
        {
            foreach (var keys in page.SelectMany(ViewTarget<TView>.KeysIn).Where(seen.Add).Chunk(MaxKeys))
            {
                var views = await GetManyAsync(keys, cancellationToken).ConfigureAwait(false);
                for (var i = 0; i < keys.Length; i++)
                {
                    if (views[i] is { } view)
                        yield return new(keys[i], view);
                }
            }
        }
    }
}
