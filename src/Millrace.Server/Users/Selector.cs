using System.Text;
using Millrace.Server.Commands;
using Millrace.Server.Commands.Keys;

namespace Millrace.Server.Users;

/// <summary>
/// One set of rights: which commands, on which keys, in which channels. A user has one of its own and may have more, each written in
/// parentheses; a request must fit wholly into one of them. Rules are in <c>Selector.Rules.cs</c>.
/// </summary>
internal sealed partial class Selector
{
    private readonly CommandTable _table;

    /// <summary>Whether a command is allowed, by its number.</summary>
    private readonly bool[] _commands;

    /// <summary>Commands that are allowed with this first argument alone, as in <c>+select|0</c>.</summary>
    private readonly List<(int Command, byte[] Argument)> _firstArguments;

    private readonly List<KeyPattern> _keys;

    private readonly List<byte[]> _channels;

    /// <summary>The command rules since the last <c>+@all</c> or <c>-@all</c>, in lower case, in the order in which they count.</summary>
    private readonly List<string> _commandRules;

    /// <summary>The command rules count from <c>+@all</c>.</summary>
    private bool _beginsWithAll;

    /// <summary>No command was taken away since <c>+@all</c>.</summary>
    private bool _isEveryCommand;

    private bool _isEveryKey;
    private bool _isEveryChannel;

    /// <summary>Allows nothing.</summary>
    public Selector(CommandTable table)
    {
        _table = table;
        _commands = new bool[table.Count];
        (_firstArguments, _keys, _channels, _commandRules) = ([], [], [], []);
    }

    private Selector(Selector other)
    {
        _table = other._table;
        _commands = [.. other._commands];
        _firstArguments = [.. other._firstArguments];
        _keys = [.. other._keys];
        _channels = [.. other._channels];
        _commandRules = [.. other._commandRules];
        (_beginsWithAll, _isEveryCommand) = (other._beginsWithAll, other._isEveryCommand);
        (_isEveryKey, _isEveryChannel) = (other._isEveryKey, other._isEveryChannel);
    }

    /// <summary>Allows everything, with no need to look closer.</summary>
    public bool IsUnrestricted => _isEveryCommand && _isEveryKey && _isEveryChannel;

    public Selector Copy() => new(this);

    /// <summary>Whether a request fits, and if not, why.</summary>
    /// <param name="call">The request.</param>
    /// <param name="keys">Room for the places of its keys; what is in it is lost.</param>
    /// <param name="argument">The index of the key or channel that is not allowed.</param>
    public AccessDenial Check(in CommandCall call, List<int> keys, out int argument)
    {
        argument = 0;
        if (!AllowsCommand(call))
            return AccessDenial.Command;
        if (!_isEveryKey && !AllowsKeys(call, keys, ref argument))
            return AccessDenial.Key;
        return AllowsChannels(call, ref argument) ? AccessDenial.None : AccessDenial.Channel;
    }

    /// <summary>Whether a channel is allowed, or a pattern of channels: only the very same pattern allows one.</summary>
    public bool AllowsChannel(ReadOnlySpan<byte> channel, bool isPattern)
    {
        if (_isEveryChannel)
            return true;
        foreach (var pattern in _channels)
        {
            if (isPattern ? channel.SequenceEqual(pattern) : GlobPattern.IsMatch(pattern, channel))
                return true;
        }

        return false;
    }

    private bool AllowsCommand(in CommandCall call)
    {
        if (_commands[call.Command.Number] || call.Command.Has(CommandFlags.NoAuth))
            return true;
        foreach (var (command, argument) in _firstArguments)
        {
            if (command == call.Command.Number && call.Count > 1 && Ascii.EqualsIgnoreCase(call[1], argument))
                return true;
        }

        return false;
    }

    private bool AllowsKeys(in CommandCall call, List<int> keys, ref int argument)
    {
        keys.Clear();
        call.FindKeys(keys);
        foreach (var index in keys)
        {
            var rights = call.Command.FindKeyRights is { } find ? find(call, index) : call.Command.KeyRights;
            if (AllowsKey(call[index], rights))
                continue;
            argument = index;
            return false;
        }

        return true;
    }

    private bool AllowsKey(ReadOnlySpan<byte> key, KeyRights rights)
    {
        foreach (var pattern in _keys)
        {
            if ((pattern.Rights & rights) == rights && GlobPattern.IsMatch(pattern.Pattern, key))
                return true;
        }

        return false;
    }

    private bool AllowsChannels(in CommandCall call, ref int argument)
    {
        var use = call.Command.Channels;
        var end = use switch { ChannelArguments.None => 1, ChannelArguments.First => 2, _ => call.Count };
        for (var i = 1; i < end; i++)
        {
            if (AllowsChannel(call[i], isPattern: use == ChannelArguments.AllPatterns))
                continue;
            argument = i;
            return false;
        }

        return true;
    }

    /// <summary>A pattern of keys, and what commands may do with the keys that match.</summary>
    private readonly record struct KeyPattern(byte[] Pattern, KeyRights Rights);
}

/// <summary>Why a request is refused. When every selector refuses, the greatest reason is told.</summary>
internal enum AccessDenial
{
    None,
    Command,
    Key,
    Channel,
}
