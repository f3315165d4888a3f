namespace Millrace.Server.Users;

/// <summary>What can be wrong with a rule, in Redis's words.</summary>
internal static class RuleErrors
{
    public const string Syntax = "Syntax error";
    public const string UnknownCommand = "Unknown command or category name in ACL";
    public const string FirstArgumentOfSubcommand = "Allowing first-arg of a subcommand is not supported";
    public const string UnknownPassword = "The password you are trying to remove from the user does not exist";
    public const string BadHash = "The password hash must be exactly 64 characters and contain only lowercase hexadecimal characters";

    public const string KeysAfterAll =
        "Adding a pattern after the * pattern (or the 'allkeys' flag) is not valid and does not have any effect. " +
        "Try 'resetkeys' to start with an empty list of patterns";

    public const string ChannelsAfterAll =
        "Adding a pattern after the * pattern (or the 'allchannels' flag) is not valid and does not have any effect. " +
        "Try 'resetchannels' to start with an empty list of channels";

    /// <summary>Names and patterns stand between blanks in files, so they can have none.</summary>
    public static bool HasBlank(string text) => text.AsSpan().IndexOfAny(" \t\n\v\f\r\0") >= 0;
}
