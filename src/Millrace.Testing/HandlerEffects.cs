using Millrace.Messages;
using Millrace.Streams;

namespace Millrace.Testing;

/// <summary>What a handler that ran by itself wanted to commit.</summary>
public sealed class HandlerEffects
{
    private readonly MillraceCore _core;
    private readonly string _stream;
    private readonly IReadOnlyList<PublishedMessage> _published;
    private readonly Dictionary<StateKey, ReadOnlyMemory<byte>?> _states = [];

    internal HandlerEffects(MillraceCore core, string stream, IReadOnlyList<CommitChange> changes, string? rejectReason)
    {
        (_core, _stream, RejectReason) = (core, stream, rejectReason);
        _published = [.. WatchedStore.Messages(changes, [], core.Time.GetUtcNow())];
        foreach (var change in changes)
        {
            if (change is CommitChange.PutState put)
                _states[put.Key] = put.Payload;
            else if (change is CommitChange.DeleteState delete)
                _states[delete.Key] = null;
        }
    }

    /// <summary>Why the handler rejected the message by <see cref="MessageContext.RejectAsync"/>, or <see langword="null"/>.</summary>
    public string? RejectReason { get; }

    /// <summary>Every message it published or scheduled, in order.</summary>
    public IReadOnlyList<PublishedMessage> AllPublished => _published;

    /// <summary>The state documents it put or deleted.</summary>
    public IReadOnlyCollection<StateKey> Written => _states.Keys;

    /// <summary>The messages of one type it published or scheduled, in order.</summary>
    /// <typeparam name="T">The message type.</typeparam>
    /// <exception cref="InvalidOperationException">The type has no declared name.</exception>
    public IReadOnlyList<PublishedMessage<T>> Published<T>()
        where T : notnull => MillraceTestHost.Read<T>(_core, _published);

    /// <summary>A state document of the stream it put, or the default of <typeparamref name="T"/>: it put none, or deleted it.</summary>
    /// <typeparam name="T">What it holds.</typeparam>
    /// <param name="name">Its name.</param>
    public T? State<T>(string name) => State<T>(new StateKey(_stream, name));

    /// <summary>A state document it put, or the default of <typeparamref name="T"/>: it put none, or deleted it.</summary>
    /// <typeparam name="T">What it holds.</typeparam>
    /// <param name="key">The document.</param>
    public T? State<T>(StateKey key) => _states.GetValueOrDefault(key) is { } payload
        ? (T?)MessageSerializer.Deserialize(payload.Span, _core.Serializer.GetTypeInfo(typeof(T)))
        : default;
}
