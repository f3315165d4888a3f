using System.Globalization;
using System.Text;
using Millrace.Streams;
using Millrace.Streams.Engine;
using Millrace.Streams.Engine.Mutations;
using Millrace.Streams.Engine.Records;
using Millrace.Streams.Names;

namespace Millrace.Embedded.Inspection;

/// <summary>A record of the journal for people: what, when, where. Payloads are sizes: a journal may hold what must not be on a screen.</summary>
/// <param name="Kind">The mutation.</param>
/// <param name="Moment">When it was applied, by the store's clock.</param>
/// <param name="Database">The database.</param>
/// <param name="Key">The key it is about, quoted where it is not plain text; empty when it is about none, or several.</param>
/// <param name="Details">The rest.</param>
internal sealed record RecordText(string Kind, DateTimeOffset Moment, int Database, string Key, string Details)
{
    /// <summary>IDs and keys named at most; of more, the number.</summary>
    private const int MaxNamed = 4;

    /// <exception cref="StreamException"><see cref="StreamErrorCode.Corrupt"/>: no engine of this version wrote it.</exception>
    public static RecordText Read(ReadOnlySpan<byte> record)
    {
        var taker = new Taker();
        MutationRecord.Read(record, ref taker);
        var mutations = taker.Mutations;
        var moment = DateTimeOffset.FromUnixTimeMilliseconds(Math.Min(taker.At.Milliseconds, DateTimeOffset.MaxValue.ToUnixTimeMilliseconds()));
        if (mutations.Count > 1)
        {
            var lines = string.Join("; ", mutations.Take(MaxNamed).Select(Line));
            return new(nameof(MutationKind.Group), moment, taker.At.Database, "", lines + More(mutations.Count));
        }

        var (key, details) = Describe(mutations[0]);
        return new(mutations[0].Kind.ToString(), moment, taker.At.Database, key.Length == 0 ? "" : Quote(key), details);
    }

    private static string Line(IMutation mutation)
    {
        var (key, details) = Describe(mutation);
        return $"{mutation.Kind} {(key.Length == 0 ? "" : Quote(key))} {details}".TrimEnd();
    }

    /// <summary>A name as <c>redis-cli</c> shows it, without quotes where it is plain.</summary>
    public static string Quote(string name)
    {
        var bytes = new byte[KeyText.ByteCount(name)];
        KeyText.Encode(name, bytes);
        var isPlain = name.Length > 0 && !bytes.AsSpan().ContainsAnyExceptInRange((byte)'!', (byte)'~') && bytes.AsSpan().IndexOfAny((byte)'"', (byte)'\\') < 0;
        if (isPlain)
            return name;
        var text = new StringBuilder("\"");
        foreach (var value in bytes)
        {
            if (value is (byte)'"' or (byte)'\\')
                text.Append('\\').Append((char)value);
            else if (value is >= (byte)' ' and <= (byte)'~')
                text.Append((char)value);
            else
                text.Append(CultureInfo.InvariantCulture, $"\\x{value:x2}");
        }

        return text.Append('"').ToString();
    }

