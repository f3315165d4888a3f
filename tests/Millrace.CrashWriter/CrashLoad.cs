using Millrace.Streams;

namespace Millrace.CrashWriter;

/// <summary>What the writer writes: a function of round, writer and index, so that the checker can make every entry again and compare bytes.</summary>
public static class CrashLoad
{
    /// <summary>Writers that append one entry at a time to <see cref="SharedStream"/>.</summary>
    public const int Appenders = 3;

    /// <summary>Writers that commit two entries and a state document together, each to a stream of its own.</summary>
    public const int Committers = 2;

    public const string SharedStream = "shared";
    public const string Group = "readers";
    public const string Consumer = "reader";

    public static string CommitStream(int committer) => $"commits:{committer}";

    /// <summary>Names the last commit: its payload is the key of the second entry.</summary>
    public static StateKey LastCommit(int committer) => new(CommitStream(committer), "last");

    public static string Key(int round, int writer, int index) => $"{round}/{writer}/{index}";

    public static EntryFields Fields(string key)
    {
        var seed = key.Aggregate(17, (hash, character) => unchecked((hash * 31) + character));
        var body = new byte[(uint)seed % 600];
        new Random(seed).NextBytes(body);
        return new EntryFieldsWriter().Add("key"u8, key).Add("body"u8, body).ToFields();
    }
}
