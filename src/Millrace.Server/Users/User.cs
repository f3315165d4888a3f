using System.Security.Cryptography;
using Millrace.Server.Commands;
using Millrace.Streams.Names;

namespace Millrace.Server.Users;

/// <summary>
/// Somebody who may log in, how, and what they may do then. Clients hold on to it, so that a change counts for them at once. Under the store's
/// lock.
/// </summary>
internal sealed class User
{
    private readonly CommandTable _table;

    /// <summary>Hashes of the passwords, any of which will do.</summary>
    private List<byte[]> _passwords = [];

    /// <summary>The first is the user's own; the others were written in parentheses.</summary>
    private List<Selector> _selectors;

    /// <summary>A rule that Redis users have. Here RESTORE always checks what it is given, so it says nothing more.</summary>
    private bool _skipsSanitizing;

    /// <summary>A user that may not log in and may do nothing.</summary>
    public User(string name, CommandTable table)
    {
        (Name, _table) = (name, table);
        _selectors = [new(table)];
    }

    public string Name { get; }

    /// <summary>May log in. Who has logged in already stays.</summary>
    public bool IsEnabled { get; private set; }

    /// <summary>Any password will do.</summary>
    public bool NeedsNoPassword { get; private set; }

    /// <summary>May do everything: the one test that an ordinary request costs.</summary>
    public bool IsUnrestricted { get; private set; }

    public IEnumerable<string> PasswordHashes => _passwords.Select(Convert.ToHexStringLower);

    public IReadOnlyList<Selector> Selectors => _selectors;

    /// <summary>What <c>ACL GETUSER</c> calls flags.</summary>
    public IEnumerable<string> Flags
    {
        get
        {
            yield return IsEnabled ? "on" : "off";
            if (NeedsNoPassword)
                yield return "nopass";
            yield return _skipsSanitizing ? "skip-sanitize-payload" : "sanitize-payload";
        }
    }

    /// <summary>The line that makes this user.</summary>
    public override string ToString()
    {
        List<string> words = ["user", Name, .. Flags, .. PasswordHashes.Select(static hash => "#" + hash), _selectors[0].ToString()];
        words.AddRange(_selectors.Skip(1).Select(static selector => $"({selector})"));
        return string.Join(' ', words);
    }

    /// <summary>Applies a rule of <c>ACL SETUSER</c>.</summary>
    /// <returns>What is wrong with it, or null.</returns>
    public string? Apply(string rule)
    {
        var error = ApplyCore(rule);
        IsUnrestricted = _selectors.Exists(static selector => selector.IsUnrestricted);
        return error;
    }

    public User Copy()
    {
        var copy = new User(Name, _table);
        copy.Become(this);
        return copy;
    }

    /// <summary>Takes over everything but the name.</summary>
    public void Become(User other)
    {
        (IsEnabled, NeedsNoPassword, _skipsSanitizing) = (other.IsEnabled, other.NeedsNoPassword, other._skipsSanitizing);
        _passwords = [.. other._passwords];
        _selectors = [.. other._selectors.Select(static selector => selector.Copy())];
        IsUnrestricted = other.IsUnrestricted;
    }

    /// <summary>Whether this password lets the user in. Takes the same time whichever it is.</summary>
    public bool Admits(ReadOnlySpan<byte> password)
    {
        if (!IsEnabled)
            return false;
        if (NeedsNoPassword)
            return true;
        Span<byte> hash = stackalloc byte[SHA256.HashSizeInBytes];
        SHA256.HashData(password, hash);
        var isFound = false;
        foreach (var known in _passwords)
            isFound |= CryptographicOperations.FixedTimeEquals(hash, known);
        return isFound;
    }

    /// <summary>Whether the user may do this, and if not, why: a key or channel that no selector allows rather than a command.</summary>
    /// <inheritdoc cref="Selector.Check"/>
    public AccessDenial Check(in CommandCall call, List<int> keys, out int argument)
    {
        var (worst, worstArgument) = (AccessDenial.Command, 0);
        foreach (var selector in _selectors)
        {
            var denial = selector.Check(call, keys, out argument);
            if (denial == AccessDenial.None)
                return denial;
            if (denial > worst || (denial == worst && argument > worstArgument))
                (worst, worstArgument) = (denial, argument);
        }

        argument = worstArgument;
        return worst;
    }

    /// <summary>Whether some selector allows a channel, or a pattern of channels.</summary>
    public bool AllowsChannel(byte[] channel, bool isPattern) => _selectors.Exists(selector => selector.AllowsChannel(channel, isPattern));

    private string? ApplyCore(string rule)
    {
        switch (rule.ToLowerInvariant())
        {
            case "": return null;
            case "on": IsEnabled = true; return null;
            case "off": IsEnabled = false; return null;
            case "nopass": SetPasswords(needsNone: true); return null;
            case "resetpass": SetPasswords(needsNone: false); return null;
            case "skip-sanitize-payload": _skipsSanitizing = true; return null;
            case "sanitize-payload": _skipsSanitizing = false; return null;
            case "clearselectors": _selectors.RemoveRange(1, _selectors.Count - 1); return null;
            case "reset": Become(new(Name, _table)); return null;
        }

        return rule switch
        {
            ['>' or '#' or '<' or '!', ..] => ApplyPassword(rule),
            ['(', .. var rules, ')'] => AddSelector(rules),
            _ => _selectors[0].Apply(rule),
        };
    }

    private void SetPasswords(bool needsNone)
    {
        NeedsNoPassword = needsNone;
        _passwords.Clear();
    }

    private string? ApplyPassword(string rule)
    {
        byte[] hash;
        if (rule[0] is '>' or '<')
            hash = SHA256.HashData(KeyText.Encode(rule.AsSpan(1)));
        else if (rule.Length == 1 + (2 * SHA256.HashSizeInBytes) && !rule.AsSpan(1).ContainsAnyExcept("0123456789abcdef"))
            hash = Convert.FromHexString(rule.AsSpan(1));
        else
            return RuleErrors.BadHash;

        var at = _passwords.FindIndex(known => known.AsSpan().SequenceEqual(hash));
        if (rule[0] is '>' or '#')
        {
            if (at < 0)
                _passwords.Add(hash);
            NeedsNoPassword = false;
            return null;
        }

        if (at < 0)
            return RuleErrors.UnknownPassword;
        _passwords.RemoveAt(at);
        return null;
    }

    private string? AddSelector(string rules)
    {
        var selector = new Selector(_table);
        foreach (var rule in rules.Split(' ', StringSplitOptions.RemoveEmptyEntries))
        {
            if (selector.Apply(rule) is { } error)
                return error;
        }

        _selectors.Add(selector);
        return null;
    }
}
