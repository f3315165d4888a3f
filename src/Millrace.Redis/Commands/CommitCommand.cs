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
internal sealed class CommitCommand
{
    // XPENDING for each fenced entry costs about 2 µs; one for all of a consumer pays from a few entries on.
    private const int MinFencedEntries = 4;

    private readonly ArraySegment<Commit> _commits;
    private readonly Dictionary<string, int> _keys = [];
    private readonly Dictionary<(string Stream, string Group, string Consumer), Fence> _fences = [];

    public CommitCommand(ArraySegment<Commit> commits)
    {
        _commits = commits;
        foreach (var commit in commits)
        {
            foreach (var condition in commit.Conditions)
                Collect(condition);
            foreach (var change in commit.Changes)
                Collect(change);
        }
    }

    /// <summary>Entries fenced for one consumer of a group: how many, and between which IDs.</summary>
    private struct Fence
    {
        public int Count;
        public EntryId Min;
        public EntryId Max;
    }

    public RespCommand Encode()
    {
        var command = LuaScript.Commit.Call([.. _keys.OrderBy(key => key.Value).Select(key => key.Key)]);
        Span<byte> salt = stackalloc byte[8];
        RandomNumberGenerator.Fill(salt);
        command.Add(salt);

        AddFences(command);
        command.Add(_commits.Count);
        foreach (var commit in _commits)
        {
            command.Add(commit.Conditions.Count + (commit.IsUpkeep ? 1 : 0));
            foreach (var condition in commit.Conditions)
                Add(command, condition);
            if (commit.IsUpkeep)
                command.Add("upkeep"u8);
            command.Add(commit.Changes.Count);
            foreach (var change in commit.Changes)
                Add(command, change);
        }

        return command;
    }

    /// <summary>Reads the script's answer.</summary>
    public IEnumerable<CommitResult> Read(RespReply reply)
    {
        var results = new List<CommitResult>(_commits.Count);
        foreach (var outcome in reply)
            results.Add(ReadOutcome(outcome, _commits[results.Count]));
        return results;
    }

    /// <summary>Whether a commit can need memory: the script must not meet one behind another that needs none.</summary>
    public static bool Grows(Commit commit) => commit.Changes.Any(
        change => change is CommitChange.Append or CommitChange.PutState or CommitChange.Release or CommitChange.Schedule);

