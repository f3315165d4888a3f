using System.Diagnostics.CodeAnalysis;
using System.Text;

namespace Millrace.Server.Commands;

/// <summary>Every command there is. Each family has a file that lists its commands; this one only puts them together.</summary>
internal sealed class CommandTable
{
    private readonly Dictionary<string, CommandInfo> _commands = new(StringComparer.Ordinal);
    private readonly Dictionary<string, CommandInfo>.AlternateLookup<ReadOnlySpan<char>> _byName;

    /// <summary>Open addressing by length and folded bytes: the hot path's own index of <see cref="_commands"/>.</summary>
    private readonly (byte[] Name, CommandInfo Info)[] _slots;

    public CommandTable(IEnumerable<CommandInfo> commands)
    {
        foreach (var command in commands)
            _commands.Add(command.Name, Finish(command));
        _byName = _commands.GetAlternateLookup<ReadOnlySpan<char>>();
        _slots = new (byte[], CommandInfo)[1024];
        foreach (var (name, info) in _commands)
        {
            var bytes = Encoding.ASCII.GetBytes(name);
            var at = Hash(bytes);
            while (_slots[at].Info is not null)
                at = (at + 1) & (_slots.Length - 1);
            _slots[at] = (bytes, info);
        }
    }

    /// <summary>How many commands and subcommands there are: their numbers are below.</summary>
    public int Count { get; private set; }

    /// <summary>All commands, each followed by its subcommands.</summary>
    public IEnumerable<CommandInfo> AllWithSubcommands => _commands.Values.SelectMany(static command => command.Subcommands is { } children
        ? [command, .. children]
        : (IEnumerable<CommandInfo>)[command]);

    /// <summary>All commands, without subcommands.</summary>
    public IReadOnlyCollection<CommandInfo> All => _commands.Values;

    /// <summary>Finds a command by name in any case.</summary>
    public CommandInfo? Find(ReadOnlySpan<byte> name)
    {
        for (var at = Hash(name); _slots[at].Info is { } found; at = (at + 1) & (_slots.Length - 1))
        {
            if (Ascii.EqualsIgnoreCase(name, _slots[at].Name))
                return found;
        }

        return null;
    }

    /// <summary>Finds a command or subcommand by its full name in lower case, as in <c>xgroup|create</c>.</summary>
    public bool TryFind(ReadOnlySpan<char> fullName, [NotNullWhen(true)] out CommandInfo? found)
    {
        var bar = fullName.IndexOf('|');
        if (bar < 0)
            return _byName.TryGetValue(fullName, out found);
        found = null;
        if (!_byName.TryGetValue(fullName[..bar], out var parent) || parent.Subcommands is null)
            return false;
        foreach (var child in parent.Subcommands)
        {
            if (fullName[(bar + 1)..].SequenceEqual(child.Name))
                found = child;
        }

        return found is not null;
    }

    private CommandInfo Finish(CommandInfo command) => command with
    {
        Number = Count++,
        Subcommands = command.Subcommands is { } children
            ? [.. children.Select(child => child with { Number = Count++, FullName = $"{command.Name}|{child.Name}", Group = command.Group })]
            : null,
    };

    private int Hash(ReadOnlySpan<byte> name)
    {
        var hash = (uint)name.Length;
        foreach (var character in name)
            hash = (hash * 31) + (uint)(character | 0x20);
        return (int)(hash * 0x9E3779B1u >> 22);
    }
}
