using Millrace.Server.Connections;
using Millrace.Server.Users;

namespace Millrace.Server.Commands.Admin;

/// <summary>The subcommands that change users.</summary>
internal static partial class AclCommands
{
    private const string NoFile =
        "ERR This Redis instance is not configured to use an ACL file. You may want to specify users via the ACL SETUSER command and then issue a " +
        "CONFIG REWRITE (assuming you have a Redis configuration file set) in order to store users in the Redis configuration.";

    /// <summary>Applies all rules or none.</summary>
    private static void SetUser(ref CommandCall call)
    {
        var name = call.Text(2);
        if (RuleErrors.HasBlank(name))
        {
            call.Error("ERR Usernames can't contain spaces or null characters");
            return;
        }

        var words = new List<string>();
        for (var i = 3; i < call.Count; i++)
            words.Add(call.Text(i));
        if (!UserRules.TryJoin(words, out var rules, out var unmatched))
        {
            call.Error($"ERR Unmatched parenthesis in acl selector starting at '{Errors.Quote(unmatched)}'.");
            return;
        }

        var access = call.Server.Access;
        var user = access.Find(name)?.Copy() ?? access.NewUser(name);
        foreach (var rule in rules)
        {
            if (user.Apply(rule) is { } error)
            {
                call.Error($"ERR Error in ACL SETUSER modifier '{Errors.Quote(rule)}': {error}");
                return;
            }
        }

        access.Put(user);
        DisconnectListeners(ref call);
        call.Ok();
    }

    private static void DeleteUsers(ref CommandCall call)
    {
        var access = call.Server.Access;
        var users = new HashSet<User>();
        for (var i = 2; i < call.Count; i++)
        {
            if (access.Find(call.Text(i)) is { } user)
                users.Add(user);
        }

        if (users.Contains(access.Default))
        {
            call.Error("ERR The 'default' user cannot be removed");
            return;
        }

        foreach (var user in users)
        {
            access.Remove(user);
            Disconnect(ref call, user);
        }

        call.Reply.WriteInteger(users.Count);
    }

    /// <summary>Makes the users of the file the users, all or none. Reads it under the lock: users change seldom.</summary>
    private static void Load(ref CommandCall call)
    {
        if (call.Server.Options.UsersFile is null)
        {
            call.Error(NoFile);
            return;
        }

        try
        {
            foreach (var gone in call.Server.Access.Replace(call.Server.Access.ReadFile()))
                Disconnect(ref call, gone);
            DisconnectListeners(ref call);
            call.Ok();
        }
        catch (Exception e) when (e is InvalidDataException or IOException or UnauthorizedAccessException)
        {
            call.Error($"ERR {e.Message} WARNING: ACL errors detected, no change to the previously active ACL rules was performed");
        }
    }

    private static void Save(ref CommandCall call)
    {
        if (call.Server.Options.UsersFile is not { } path)
        {
            call.Error(NoFile);
            return;
        }

        try
        {
            UsersFile.Write(path, call.Server.Access.Users);
            call.Ok();
        }
        catch (Exception e) when (e is IOException or UnauthorizedAccessException)
        {
            call.Error($"ERR There was an error trying to save the ACLs: {e.Message}");
        }
    }

    /// <summary>Ends the clients of a user that is no more.</summary>
    private static void Disconnect(ref CommandCall call, User user)
    {
        foreach (var client in call.Server.Clients.Values)
        {
            if (client.User != user)
                continue;
            call.Server.Access.LogOut(client);
            Disconnect(ref call, client, "The user was deleted.");
        }
    }

    /// <summary>Ends the clients that listen to what their users may not hear any more.</summary>
    private static void DisconnectListeners(ref CommandCall call)
    {
        var subscriptions = call.Server.Subscriptions;
        foreach (var client in call.Server.Clients.Values)
        {
            var user = client.User;
            if (client.IsSubscriber &&
                (subscriptions.Channels.NamesOf(client).Any(channel => !user.AllowsChannel(channel, isPattern: false)) ||
                 subscriptions.ShardChannels.NamesOf(client).Any(channel => !user.AllowsChannel(channel, isPattern: false)) ||
                 subscriptions.Patterns.NamesOf(client).Any(pattern => !user.AllowsChannel(pattern, isPattern: true))))
                Disconnect(ref call, client, "The user may not hear what it listens to.");
        }
    }

    /// <summary>The caller itself still gets its reply.</summary>
    private static void Disconnect(ref CommandCall call, ClientConnection client, string reason)
    {
        if (client == call.Client)
            client.IsClosing = true;
        else
            client.KillNeedsLock(reason);
    }
}
