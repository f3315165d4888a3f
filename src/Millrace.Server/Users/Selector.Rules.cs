using System.Text;
using Millrace.Server.Commands;
using Millrace.Streams.Names;

namespace Millrace.Server.Users;

/// <summary>The rules that give and take rights, as <c>ACL SETUSER</c> reads and <c>ACL LIST</c> writes them.</summary>
internal sealed partial class Selector
{
    /// <summary>The command rules as they were given, without those that later ones made void.</summary>
    public string CommandRules => string.Join(' ', [_beginsWithAll ? "+@all" : "-@all", .. _commandRules]);

    public string KeyRules => _isEveryKey ? "~*" : string.Join(' ', _keys.Select(Describe));

    public string ChannelRules => _isEveryChannel ? "&*" : string.Join(' ', _channels.Select(Describe));

    /// <summary>All rules: applied to a selector that allows nothing, they make this one.</summary>
    public override string ToString()
    {
        List<string> rules = [.. _isEveryKey ? ["~*"] : _keys.Select(Describe)];
        rules.AddRange(_isEveryChannel ? ["&*"] : ["resetchannels", .. _channels.Select(Describe)]);
        rules.Add(CommandRules);
        return string.Join(' ', rules);
    }

    /// <summary>Applies a rule.</summary>
    /// <returns>What is wrong with it, or null.</returns>
    public string? Apply(string rule)
    {
        switch (rule.ToLowerInvariant())
        {
            case "allkeys" or "~*":
                _isEveryKey = true;
                _keys.Clear();
                return null;
            case "resetkeys":
                _isEveryKey = false;
                _keys.Clear();
                return null;
            case "allchannels" or "&*":
                _isEveryChannel = true;
                _channels.Clear();
                return null;
            case "resetchannels":
                _isEveryChannel = false;
                _channels.Clear();
                return null;
            case "allcommands" or "+@all":
                SetAllCommands(true);
                return null;
            case "nocommands" or "-@all":
                SetAllCommands(false);
                return null;
        }

        return rule switch
        {
            ['~', .. var pattern] => AddKeys(pattern, KeyRights.ReadWrite),
            ['%', .. var rights] => AddKeysWithRights(rights),
            ['&', .. var pattern] => AddChannels(pattern),
            ['+' or '-', '@', .. var category] => SetCategory(category.ToLowerInvariant(), rule[0] == '+'),
            ['+', .. var name] => name.Contains('|') ? AllowSubcommand(name.ToLowerInvariant()) : SetCommand(name.ToLowerInvariant(), true),
            ['-', .. var name] => SetCommand(name.ToLowerInvariant(), false),
            _ => RuleErrors.Syntax,
        };
    }

    private static string Describe(KeyPattern key)
    {
        var prefix = key.Rights switch { KeyRights.Read => "%R~", KeyRights.Write => "%W~", _ => "~" };
        return prefix + KeyText.Decode(key.Pattern);
    }

    private static string Describe(byte[] channel) => "&" + KeyText.Decode(channel);

    private string? AddKeysWithRights(string rule)
    {
        var rights = KeyRights.None;
        for (var i = 0; i < rule.Length; i++)
        {
            if (rule[i] == '~' && rights != KeyRights.None)
                return AddKeys(rule[(i + 1)..], rights);
            var right = char.ToUpperInvariant(rule[i]) switch { 'R' => KeyRights.Read, 'W' => KeyRights.Write, _ => KeyRights.None };
            if (right == KeyRights.None || (rights & right) != 0)
                break;
            rights |= right;
        }

        return RuleErrors.Syntax;
    }

    private string? AddKeys(string text, KeyRights rights)
    {
        if (_isEveryKey)
            return RuleErrors.KeysAfterAll;
        if (RuleErrors.HasBlank(text))
            return RuleErrors.Syntax;
        var pattern = KeyText.Encode(text);
        var at = _keys.FindIndex(key => key.Pattern.AsSpan().SequenceEqual(pattern));
        if (at < 0)
            _keys.Add(new(pattern, rights));
        else
            _keys[at] = new(pattern, _keys[at].Rights | rights);
        return null;
    }

    private string? AddChannels(string text)
    {
        if (_isEveryChannel)
            return RuleErrors.ChannelsAfterAll;
        if (RuleErrors.HasBlank(text))
            return RuleErrors.Syntax;
        var pattern = KeyText.Encode(text);
        if (!_channels.Exists(channel => channel.AsSpan().SequenceEqual(pattern)))
            _channels.Add(pattern);
        return null;
    }

    private void SetAllCommands(bool isAllowed)
    {
        _commands.AsSpan().Fill(isAllowed);
        (_beginsWithAll, _isEveryCommand) = (isAllowed, isAllowed);
        _commandRules.Clear();
        _firstArguments.Clear();
    }

    private string? SetCategory(string category, bool isAllowed)
    {
        if (!CommandCategories.Names.Contains(category))
            return RuleErrors.UnknownCommand;
        foreach (var command in _table.AllWithSubcommands)
        {
            if (command.AllCategories.Contains(category))
                Set(command, isAllowed);
        }

        Remember("@" + category, isAllowed);
        return null;
    }

    private string? SetCommand(string name, bool isAllowed)
    {
        if (!_table.TryFind(name, out var command))
            return RuleErrors.UnknownCommand;
        Set(command, isAllowed);
        Remember(name, isAllowed);
        return null;
    }

    /// <summary>Allows a subcommand, or a command with this first argument alone when it has no subcommands.</summary>
    private string? AllowSubcommand(string name)
    {
        var bar = name.LastIndexOf('|');
        if (!_table.TryFind(name.AsSpan(0, bar), out var command))
            return RuleErrors.UnknownCommand;
        if (command.FullName != command.Name)
            return RuleErrors.FirstArgumentOfSubcommand;
        if (bar == name.Length - 1)
            return RuleErrors.Syntax;
        if (command.Subcommands is not null)
            return SetCommand(name, true);
        _firstArguments.Add((command.Number, KeyText.Encode(name.AsSpan(bar + 1))));
        Remember(name, true);
        return null;
    }

    /// <summary>A command stands for its subcommands.</summary>
    private void Set(CommandInfo command, bool isAllowed)
    {
        _isEveryCommand &= isAllowed;
        _commands[command.Number] = isAllowed;
        _firstArguments.RemoveAll(first => first.Command == command.Number);
        foreach (var subcommand in command.Subcommands ?? [])
            _commands[subcommand.Number] = isAllowed;
    }

    /// <summary>Adds a command rule. Earlier ones about the same command or category are void, and those about its subcommands.</summary>
    private void Remember(string name, bool isAllowed)
    {
        _commandRules.RemoveAll(rule => rule.AsSpan(1).SequenceEqual(name) || rule.AsSpan(1).StartsWith(name + "|"));
        _commandRules.Add((isAllowed ? "+" : "-") + name);
    }
}
