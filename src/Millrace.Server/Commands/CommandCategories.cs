namespace Millrace.Server.Commands;

/// <summary>The ACL categories there are, and which of them follow from a command's flags.</summary>
internal static class CommandCategories
{
    /// <summary>
    /// In the order in which Redis lists them. Some hold no command here: rules and files that were written for Redis name them all the same.
    /// </summary>
    public static readonly string[] Names =
    [
        "keyspace", "read", "write", "set", "sortedset", "list", "hash", "string", "bitmap", "hyperloglog", "geo", "stream", "pubsub", "admin",
        "fast", "slow", "blocking", "dangerous", "connection", "transaction", "scripting",
    ];

    private static readonly (CommandFlags Flag, string[] Categories)[] Derived =
    [
        (CommandFlags.Write, ["write"]), (CommandFlags.ReadOnly, ["read"]), (CommandFlags.Admin, ["admin", "dangerous"]),
        (CommandFlags.PubSub, ["pubsub"]), (CommandFlags.Fast, ["fast"]), (CommandFlags.Blocking, ["blocking"]),
    ];

    /// <summary>The categories a command names itself, and those its flags give.</summary>
    public static IReadOnlyList<string> Of(string named, CommandFlags flags)
    {
        HashSet<string> found = [.. named.Split(' ', StringSplitOptions.RemoveEmptyEntries)];
        foreach (var (flag, categories) in Derived)
        {
            if ((flags & flag) != 0)
                found.UnionWith(categories);
        }

        if (!found.Contains("fast"))
            found.Add("slow");
        return [.. Names.Where(found.Contains)];
    }
}
