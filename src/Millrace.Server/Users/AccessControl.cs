using System.Net;
using Millrace.Server.Commands;
using Millrace.Server.Commands.Connection;
using Millrace.Server.Connections;
using Millrace.Streams.Names;

namespace Millrace.Server.Users;

/// <summary>Who may log in and do what: the users, the file they come from, and the log of what was refused. Under the store's lock.</summary>
internal sealed class AccessControl
{
    public const string DefaultName = "default";

    /// <summary>Bytes of a name that the log keeps: names can be as long as an argument.</summary>
    private const int MaxLoggedBytes = 1024;

    private readonly CommandTable _table;
    private readonly RespServerOptions _options;
    private readonly SortedDictionary<string, User> _users = new(KeyText.ByteComparer);

    /// <summary>Places of the keys of the request that is looked at.</summary>
    private readonly List<int> _keys = [];

    /// <summary>Reads the file of users, if there is one.</summary>
    /// <inheritdoc cref="ReadFile" path="/exception"/>
    public AccessControl(RespServerOptions options, CommandTable table)
    {
        (_options, _table) = (options, table);
        Default = NewDefault();
        _users.Add(DefaultName, Default);
        if (options.UsersFile is not null)
            Replace(ReadFile());
    }

    /// <summary>Who every client is until it says otherwise. Always the same object.</summary>
    public User Default { get; }

    /// <summary>Clients are let in as the default user, without a word.</summary>
    public bool IsOpen => Default.IsEnabled && Default.NeedsNoPassword;

    /// <summary>All users, by the bytes of their names.</summary>
    public IReadOnlyCollection<User> Users => _users.Values;

    public AccessLog Log { get; } = new();

    public User? Find(string name) => _users.GetValueOrDefault(name);

    public User NewUser(string name) => new(name, _table);

    /// <summary>Adds a user, or gives an existing one other rules.</summary>
    public void Put(User user)
    {
        if (Find(user.Name) is { } existing)
            existing.Become(user);
        else
            _users.Add(user.Name, user);
    }

    public void Remove(User user) => _users.Remove(user.Name);

    /// <summary>Makes these the users.</summary>
    /// <returns>The users that are no more.</returns>
    public List<User> Replace(IReadOnlyCollection<User> users)
    {
        var gone = Users.Where(user => !users.Any(other => other.Name == user.Name)).ToList();
        foreach (var user in gone)
            Remove(user);
        foreach (var user in users)
            Put(user);
        return gone;
    }

    /// <summary>Reads the file of users. The default user is among them in any case, and has the password of the options if they name one.</summary>
    /// <exception cref="InvalidDataException">
    /// A line is wrong, or everybody would be let in at an address that can be reached from elsewhere.
    /// </exception>
    /// <exception cref="IOException">The file cannot be read.</exception>
    /// <exception cref="UnauthorizedAccessException">The file may not be read.</exception>
    public List<User> ReadFile()
    {
        var users = UsersFile.Read(_options.UsersFile!, _table);
        if (users.Find(static user => user.Name == DefaultName) is not { } first)
            users.Add(first = NewDefault());
        else if (_options.Password is { } password)
            SetPassword(first, password);
        if (!IPAddress.IsLoopback(_options.Address) && first.IsEnabled && first.NeedsNoPassword)
            throw new InvalidDataException($"{_options.UsersFile} lets everybody in: the default user needs a password, or to be off, as others can reach us.");
        return users;
    }

    /// <summary>Logs a client in.</summary>
    /// <param name="call">AUTH or HELLO.</param>
    /// <param name="name">The user.</param>
    /// <param name="password">What should be one of the passwords.</param>
    public bool TryLogIn(in CommandCall call, ReadOnlySpan<byte> name, ReadOnlySpan<byte> password)
    {
        if (Find(KeyText.Decode(name)) is { } user && user.Admits(password))
        {
            (call.Client.User, call.Client.IsAuthenticated) = (user, true);
            return true;
        }

        AddToLog(call, "auth", Shorten(call[0]), Shorten(name));
        return false;
    }

    /// <summary>Makes a client what it was when it connected.</summary>
    public void LogOut(ClientConnection client) => (client.User, client.IsAuthenticated) = (Default, IsOpen);

    /// <summary>Gives the default user this password and no other; with an empty one it needs none.</summary>
    public void SetDefaultPassword(string password)
    {
        _options.Password = password.Length == 0 ? null : password;
        SetPassword(Default, password);
    }

    /// <summary>Whether the client's user may do this; what is refused is logged. One test for who may do everything.</summary>
    public AccessDenial Check(in CommandCall call) => call.Client.User.IsUnrestricted ? AccessDenial.None : CheckCore(call);

    /// <summary>Whether a user might do this, in the words of <c>ACL DRYRUN</c>, or null when it might.</summary>
    public string? Explain(in CommandCall call, User user) => user.Check(call, _keys, out var argument) switch
    {
        AccessDenial.Command => $"User {user.Name} has no permissions to run the '{call.Command.FullName}' command",
        AccessDenial.Key => $"User {user.Name} has no permissions to access the '{call.Text(argument)}' key",
        AccessDenial.Channel => $"User {user.Name} has no permissions to access the '{call.Text(argument)}' channel",
        _ => null,
    };

    private static string Shorten(ReadOnlySpan<byte> name) => Errors.Shorten(name, MaxLoggedBytes);

    private static void SetPassword(User user, string password)
    {
        user.Apply("resetpass");
        user.Apply(password.Length == 0 ? "nopass" : ">" + password);
    }

    /// <summary>The default user when no file says otherwise: it may do everything, and needs the password of the options if they name one.</summary>
    private User NewDefault()
    {
        var user = NewUser(DefaultName);
        foreach (var rule in (string[])["on", "nopass", "~*", "&*", "+@all"])
            user.Apply(rule);
        if (_options.Password is { } password)
            SetPassword(user, password);
        return user;
    }

    private AccessDenial CheckCore(in CommandCall call)
    {
        var user = call.Client.User;
        var denial = user.Check(call, _keys, out var argument);
        if (denial == AccessDenial.Command)
            AddToLog(call, "command", call.Command.FullName, user.Name);
        else if (denial != AccessDenial.None)
            AddToLog(call, denial == AccessDenial.Key ? "key" : "channel", Shorten(call[argument]), user.Name);
        return denial;
    }

    private void AddToLog(in CommandCall call, string reason, string name, string username)
    {
        var context = call.MayBlock && !call.Client.Transaction.IsOpen ? "toplevel" : "multi";
        Log.Add(new(reason, context, name, username), ClientCommands.Describe(call.Client, call.NowMs), call.NowMs);
    }
}