    private static (string Key, string Details) Describe(IMutation mutation) => mutation switch
    {
        Append m => (m.Stream, Describe(m)),
        AppendMany m => (m.Stream, $"{m.Entries.Count} entries of {m.Entries.Sum(static entry => (long)entry.Packed.Length)} bytes{Describe(m.Trim)}"),
        AppendOnce m => (m.Entry.Stream, $"{Describe(m.Entry)} producer {Quote(m.Producer)} idempotent ID {Quote(m.IdempotentId)}"),
        ReadGroup m => (m.Stream, $"{Reader(m.Group, m.Consumer)} count {m.Count}{(m.NoAck ? " without acknowledgement" : "")}"),
        ReadHistory m => (m.Stream, $"{Reader(m.Group, m.Consumer)} after {m.After} count {m.Count}"),
        Ack m => (m.Stream, $"{Group(m.Group)} {Ids(m.Ids)}"),
        AckAndDelete m => (m.Stream, $"{Group(m.Group)} {Ids(m.Ids)} references {m.Policy}"),
        Extend m => (m.Stream, $"{Reader(m.Group, m.Consumer)} {Ids([.. m.Held.Select(static held => held.Id)])}"),
        Claim m => (m.Stream, $"{Reader(m.Group, m.Consumer)} idle {m.MinIdleMs} ms {Ids(m.Ids)}"),
        ClaimAs m => (m.Stream, $"{Reader(m.Group, m.Consumer)} idle {m.MinIdleMs} ms {Ids(m.Ids)}"),
        AutoClaim m => (m.Stream, $"{Reader(m.Group, m.Consumer)} idle {m.MinIdleMs} ms from {m.Start} count {m.Count}"),
        Nack m => (m.Stream, $"{Group(m.Group)} {Ids(m.Ids)}"),
        Delete m => (m.Stream, Ids(m.Ids)),
        DeleteReferenced m => (m.Stream, $"{Ids(m.Ids)} references {m.Policy}"),
        Trim m => (m.Stream, Describe(m.Keep).TrimStart()),
        DeleteStream m => (m.Stream, ""),
        SetStreamId m => (m.Stream, $"{m.Id}"),
        CreateGroup m => (m.Stream, $"{Group(m.Group)} {Describe(m.Start)}"),
        SetGroup m => (m.Stream, $"{Group(m.Group)} {Describe(m.Start)}"),
        DestroyGroup m => (m.Stream, Group(m.Group)),
        CreateConsumer m => (m.Stream, Reader(m.Group, m.Consumer)),
        DeleteConsumer m => (m.Stream, Reader(m.Group, m.Consumer)),
        ConfigureProducers m => (m.Stream, $"duration {m.DurationSeconds?.ToString(CultureInfo.InvariantCulture) ?? "as before"} s"),
        RecordProduced m => (m.Stream, $"{m.Id} producer {Quote(m.Producer)} idempotent ID {Quote(m.IdempotentId)}"),
        ApplyCommit m => ("", string.Join("; ", m.Commit.Changes.Take(MaxNamed).Select(Describe)) + More(m.Commit.Changes.Count)),
        Tick { MaxEntries: 0 } => ("", "what was due"),
        Tick tick => ("", $"what was due, at most {tick.MaxEntries} entries of a schedule"),
        SkipTime m => ("", $"{m.SkippedMs} ms that nobody was idle"),
        SetOption m => ("", $"{m.Option} {m.Value}"),
        SetExpiry m => (m.Key, m.ExpiresMs is { } due ? $"at {due} ms" : "never"),
        MoveKey m => (m.Key, $"to {Quote(m.TargetKey)} in database {m.TargetDatabase}"),
        CopyKey m => (m.Key, $"to {Quote(m.TargetKey)} in database {m.TargetDatabase}"),
        DeleteKeys m => ("", string.Join(' ', m.Keys.Take(MaxNamed).Select(Quote)) + More(m.Keys.Count)),
        ClearKeys m => ("", m.EveryDatabase ? "every database" : "this database"),
        SwapDatabases m => ("", $"{m.First} and {m.Second}"),
        SetString m => (m.Key, $"{m.Bytes.Length} bytes{(m.ExpiresMs is { } due ? $" expires at {due} ms" : "")}"),
        PushList m => (m.Key, $"{m.Items.Count} items at the {(m.AtHead ? "head" : "tail")}"),
        PopList m => (m.Key, $"{m.Count} items at the {(m.AtHead ? "head" : "tail")}"),
        AddMembers m => (m.Key, $"{m.Members.Count} members"),
        RemoveMembers m => (m.Key, $"{m.Members.Count} members"),
        RestoreKey m => (m.Key, $"{m.Record.Length} bytes"),
        _ => ("", ""),
    };

    private static string Describe(CommitChange change) => change switch
    {
        CommitChange.Append c => $"append {Quote(c.Stream)} {Describe(c.Fields)}",
        CommitChange.PutState c => $"put {Quote(StreamNames.State(c.Key))} {c.Payload.Length} bytes",
        CommitChange.DeleteState c => $"delete {Quote(StreamNames.State(c.Key))}",
        CommitChange.Ack c => $"ack {Quote(c.Stream)} {Group(c.Group)} {c.Id}",
        CommitChange.AckAndDelete c => $"ack and delete {Quote(c.Stream)} {Group(c.Group)} {c.Id}",
        CommitChange.Delete c => $"delete {Quote(c.Stream)} {c.Id}",
        CommitChange.DeleteConsumer c => $"delete consumer {Quote(c.Stream)} {Reader(c.Group, c.Consumer)}",
        CommitChange.DestroyGroup c => $"destroy group {Quote(c.Stream)} {Group(c.Group)}",
        CommitChange.Release c => $"release {Quote(c.Stream)} {Group(c.Group)} {c.Entry.Id}",
        CommitChange.Schedule c => $"schedule {Quote(c.Stream)} in {c.Delay.TotalMilliseconds} ms {Describe(c.Fields)}",
        _ => change.GetType().Name,
    };

    private static string Describe(in Append append) => $"{append.Id?.ToString() ?? "*"} {Describe(append.Fields)}{Describe(append.Trim)}";

    private static string Describe(EntryFields fields) => $"{fields.Count} fields of {fields.Packed.Length} bytes";

    private static string Describe(GroupStart start) => start.IsNow ? "from now" : $"after {start.LastDelivered}";

    private static string Describe(in TrimRequest trim)
    {
        if (trim.IsNone)
            return "";
        var about = trim.IsApproximate ? "about " : "";
        return trim.MinId is { } id ? $" keep {about}from {id}" : $" keep {about}{trim.MaxLength} entries";
    }

    private static string Group(string group) => $"group {Quote(group)}";

    private static string Reader(string group, string consumer) => $"{Group(group)} consumer {Quote(consumer)}";

    private static string Ids(IReadOnlyList<EntryId> ids) => string.Join(' ', ids.Take(MaxNamed)) + More(ids.Count);

    private static string More(int count) => count > MaxNamed ? $" and {count - MaxNamed} more" : "";

    private struct Taker() : IMutationTaker
    {
        public List<IMutation> Mutations { get; } = [];

        public RecordMoment At { get; private set; }

        public void Take<TMutation, TResult>(in TMutation mutation, RecordMoment at)
            where TMutation : struct, IMutation<TResult>
        {
            Mutations.Add(mutation);
            At = at;
        }
    }
}
