using Millrace.Streams.Engine;

namespace Millrace.Server.Commands.Transactions;

/// <summary>What a client has queued since MULTI, and the keys it watches. Under the store's lock.</summary>
internal sealed class Transaction(RespServer server)
{
    private readonly List<StoredRequest> _queue = [];
    private readonly HashSet<KeyRef> _watched = [];

    /// <summary>Between MULTI and EXEC or DISCARD.</summary>
    public bool IsOpen { get; private set; }

    /// <summary>A command could not be queued: EXEC will refuse.</summary>
    public bool IsBroken { get; set; }

    /// <summary>A watched key changed: EXEC will do nothing.</summary>
    public bool IsDirty { get; set; }

    /// <summary>A command of it is refused when memory is used up, so that all of it is.</summary>
    public bool NeedsMemory { get; private set; }

    public int Count => _queue.Count;

    public long Bytes { get; private set; }

    /// <summary>The keys it watches.</summary>
    public IReadOnlyCollection<KeyRef> Watched => _watched;

    public IReadOnlyList<StoredRequest> Queue => _queue;

    public void Open() => IsOpen = true;

    public void Add(StoredRequest request)
    {
        _queue.Add(request);
        Bytes += request.Bytes;
        NeedsMemory |= request.Command.Has(CommandFlags.DenyOom);
    }

    public bool IsWatchingAny(IReadOnlyCollection<KeyRef> keys) => _watched.Overlaps(keys);

    public void Watch(KeyRef key)
    {
        if (_watched.Add(key))
            server.AddWatchNeedsLock(this, key);
    }

    public void Unwatch()
    {
        if (_watched.Count > 0)
            server.RemoveWatcherNeedsLock(this);
        _watched.Clear();
        IsDirty = false;
    }

    /// <summary>Forgets everything: after EXEC, DISCARD, RESET, or when the client is gone.</summary>
    public void Discard()
    {
        Unwatch();
        _queue.Clear();
        (Bytes, IsOpen, IsBroken, NeedsMemory) = (0, false, false, false);
    }
}
