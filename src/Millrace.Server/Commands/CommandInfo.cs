namespace Millrace.Server.Commands;

/// <summary>Runs a command: parses its arguments, checks in Redis's order, applies, and writes exactly one reply. Under the store's lock.</summary>
internal delegate void CommandHandler(ref CommandCall call);

/// <summary>What a command is, as <c>COMMAND INFO</c> tells it and as the dispatcher uses it.</summary>
[Flags]
internal enum CommandFlags
{
    None = 0,

    /// <summary>May change keys.</summary>
    Write = 1,

    /// <summary>Reads keys.</summary>
    ReadOnly = 2,

    /// <summary>Refused when memory is used up.</summary>
    DenyOom = 4,

    Admin = 8,

    /// <summary>Publishes or subscribes.</summary>
    PubSub = 16,

    NoScript = 32,

    /// <summary>May make the client wait.</summary>
    Blocking = 64,

    /// <summary>Takes constant or logarithmic time.</summary>
    Fast = 128,

    /// <summary>Runs before the client has authenticated.</summary>
    NoAuth = 256,

    /// <summary>Is run at once inside MULTI rather than queued.</summary>
    NotQueued = 512,

    /// <summary>Its keys are not at fixed places.</summary>
    MovableKeys = 1024,

    /// <summary>Is refused inside MULTI.</summary>
    NoMulti = 2048,

    /// <summary>Runs while a client that speaks RESP2 is subscribed: it could not tell other replies from messages.</summary>
    WhileSubscribed = 4096,

    /// <summary>Goes to replicas without writing keys: as good as a write to <c>CLIENT PAUSE WRITE</c>.</summary>
    MayReplicate = 8192,
}

/// <summary>A command of the table.</summary>
/// <param name="Name">Its name in lower case.</param>
/// <param name="Arity">Arguments with the name; negative: at least so many.</param>
/// <param name="Flags">What it is.</param>
/// <param name="FirstKey">Index of the first key; 0 for none.</param>
/// <param name="LastKey">Index of the last key; negative counts from the end.</param>
/// <param name="KeyStep">Distance of two keys.</param>
/// <param name="Categories">ACL categories without <c>@</c>, space separated, besides those that its flags give: <c>"stream"</c>.</param>
/// <param name="Handler">Runs it.</param>
/// <param name="Subcommands">Subcommands by lower-case name; the handler then runs only without one.</param>
/// <param name="FindKeys">Names the keys when they are not at fixed places, for ACL rules and COMMAND GETKEYS.</param>
internal sealed record CommandInfo(
    string Name,
    int Arity,
    CommandFlags Flags,
    int FirstKey,
    int LastKey,
    int KeyStep,
    string Categories,
    CommandHandler Handler,
    IReadOnlyList<CommandInfo>? Subcommands = null,
    KeyFinder? FindKeys = null)
{
    /// <summary>The name as errors and the ACL show it: <c>xgroup|create</c> for a subcommand.</summary>
    public string FullName { get; init; } = Name;

    /// <summary>Numbers the commands and subcommands of a table, for sets of them.</summary>
    public int Number { get; init; }

    /// <summary>All ACL categories of the command.</summary>
    public IReadOnlyList<string> AllCategories { get; } = CommandCategories.Of(Categories, Flags);

    /// <summary>What it does with the values of its keys. Commands that write do not read unless they say so.</summary>
    public KeyRights KeyRights { get; init; } =
        (Flags & CommandFlags.Write) != 0 ? KeyRights.Write : (Flags & CommandFlags.ReadOnly) != 0 ? KeyRights.Read : KeyRights.None;

    /// <summary>Where <see cref="KeyRights"/> is not the same for all keys and options.</summary>
    public KeyRightsFinder? FindKeyRights { get; init; }

    /// <summary>Which arguments are channels that the ACL must allow.</summary>
    public ChannelArguments Channels { get; init; }

    /// <summary>The version of Redis that has it first, for <c>COMMAND DOCS</c>.</summary>
    public string Since { get; init; } = "1.0.0";

    /// <summary>One line for <c>COMMAND DOCS</c>.</summary>
    public string Summary { get; init; } = "";

    /// <summary>The group of <c>COMMAND DOCS</c>: stream, generic, string, list, set, connection, server, transactions, pubsub.</summary>
    public string Group { get; init; } = "generic";

    /// <summary>Whether it shows or changes what the store keeps.</summary>
    public bool IsAboutData => Has(CommandFlags.Write | CommandFlags.ReadOnly);

    /// <summary>Whether it has any of these.</summary>
    public bool Has(CommandFlags flags) => (Flags & flags) != 0;

    public bool FitsArity(int argumentCount) => Arity >= 0 ? argumentCount == Arity : argumentCount >= -Arity;
}

/// <summary>Adds the indexes of a request's keys.</summary>
internal delegate void KeyFinder(ref CommandCall call, List<int> keys);
