using Millrace.Messages;
using Millrace.Streams;

namespace Millrace;

/// <summary>
/// JSON documents that are read at once and written with the commit they belong to: the acknowledgement of a handled message, or a
/// <see cref="CommitScope"/>. Optimistic: a document that was read is only written when nobody changed it meanwhile.
/// </summary>
/// <remarks>
/// Documents that are only read are not conditions of the commit. Not for concurrent use. Documents named without a stream live in the slot
/// of the session's own stream.
/// </remarks>
public sealed class StateSession
{
    private readonly IStreamStore _store;
    private readonly MessageSerializer _serializer;
    private readonly string _stream;
    private readonly Dictionary<StateKey, Document> _documents = [];

    internal StateSession(IStreamStore store, MessageSerializer serializer, string stream) =>
        (_store, _serializer, _stream) = (store, serializer, stream);

    /// <summary>Reads a document of the session's stream, see <see cref="GetAsync{T}(StateKey, CancellationToken)"/>.</summary>
    /// <typeparam name="T">What the document holds.</typeparam>
    /// <param name="name">The document's name.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    public ValueTask<T?> GetAsync<T>(string name, CancellationToken cancellationToken = default) =>
        GetAsync<T>(new StateKey(_stream, name), cancellationToken);

    /// <summary>
    /// Reads a document and remembers its version, also that there is none. One round trip the first time; afterwards the session answers,
    /// with what was put meanwhile.
    /// </summary>
    /// <typeparam name="T">What the document holds.</typeparam>
    /// <param name="key">The document.</param>
    /// <param name="cancellationToken">Stops the waiting.</param>
    /// <returns>The document, or the default of <typeparamref name="T"/> when there is none.</returns>
    /// <exception cref="StreamException">The store failed.</exception>
    /// <exception cref="System.Text.Json.JsonException">The document is not JSON of this shape.</exception>
    public async ValueTask<T?> GetAsync<T>(StateKey key, CancellationToken cancellationToken = default)
    {
        if (!_documents.TryGetValue(key, out var document))
        {
            var stored = await _store.GetStateAsync(key, cancellationToken).ConfigureAwait(false);
            document = new() { IsKnown = true, Version = stored?.Version, Payload = stored?.Payload };
            _documents.Add(key, document);
        }

        return document.Payload is { } payload
            ? (T?)MessageSerializer.Deserialize(payload.Span, _serializer.GetTypeInfo(typeof(T)))
            : default;
    }

    /// <summary>Writes a document of the session's stream, see <see cref="Put{T}(StateKey, T, TimeSpan?)"/>.</summary>
    /// <typeparam name="T">What the document holds.</typeparam>
    /// <param name="name">The document's name.</param>
    /// <param name="value">Its new content.</param>
    /// <param name="timeToLive">When the store forgets it. Default: never.</param>
    public void Put<T>(string name, T value, TimeSpan? timeToLive = null) => Put(new StateKey(_stream, name), value, timeToLive);

    /// <summary>
    /// Writes a document with the commit. If it was read before, only when it is unchanged since, absent included; otherwise whatever
    /// is there.
    /// </summary>
    /// <typeparam name="T">What the document holds.</typeparam>
    /// <param name="key">The document.</param>
    /// <param name="value">Its new content; serialized now.</param>
    /// <param name="timeToLive">When the store forgets it. Default: never.</param>
    public void Put<T>(StateKey key, T value, TimeSpan? timeToLive = null)
    {
        ArgumentNullException.ThrowIfNull(value);
        var document = Find(key);
        document.Payload = _serializer.Serialize(value, _serializer.GetTypeInfo(typeof(T))).ToArray();
        document.TimeToLive = timeToLive;
        document.IsWritten = true;
    }

    /// <summary>
    /// Writes a document of the session's stream that must not exist yet, see <see cref="Create{T}(StateKey, T, TimeSpan?)"/>.
    /// </summary>
    /// <typeparam name="T">What the document holds.</typeparam>
    /// <param name="name">The document's name.</param>
    /// <param name="value">Its content.</param>
    /// <param name="timeToLive">When the store forgets it. Default: never.</param>
    public void Create<T>(string name, T value, TimeSpan? timeToLive = null) => Create(new StateKey(_stream, name), value, timeToLive);

    /// <summary>Writes a document with the commit, which conflicts when the document exists.</summary>
    /// <typeparam name="T">What the document holds.</typeparam>
    /// <param name="key">The document.</param>
    /// <param name="value">Its content; serialized now.</param>
    /// <param name="timeToLive">When the store forgets it. Default: never.</param>
    public void Create<T>(StateKey key, T value, TimeSpan? timeToLive = null)
    {
        Put(key, value, timeToLive);
        var document = Find(key);
        (document.IsKnown, document.Version) = (true, null);
    }

    /// <summary>Deletes a document of the session's stream with the commit, see <see cref="Delete(StateKey)"/>.</summary>
    /// <param name="name">The document's name.</param>
    public void Delete(string name) => Delete(new StateKey(_stream, name));

    /// <summary>Deletes a document with the commit: if it was read before, only when it is unchanged since.</summary>
    /// <param name="key">The document.</param>
    public void Delete(StateKey key)
    {
        var document = Find(key);
        (document.Payload, document.TimeToLive, document.IsWritten) = (null, null, true);
    }

    /// <summary>Whether a document that was read is written: the commit conflicts where somebody changed it meanwhile.</summary>
    internal bool HasConditions => _documents.Values.Any(document => document is { IsWritten: true, IsKnown: true });

    internal bool HasChanges => _documents.Values.Any(document => document.IsWritten);

    internal void AddTo(List<CommitCondition> conditions, List<CommitChange> changes)
    {
        foreach (var (key, document) in _documents)
        {
            if (!document.IsWritten)
                continue;
            if (document.IsKnown)
                conditions.Add(document.Version is { } version ? CommitCondition.StateIs(key, version) : CommitCondition.StateAbsent(key));
            changes.Add(document.Payload is { } payload
                ? new CommitChange.PutState(key, payload, document.TimeToLive)
                : new CommitChange.DeleteState(key));
        }
    }

    private Document Find(StateKey key)
    {
        if (!_documents.TryGetValue(key, out var document))
            _documents.Add(key, document = new());
        return document;
    }

    private sealed class Document
    {
        /// <summary>Whether <see cref="Version"/> must still hold when the commit is applied.</summary>
        public bool IsKnown { get; set; }

        /// <summary>The version read, or <see langword="null"/>: there was none.</summary>
        public long? Version { get; set; }

        /// <summary>What the session shows: as read, or as put since. <see langword="null"/>: absent.</summary>
        public ReadOnlyMemory<byte>? Payload { get; set; }

        public TimeSpan? TimeToLive { get; set; }

        public bool IsWritten { get; set; }
    }
}
