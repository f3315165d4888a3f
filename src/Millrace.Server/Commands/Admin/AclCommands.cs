using System.Globalization;
using System.Security.Cryptography;
using Millrace.Server.Users;

namespace Millrace.Server.Commands.Admin;

/// <summary><c>ACL</c>: asking about users, rights and refusals. Changing users is in <c>AclCommands.Users.cs</c>.</summary>
internal static partial class AclCommands
{
    private const CommandFlags Anybody = CommandFlags.NoScript;
    private const CommandFlags Administrators = CommandFlags.NoScript | CommandFlags.Admin;

    /// <summary>The most bits that GENPASS gives.</summary>
    private const int MaxBits = 4096;

    public static IEnumerable<CommandInfo> All { get; } =
    [
        new("acl", -2, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall call) => call.WrongArity(),
        [
            new("cat", -2, Anybody, 0, 0, 0, "", Categories),
            new("deluser", -3, Administrators, 0, 0, 0, "", DeleteUsers),
            new("dryrun", -4, Administrators, 0, 0, 0, "", DryRun),
            new("genpass", -2, Anybody, 0, 0, 0, "", GeneratePassword),
            new("getuser", 3, Administrators, 0, 0, 0, "", GetUser),
            new("help", 2, CommandFlags.None, 0, 0, 0, "", static (ref CommandCall call) => call.WriteHelp(HelpLines)),
            new("list", 2, Administrators, 0, 0, 0, "", static (ref CommandCall call) => WriteUsers(ref call, static user => user.ToString())),
            new("load", 2, Administrators, 0, 0, 0, "", Load),
            new("log", -2, Administrators, 0, 0, 0, "", ShowLog),
            new("save", 2, Administrators, 0, 0, 0, "", Save),
            new("setuser", -3, Administrators, 0, 0, 0, "", SetUser),
            new("users", 2, Administrators, 0, 0, 0, "", static (ref CommandCall call) => WriteUsers(ref call, static user => user.Name)),
            new("whoami", 2, Anybody, 0, 0, 0, "", static (ref CommandCall call) => call.WriteText(call.Client.User.Name)),
        ]) { Group = "server", Since = "6.0.0" },
    ];

    private static readonly string[] HelpLines =
    [
        "ACL <subcommand> [<arg> [value] [opt] ...]. Subcommands are:",
        "CAT [<category>]",
        "    List all commands that belong to <category>, or all command categories",
        "    when no category is specified.",
        "DELUSER <username> [<username> ...]",
        "    Delete a list of users.",
        "DRYRUN <username> <command> [<arg> ...]",
        "    Returns whether the user can execute the given command without executing the command.",
        "GETUSER <username>",
        "    Get the user's details.",
        "GENPASS [<bits>]",
        "    Generate a secure 256-bit user password. The optional `bits` argument can",
        "    be used to specify a different size.",
        "LIST",
        "    Show users details in config file format.",
        "LOAD",
        "    Reload users from the ACL file.",
        "LOG [<count> | RESET]",
        "    Show the ACL log entries.",
        "SAVE",
        "    Save the current config to the ACL file.",
        "SETUSER <username> <attribute> [<attribute> ...]",
        "    Create or modify a user with the specified attributes.",
        "USERS",
        "    List all the registered usernames.",
        "WHOAMI",
        "    Return the current connection username.",
        "HELP",
        "    Prints this help.",
    ];

    private static void Categories(ref CommandCall call)
    {
        if (call.Count > 3)
        {
            WrongUse(ref call);
            return;
        }

        IReadOnlyList<string> names = CommandCategories.Names;
        if (call.Count == 3)
        {
            var category = call.Text(2).ToLowerInvariant();
            if (!names.Contains(category))
            {
                call.Error($"ERR Unknown category '{Errors.Quote(call.Text(2))}'");
                return;
            }

            names = [.. call.Server.Dispatcher.Table.AllWithSubcommands
                .Where(command => command.AllCategories.Contains(category))
                .Select(static command => command.FullName)];
        }

        call.Reply.WriteArray(names.Count);
        foreach (var name in names)
            call.Reply.WriteBulk(name);
    }

    private static void WriteUsers(ref CommandCall call, Func<User, string> describe)
    {
        var users = call.Server.Access.Users;
        call.Reply.WriteArray(users.Count);
        foreach (var user in users)
            call.WriteText(describe(user));
    }

    private static void GetUser(ref CommandCall call)
    {
        if (call.Server.Access.Find(call.Text(2)) is not { } user)
        {
            call.Reply.WriteNull();
            return;
        }

        string[] flags = [.. user.Flags];
        string[] passwords = [.. user.PasswordHashes];
        call.Reply.WriteMap(6);
        call.Reply.WriteBulk("flags"u8);
        call.Reply.WriteSet(flags.Length);
        foreach (var flag in flags)
            call.Reply.WriteBulk(flag);
        call.Reply.WriteBulk("passwords"u8);
        call.Reply.WriteArray(passwords.Length);
        foreach (var password in passwords)
            call.Reply.WriteBulk(password);
        WriteSelector(ref call, user.Selectors[0]);
        call.Reply.WriteBulk("selectors"u8);
        call.Reply.WriteArray(user.Selectors.Count - 1);
        foreach (var selector in user.Selectors.Skip(1))
        {
            call.Reply.WriteMap(3);
            WriteSelector(ref call, selector);
        }
    }

    private static void WriteSelector(ref CommandCall call, Selector selector)
    {
        call.Reply.WriteBulk("commands"u8);
        call.WriteText(selector.CommandRules);
        call.Reply.WriteBulk("keys"u8);
        call.WriteText(selector.KeyRules);
        call.Reply.WriteBulk("channels"u8);
        call.WriteText(selector.ChannelRules);
    }

    private static void DryRun(ref CommandCall call)
    {
        if (call.Server.Access.Find(call.Text(2)) is not { } user)
        {
            call.Error($"ERR User '{Errors.Quote(call.Text(2))}' not found");
            return;
        }

        var tried = call.Skip(3, call.Command);
        if (!call.Server.Dispatcher.TryFind(ref tried))
            call.Error($"ERR Command '{Errors.Quote(call.Text(3))}' not found");
        else if (!tried.Command.FitsArity(tried.Count))
            tried.WrongArity();
        else if (call.Server.Access.Explain(tried, user) is { } denial)
            call.WriteText(denial);
        else
            call.Ok();
    }

    private static void GeneratePassword(ref CommandCall call)
    {
        if (call.Count > 3)
        {
            WrongUse(ref call);
            return;
        }

        var bits = 256L;
        if (call.Count == 3 && !call.TryInteger(2, out bits))
            return;
        if (bits is <= 0 or > MaxBits)
        {
            call.Error($"ERR ACL GENPASS argument must be the number of bits for the output password, a positive number up to {MaxBits}");
            return;
        }

        call.Reply.WriteBulk(RandomNumberGenerator.GetHexString((int)(bits + 3) / 4, lowercase: true));
    }

    private static void ShowLog(ref CommandCall call)
    {
        var log = call.Server.Access.Log;
        if (call.Count > 3)
        {
            WrongUse(ref call);
            return;
        }

        if (call.Count == 3 && call.Is(2, "RESET"u8))
        {
            log.Clear();
            call.Ok();
            return;
        }

        var most = 10L;
        if (call.Count == 3 && !call.TryInteger(2, out most))
            return;
        AccessLogEntry[] entries = [.. log.Entries.Take((int)Math.Clamp(most, 0, int.MaxValue))];
        call.Reply.WriteArray(entries.Length);
        foreach (var entry in entries)
            WriteEntry(ref call, entry);
    }

    private static void WriteEntry(ref CommandCall call, AccessLogEntry entry)
    {
        call.Reply.WriteMap(10);
        call.Reply.WriteBulk("count"u8);
        call.Reply.WriteInteger(entry.Count);
        call.Reply.WriteBulk("reason"u8);
        call.Reply.WriteBulk(entry.Refusal.Reason);
        call.Reply.WriteBulk("context"u8);
        call.Reply.WriteBulk(entry.Refusal.Context);
        call.Reply.WriteBulk("object"u8);
        call.WriteText(entry.Refusal.Object);
        call.Reply.WriteBulk("username"u8);
        call.WriteText(entry.Refusal.Username);
        call.Reply.WriteBulk("age-seconds"u8);
        call.Reply.WriteDouble((call.NowMs - entry.UpdatedMs) / 1000.0);
        call.Reply.WriteBulk("client-info"u8);
        call.WriteText(entry.Client);
        call.Reply.WriteBulk("entry-id"u8);
        call.Reply.WriteInteger(entry.Id);
        call.Reply.WriteBulk("timestamp-created"u8);
        call.Reply.WriteInteger(entry.CreatedMs);
        call.Reply.WriteBulk("timestamp-last-updated"u8);
        call.Reply.WriteInteger(entry.UpdatedMs);
    }

    private static void WrongUse(ref CommandCall call) =>
        call.Error($"ERR unknown subcommand or wrong number of arguments for '{Errors.Quote(call.Text(1))}'. Try ACL HELP.");
}
