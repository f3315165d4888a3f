using System.Diagnostics.CodeAnalysis;
using Millrace.Server.Connections;

namespace Millrace.Server.Commands.PubSub;

/// <summary>
/// Who listens to names of one kind: channels, patterns, or shard channels. Names are bytes as they came. Under the store's lock.
/// </summary>
internal sealed class SubscriptionTable
{
    private readonly Dictionary<byte[], HashSet<ClientConnection>> _listeners = new(NameComparer.Instance);
    private readonly Dictionary<byte[], HashSet<ClientConnection>>.AlternateLookup<ReadOnlySpan<byte>> _byName;

    /// <summary>The same by client.</summary>
    private readonly Dictionary<ClientConnection, HashSet<byte[]>> _names = [];

    public SubscriptionTable() => _byName = _listeners.GetAlternateLookup<ReadOnlySpan<byte>>();

    /// <summary>The names somebody listens to, with who does.</summary>
    public IReadOnlyDictionary<byte[], HashSet<ClientConnection>> Listeners => _listeners;

    /// <summary>Who listens to a name.</summary>
    public IReadOnlyCollection<ClientConnection> ListenersOf(ReadOnlySpan<byte> name) =>
        _byName.TryGetValue(name, out var listeners) ? listeners : [];

    /// <summary>What a client listens to, in the order it began.</summary>
    public IReadOnlyCollection<byte[]> NamesOf(ClientConnection client) => _names.TryGetValue(client, out var names) ? names : [];

    public void Add(ClientConnection client, byte[] name)
    {
        if (!_names.TryGetValue(client, out var names))
            _names.Add(client, names = new(NameComparer.Instance));
        if (!names.Add(name))
            return;
        if (!_listeners.TryGetValue(name, out var listeners))
            _listeners.Add(name, listeners = []);
        listeners.Add(client);
    }

    public void Remove(ClientConnection client, byte[] name)
    {
        if (!_names.TryGetValue(client, out var names) || !names.Remove(name))
            return;
        if (names.Count == 0)
            _names.Remove(client);
        var listeners = _listeners[name];
        listeners.Remove(client);
        if (listeners.Count == 0)
            _listeners.Remove(name);
    }

    /// <summary>Names are equal when their bytes are.</summary>
    private sealed class NameComparer : IEqualityComparer<byte[]>, IAlternateEqualityComparer<ReadOnlySpan<byte>, byte[]>
    {
        public static NameComparer Instance { get; } = new();

        public bool Equals(byte[]? x, byte[]? y) => x.AsSpan().SequenceEqual(y);

        public int GetHashCode([DisallowNull] byte[] name) => GetHashCode(name.AsSpan());

        public bool Equals(ReadOnlySpan<byte> alternate, byte[] other) => alternate.SequenceEqual(other);

        public byte[] Create(ReadOnlySpan<byte> alternate) => alternate.ToArray();

        public int GetHashCode(ReadOnlySpan<byte> name)
        {
            // Seeded at random: names come from strangers.
            var hash = default(HashCode);
            hash.AddBytes(name);
            return hash.ToHashCode();
        }
    }
}