    /// <summary>Arguments a commit takes, and their bytes, both roughly and rather too many.</summary>
    public static (long Arguments, long Bytes) Measure(Commit commit)
    {
        long arguments = (commit.Conditions.Count + commit.Changes.Count) * 10L;
        var bytes = arguments * 24;
        foreach (var change in commit.Changes)
        {
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

    private void Collect(CommitCondition condition)
    {
        switch (condition)
        {
            case CommitCondition.LastId last:
                CollectKey(last.Stream);
                break;
            case CommitCondition.State state:
                CollectKey(StreamNames.State(state.Key));
                break;
            case CommitCondition.Exists entry:
                CollectKey(entry.Stream);
                break;
            case CommitCondition.Unread entry:
                CollectKey(entry.Stream);
                break;
            case CommitCondition.Held held:
                CollectKey(held.Stream);
                var holder = (held.Stream, held.Group, held.Consumer);
                ref var fence = ref CollectionsMarshal.GetValueRefOrAddDefault(_fences, holder, out var isKnown);
                fence.Count++;
                fence.Min = isKnown && fence.Min < held.Entry.Id ? fence.Min : held.Entry.Id;
                fence.Max = isKnown && fence.Max > held.Entry.Id ? fence.Max : held.Entry.Id;
                break;
        }
    }

    private void Collect(CommitChange change)
    {
        switch (change)
        {
            case CommitChange.Append append:
                CollectKey(append.Stream);
                break;
            case CommitChange.PutState put:
                CollectKey(StreamNames.State(put.Key));
                break;
            case CommitChange.DeleteState delete:
                CollectKey(StreamNames.State(delete.Key));
                break;
            case CommitChange.Ack ack:
                CollectKey(ack.Stream);
                break;
            case CommitChange.AckAndDelete ack:
                CollectKey(ack.Stream);
                break;
            case CommitChange.Delete delete:
                CollectKey(delete.Stream);
                break;
            case CommitChange.DeleteConsumer delete:
                CollectKey(delete.Stream);
                break;
            case CommitChange.Release release:
                CollectKey(release.Stream);
                var again = StreamNames.Again(release.Stream, release.Group);
                CollectKey(again);
                CollectKey(StreamNames.Schedule(again));
                break;
            case CommitChange.Schedule schedule:
                CollectKey(schedule.Stream);
                CollectKey(StreamNames.Schedule(schedule.Stream));
                break;
        }
    }

    // Lua counts from one.
    private void CollectKey(string key) => _keys.TryAdd(key, _keys.Count + 1);

    private void AddFences(RespCommand command)
    {
        var fences = _fences.Where(fence => fence.Value.Count >= MinFencedEntries).ToList();
        command.Add(fences.Count);
        foreach (var ((stream, group, consumer), fence) in fences)
        {
            // Room for entries in between that this call does not settle; what lies beyond is asked for one by one.
            command.Add(_keys[stream]).Add(group).Add(consumer)
                .AddFormatted(fence.Min).AddFormatted(fence.Max).Add((fence.Count * 2) + 16);
        }
    }

    private void Add(RespCommand command, CommitCondition condition)
    {
        switch (condition)
        {
            case CommitCondition.LastId last:
                command.Add("last"u8).Add(_keys[last.Stream]);
                _ = last.Expected is { } id ? command.AddFormatted(id) : command.Add(""u8);
                break;
            case CommitCondition.State state:
                command.Add("state"u8).Add(_keys[StreamNames.State(state.Key)]);
                _ = state.Expected is { } version ? command.Add(version) : command.Add(""u8);
                break;
            case CommitCondition.Exists entry:
                command.Add("entry"u8).Add(_keys[entry.Stream]).AddFormatted(entry.Id);
                break;
            case CommitCondition.Unread entry:
                command.Add("unread"u8).Add(_keys[entry.Stream]).AddFormatted(entry.Id);
                break;
            case CommitCondition.Held held:
                command.Add("held"u8).Add(_keys[held.Stream]).Add(held.Group).Add(held.Consumer)
                    .AddFormatted(held.Entry.Id).Add(held.Entry.DeliveryCount);
                break;
        }
    }

    private void Add(RespCommand command, CommitChange change)
    {
        switch (change)
        {
            case CommitChange.Append append:
                command.Add("append"u8).Add(_keys[append.Stream]);
                _ = append.Id is { } id ? command.AddFormatted(id) : command.Add("*"u8);
                command.Add(append.Fields.Count * 2).AddFields(append.Fields);
                break;
            case CommitChange.PutState put:
                command.Add("put"u8).Add(_keys[StreamNames.State(put.Key)]).Add(put.Payload.Span);
                _ = put.TimeToLive is { } timeToLive ? command.Add(StreamCommands.Milliseconds(timeToLive)) : command.Add(""u8);
                break;
            case CommitChange.DeleteState delete:
                command.Add("delete"u8).Add(_keys[StreamNames.State(delete.Key)]);
                break;
            case CommitChange.Ack ack:
                command.Add("ack"u8).Add(_keys[ack.Stream]).Add(ack.Group).AddFormatted(ack.Id);
                break;
            case CommitChange.AckAndDelete ack:
                command.Add("ackdel"u8).Add(_keys[ack.Stream]).Add(ack.Group).AddFormatted(ack.Id);
                break;
            case CommitChange.Delete delete:
                command.Add("remove"u8).Add(_keys[delete.Stream]).AddFormatted(delete.Id);
                break;
            case CommitChange.DeleteConsumer delete:
                command.Add("leave"u8).Add(_keys[delete.Stream]).Add(delete.Group).Add(delete.Consumer);
                break;
            case CommitChange.Release release:
                var again = StreamNames.Again(release.Stream, release.Group);
                command.Add("release"u8).Add(_keys[release.Stream]).Add(_keys[again]).Add(_keys[StreamNames.Schedule(again)])
                    .Add(release.Group).AddFormatted(release.Entry.Id).Add(release.Entry.DeliveryCount)
                    .Add(StreamCommands.Milliseconds(release.Delay));
                break;
            case CommitChange.Schedule schedule:
                command.Add("schedule"u8).Add(_keys[schedule.Stream]).Add(_keys[StreamNames.Schedule(schedule.Stream)])
                    .Add(StreamCommands.Milliseconds(schedule.Delay)).Add(schedule.Fields.Count * 2).AddFields(schedule.Fields);
                break;
        }
    }
}
