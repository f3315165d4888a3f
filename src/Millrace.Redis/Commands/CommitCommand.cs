using System.Runtime.InteropServices;
using System.Security.Cryptography;
using Millrace.Redis.Connections;
using Millrace.Redis.Scripts;
using Millrace.Streams;

namespace Millrace.Redis.Commands;

/// <summary>
/// One call of <c>Scripts/commit.lua</c>: encodes commits as its arguments and reads its answer. The layout is drawn in the script, which
/// must change with this file.
/// </summary>
internal sealed class CommitCommand(ArraySegment<Commit> commits)
{
    // XPENDING for each fenced entry costs about 2 µs; one for all of a consumer pays from a few entries on.
    private const int MinFencedEntries = 4;

    // Keys by their places in the call, which Lua counts from one; documents apart, so that their keys are put together once.
    private readonly List<string> _keys = [];
    private readonly Dictionary<string, int> _places = [];
    private readonly Dictionary<StateKey, int> _documents = [];
    private readonly Dictionary<(string Stream, string Group, string Consumer), Fence> _fences = [];

    /// <summary>Entries fenced for one consumer of a group: how many, and between which IDs.</summary>
    private struct Fence
    {
        public int Count;
        public EntryId Min;
        public EntryId Max;
    }

    /// <summary>Encodes the call behind what is in the buffer.</summary>
    /// <param name="buffer">Kept by the caller until the command was sent for the last time.</param>
    /// <param name="capacityBytes">Expected bytes, to spare copies.</param>
    public RespCommand Encode(RespBuffer buffer, int capacityBytes)
    {
        // The commits first: they say which keys there are.
        using var behind = RespBuffer.Rent(capacityBytes);
        var arguments = RespCommand.Arguments(behind);
        arguments.Add(commits.Count);
        foreach (var commit in commits)
        {
            var (conditions, changes) = (commit.Conditions, commit.Changes);
            arguments.Add(conditions.Count + (commit.IsUpkeep ? 1 : 0));
            for (var i = 0; i < conditions.Count; i++)
                Add(arguments, conditions[i]);
            if (commit.IsUpkeep)
                arguments.Add("upkeep"u8);
            arguments.Add(changes.Count);
            for (var i = 0; i < changes.Count; i++)
                Add(arguments, changes[i]);
        }

        var command = LuaScript.Commit.Call(CollectionsMarshal.AsSpan(_keys), buffer);
        Span<byte> salt = stackalloc byte[8];
        RandomNumberGenerator.Fill(salt);
        command.Add(salt);
        AddFences(command);
        return command.AddAll(arguments);
    }

    /// <summary>Reads the script's answer.</summary>
    public static IReadOnlyList<CommitResult> Read(RespReply reply, ArraySegment<Commit> commits)
    {
        var results = new List<CommitResult>(commits.Count);
        foreach (var outcome in reply)
            results.Add(ReadOutcome(outcome, commits[results.Count]));
        return results;
    }

    /// <summary>Whether a commit can need memory: the script must not meet one behind another that needs none.</summary>
    public static bool Grows(Commit commit)
    {
        for (var i = 0; i < commit.Changes.Count; i++)
        {
            if (commit.Changes[i] is CommitChange.Append or CommitChange.PutState or CommitChange.Release or CommitChange.Schedule)
                return true;
        }

        return false;
    }

    /// <summary>Arguments a commit takes, and their bytes, both roughly and rather too many.</summary>
    public static (long Arguments, long Bytes) Measure(Commit commit)
    {
        long arguments = (commit.Conditions.Count + commit.Changes.Count) * 10L;
        var bytes = arguments * 24;
        for (var i = 0; i < commit.Changes.Count; i++)
        {
            var change = commit.Changes[i];
            var fields = change switch
            {
                CommitChange.Append append => append.Fields,
                CommitChange.Schedule schedule => schedule.Fields,
                _ => EntryFields.Empty,
            };
            arguments += fields.Count * 2L;
            bytes += fields.Packed.Length + (fields.Count * 20L) + (change is CommitChange.PutState put ? put.Payload.Length : 0);
        }

        return (arguments, bytes);
    }

    private static CommitResult ReadOutcome(RespReply outcome, Commit commit)
    {
        switch (outcome[0].Integer)
        {
            case 0:
                return CommitResult.Applied(outcome.Count == 1 ? [] : [.. EntryReader.ReadIds(outcome).Skip(1)]);
            case 1:
                return CommitResult.Conflicted(commit.Conditions[(int)outcome[1].Integer]);
            case 2:
                return CommitResult.Failed(Refusal(outcome[1], "Redis refused the commit, nothing was changed: "));
            default:
                return CommitResult.Failed(new(
                    StreamErrorCode.ServerError, $"Redis applied the commit in part, which is not meant to happen: {outcome[1].Text}"));
        }
    }

    // IDNOTINC and LIMIT are the script's own words: Redis has only ERR for them.
    private static StreamException Refusal(RespReply error, string what) => new(
        error.Span.StartsWith("IDNOTINC "u8) ? StreamErrorCode.IdNotIncreasing
            : error.Span.StartsWith("LIMIT "u8) ? StreamErrorCode.LimitExceeded
            : RedisErrors.Map(error.Span),
        what + error.Text);

    private int PlaceOf(string key)
    {
        ref var place = ref CollectionsMarshal.GetValueRefOrAddDefault(_places, key, out var isKnown);
        if (!isKnown)
        {
            _keys.Add(key);
            place = _keys.Count;
        }

        return place;
    }

