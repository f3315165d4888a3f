using System.Globalization;
using Millrace.Streams;
using Millrace.Tests.Differential;

namespace Millrace.Tests.Crash;

/// <summary>What writers ask of a server, as functions of writer and number, so that the checker can make every entry again.</summary>
internal static class ServedLoad
{
    /// <summary>The stream all writers append to and all groups read.</summary>
    public const string Log = "log";

    public static string MainGroup(int writer) => $"g{writer}-main";

    public static string TransactionStream(int writer, int half) => $"tx:{writer}:{half}";

    /// <summary>Up to 400 bytes as a rule, and now and then 30,000, which is more than one write of a page.</summary>
    public static string Body(int writer, int number)
    {
        var random = new Random((writer * 1_000_003) + number);
        return new string((char)('a' + random.Next(26)), random.Next(50) == 0 ? 30_000 : random.Next(400));
    }
}

/// <summary>Something a writer asks for: known to have happened with its replies, unknown from when it was sent until then.</summary>
internal abstract record ServedOperation
{
    /// <summary>Sent together; each has a reply.</summary>
    public abstract IEnumerable<Command> Commands { get; }

    /// <summary>Changes the state as the replies say, which are no errors. Throws when they cannot be.</summary>
    public abstract void Apply(ServedState state, List<RespNode> replies);

    /// <summary>Entries with the writer's next numbers, in one write.</summary>
    public sealed record Append(int Writer, int First, int Count) : ServedOperation
    {
        public override IEnumerable<Command> Commands => Enumerable.Range(First, Count).Select(number => new Command(
            "XADD", ServedLoad.Log, "*", "w", Text(Writer), "n", Text(number), "body", ServedLoad.Body(Writer, number)));

        public override void Apply(ServedState state, List<RespNode> replies) => state.Entries.AddRange(replies.Select(reply => EntryId.Parse(reply.Text)));
    }

    /// <summary>One entry to each of two streams, or to none.</summary>
    public sealed record Transaction(int Writer, int Number) : ServedOperation
    {
        public override IEnumerable<Command> Commands =>
        [
            new("MULTI"),
            new("XADD", ServedLoad.TransactionStream(Writer, 0), "*", "n", Text(Number)),
            new("XADD", ServedLoad.TransactionStream(Writer, 1), "*", "n", Text(Number)),
            new("EXEC"),
        ];

        public override void Apply(ServedState state, List<RespNode> replies) => state.Transactions++;
    }

    /// <summary>The next entries of the log, to the writer's group.</summary>
    public sealed record Read(int Writer, string Consumer, int Count) : ServedOperation
    {
        public override IEnumerable<Command> Commands =>
            [new("XREADGROUP", "GROUP", ServedLoad.MainGroup(Writer), Consumer, "COUNT", Text(Count), "STREAMS", ServedLoad.Log, ">")];

        public override void Apply(ServedState state, List<RespNode> replies)
        {
            foreach (var entry in replies[0].Children is { } streams ? streams[0].Children![1].Children! : [])
                Deliver(state, EntryId.Parse(entry.Children![0].Text));
        }

        public void Deliver(ServedState state, EntryId id)
        {
            state.Pending.Add(id, new(Consumer, 1));
            state.LastDelivered = id;
        }
    }

    /// <summary>The writer's group is done with these.</summary>
    public sealed record Ack(int Writer, EntryId[] Ids) : ServedOperation
    {
        public override IEnumerable<Command> Commands =>
            [new(["XACK", ServedLoad.Log, ServedLoad.MainGroup(Writer), .. Ids.Select(id => id.ToString())])];

        public override void Apply(ServedState state, List<RespNode> replies)
        {
            Assert.True(replies.Count == 0 || replies[0].Text == Text(Ids.Length), "Pending entries were not acknowledged.");
            foreach (var id in Ids)
                Assert.True(state.Pending.Remove(id));
        }
    }

    /// <summary>These change hands.</summary>
    public sealed record Claim(int Writer, string Consumer, EntryId[] Ids) : ServedOperation
    {
        public override IEnumerable<Command> Commands =>
            [new(["XCLAIM", ServedLoad.Log, ServedLoad.MainGroup(Writer), Consumer, "0", .. Ids.Select(id => id.ToString())])];

        public override void Apply(ServedState state, List<RespNode> replies)
        {
            Assert.True(replies.Count == 0 || replies[0].Children!.Count == Ids.Length, "Pending entries were not claimed.");
            foreach (var id in Ids)
                state.Pending[id] = new(Consumer, state.Pending[id].Count + 1);
        }
    }

    public sealed record CreateGroup(string Name) : ServedOperation
    {
        public override IEnumerable<Command> Commands => [new("XGROUP", "CREATE", ServedLoad.Log, Name, "0", "MKSTREAM")];

        public override void Apply(ServedState state, List<RespNode> replies) => Assert.True(state.Groups.Add(Name));
    }

    public sealed record DestroyGroup(string Name) : ServedOperation
    {
        public override IEnumerable<Command> Commands => [new("XGROUP", "DESTROY", ServedLoad.Log, Name)];

        public override void Apply(ServedState state, List<RespNode> replies) => Assert.True(state.Groups.Remove(Name));
    }

    private static string Text(int number) => number.ToString(CultureInfo.InvariantCulture);
}