    private int PlaceOf(StateKey document)
    {
        ref var place = ref CollectionsMarshal.GetValueRefOrAddDefault(_documents, document, out var isKnown);
        return isKnown ? place : place = PlaceOf(StreamNames.State(document));
    }

    private void AddToFence(CommitCondition.Held held)
    {
        var holder = (held.Stream, held.Group, held.Consumer);
        ref var fence = ref CollectionsMarshal.GetValueRefOrAddDefault(_fences, holder, out var isKnown);
        fence.Count++;
        fence.Min = isKnown && fence.Min < held.Entry.Id ? fence.Min : held.Entry.Id;
        fence.Max = isKnown && fence.Max > held.Entry.Id ? fence.Max : held.Entry.Id;
    }

    private void AddFences(RespCommand command)
    {
        var fences = _fences.Where(fence => fence.Value.Count >= MinFencedEntries).ToList();
        command.Add(fences.Count);
        foreach (var ((stream, group, consumer), fence) in fences)
        {
            // Room for entries in between that this call does not settle; what lies beyond is asked for one by one.
            command.Add(PlaceOf(stream)).Add(group).Add(consumer)
                .AddFormatted(fence.Min).AddFormatted(fence.Max).Add((fence.Count * 2) + 16);
        }
    }

    private void Add(RespCommand command, CommitCondition condition)
    {
        switch (condition)
        {
            case CommitCondition.LastId last:
                command.Add("last"u8).Add(PlaceOf(last.Stream));
                _ = last.Expected is { } id ? command.AddFormatted(id) : command.Add(""u8);
                break;
            case CommitCondition.State state:
                command.Add("state"u8).Add(PlaceOf(state.Key));
                _ = state.Expected is { } version ? command.Add(version) : command.Add(""u8);
                break;
            case CommitCondition.Exists entry:
                command.Add("entry"u8).Add(PlaceOf(entry.Stream)).AddFormatted(entry.Id);
                break;
            case CommitCondition.Unread entry:
                command.Add("unread"u8).Add(PlaceOf(entry.Stream)).AddFormatted(entry.Id);
                break;
            case CommitCondition.Stands stands:
                command.Add("group"u8).Add(PlaceOf(stands.Stream)).Add(stands.Group)
                    .AddFormatted(stands.LastDelivered).Add(stands.PendingCount).Add(stands.ConsumerCount);
                break;
            case CommitCondition.Held held:
                AddToFence(held);
                command.Add("held"u8).Add(PlaceOf(held.Stream)).Add(held.Group).Add(held.Consumer)
                    .AddFormatted(held.Entry.Id).Add(held.Entry.DeliveryCount);
                break;
        }
    }

    private void Add(RespCommand command, CommitChange change)
    {
        switch (change)
        {
            case CommitChange.Append append:
                command.Add("append"u8).Add(PlaceOf(append.Stream));
                _ = append.Id is { } id ? command.AddFormatted(id) : command.Add("*"u8);
                command.Add(append.Fields.Count * 2).AddFields(append.Fields);
                break;
            case CommitChange.PutState put:
                command.Add("put"u8).Add(PlaceOf(put.Key)).Add(put.Payload.Span);
                _ = put.TimeToLive is { } timeToLive ? command.Add(StreamCommands.Milliseconds(timeToLive)) : command.Add(""u8);
                break;
            case CommitChange.DeleteState delete:
                command.Add("delete"u8).Add(PlaceOf(delete.Key));
                break;
            case CommitChange.Ack ack:
                command.Add("ack"u8).Add(PlaceOf(ack.Stream)).Add(ack.Group).AddFormatted(ack.Id);
                break;
            case CommitChange.AckAndDelete ack:
                command.Add("ackdel"u8).Add(PlaceOf(ack.Stream)).Add(ack.Group).AddFormatted(ack.Id);
                break;
            case CommitChange.Delete delete:
                command.Add("remove"u8).Add(PlaceOf(delete.Stream)).AddFormatted(delete.Id);
                break;
            case CommitChange.DeleteConsumer delete:
                command.Add("leave"u8).Add(PlaceOf(delete.Stream)).Add(delete.Group).Add(delete.Consumer);
                break;
            case CommitChange.DestroyGroup destroy:
                var own = StreamNames.Again(destroy.Stream, destroy.Group);
                command.Add("destroy"u8).Add(PlaceOf(destroy.Stream)).Add(PlaceOf(own)).Add(PlaceOf(StreamNames.Schedule(own)))
                    .Add(PlaceOf(StreamNames.Order(destroy.Stream, destroy.Group))).Add(destroy.Group);
                break;
            case CommitChange.Release release:
                var again = StreamNames.Again(release.Stream, release.Group);
                command.Add("release"u8).Add(PlaceOf(release.Stream)).Add(PlaceOf(again)).Add(PlaceOf(StreamNames.Schedule(again)))
                    .Add(release.Group).AddFormatted(release.Entry.Id).Add(release.Entry.DeliveryCount)
                    .Add(StreamCommands.Milliseconds(release.Delay));
                break;
            case CommitChange.Schedule schedule:
                command.Add("schedule"u8).Add(PlaceOf(schedule.Stream)).Add(PlaceOf(StreamNames.Schedule(schedule.Stream)))
                    .Add(StreamCommands.Milliseconds(schedule.Delay)).Add(schedule.Fields.Count * 2).AddFields(schedule.Fields);
                break;
        }
    }
}
