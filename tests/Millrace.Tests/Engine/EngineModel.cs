using System.Text;
using Millrace.Streams;

namespace Millrace.Tests.Engine;

/// <summary>
/// The contract written down as simply as possible: sorted dictionaries, copies, no regard for speed. What it leaves out (lag, the order of
/// conditions) has tests of its own.
/// </summary>
internal sealed class EngineModel
{
    public SortedDictionary<string, Stream> Streams { get; } = new(StringComparer.Ordinal);

    public SortedDictionary<string, (string Payload, long? ExpiresMs)> States { get; } = new(StringComparer.Ordinal);

    public List<(long DueMs, string Stream, EntryFields Fields)> Scheduled { get; } = [];

    public void Tick(long nowMs)
    {
        foreach (var expired in States.Where(state => state.Value.ExpiresMs <= nowMs).ToArray())
            States.Remove(expired.Key);
        foreach (var due in Scheduled.Where(entry => entry.DueMs <= nowMs).OrderBy(entry => entry.DueMs).ToArray())
        {
            GetStream(due.Stream).Append(due.Fields, nowMs);
            Scheduled.Remove(due);
        }
    }

    public Stream GetStream(string name) => Streams.TryGetValue(name, out var stream) ? stream : Streams[name] = new();

    public Group? FindGroup(string stream, string group) =>
        Streams.TryGetValue(stream, out var found) && found.Groups.TryGetValue(group, out var value) ? value : null;

    public bool Holds(CommitCondition condition) => condition switch
    {
        CommitCondition.LastId last => (Streams.TryGetValue(last.Stream, out var stream) ? stream.Last : (EntryId?)null) == last.Expected,
        CommitCondition.Held held => FindGroup(held.Stream, held.Group) is { } group &&
            group.Pending.TryGetValue(held.Entry.Id, out var pending) && pending.Consumer == held.Consumer && pending.Count == held.Entry.DeliveryCount,
        _ => throw new NotSupportedException(),
    };

    public void Apply(CommitChange change, long nowMs, List<EntryId> ids)
    {
        switch (change)
        {
            case CommitChange.Append append:
                ids.Add(GetStream(append.Stream).Append(append.Fields, nowMs));
                break;
            case CommitChange.PutState put:
                States[StreamNames.State(put.Key)] =
                    (Encoding.UTF8.GetString(put.Payload.Span), nowMs + (long?)put.TimeToLive?.TotalMilliseconds);
                break;
            case CommitChange.DeleteState delete:
                States.Remove(StreamNames.State(delete.Key));
                break;
            case CommitChange.Ack ack:
                FindGroup(ack.Stream, ack.Group)?.Pending.Remove(ack.Id);
                break;
            case CommitChange.AckAndDelete ack:
                if (FindGroup(ack.Stream, ack.Group)?.Pending.Remove(ack.Id) == true)
                    Streams[ack.Stream].Delete(ack.Id);
                break;
            case CommitChange.Schedule schedule:
                Scheduled.Add((nowMs + (long)schedule.Delay.TotalMilliseconds, schedule.Stream, schedule.Fields));
                break;
            case CommitChange.Release release:
                Release(release, nowMs);
                break;
        }
    }

    /// <summary>What the engine must hold, in words both can produce.</summary>
    public string Dump()
    {
        var text = new StringBuilder();
        foreach (var (name, stream) in Streams)
        {
            text.AppendLine($"{name}: {stream.Last} {stream.MaxDeleted} {stream.Added}");
            foreach (var (id, fields) in stream.Entries)
                text.AppendLine($" {id} {fields}");
            foreach (var (group, value) in stream.Groups)
            {
                text.AppendLine($" {group} {value.Last} {string.Join(',', value.Consumers)}");
                foreach (var (id, pending) in value.Pending)
                    text.AppendLine($"  {id} {pending.Consumer} {pending.DeliveredMs} {pending.Count}");
            }
        }

        foreach (var (key, (payload, expiresMs)) in States)
            text.AppendLine($"{key}: {payload} {expiresMs}");
        foreach (var schedule in Scheduled.GroupBy(entry => entry.Stream).OrderBy(schedule => schedule.Key, StringComparer.Ordinal))
        {
            foreach (var (dueMs, stream, fields) in schedule.OrderBy(entry => entry.DueMs))
                text.AppendLine($"{stream} at {dueMs}: {fields}");
        }

        return text.ToString();
    }

    private void Release(CommitChange.Release release, long nowMs)
    {
        FindGroup(release.Stream, release.Group)?.Pending.Remove(release.Entry.Id);
        if (!Streams.TryGetValue(release.Stream, out var stream) || !stream.Entries.TryGetValue(release.Entry.Id, out var fields))
            return;

        var source = fields.GetText("sourceid"u8) ?? $"{release.Entry.Id}";
        var prior = long.Parse(fields.GetText("priordeliveries"u8) ?? "0") + release.Entry.DeliveryCount - 1;
        var copy = fields.Where(field => field.NameText is not ("sourceid" or "priordeliveries"))
            .Select(field => (field.NameText, field.ValueText)).Append(("sourceid", source));
        if (prior > 0)
            copy = copy.Append(("priordeliveries", $"{prior}"));
        var again = StreamNames.Again(release.Stream, release.Group);
        GetStream(again).Groups.TryAdd(release.Group, new());
        var packed = EntryFields.Create([.. copy]);
        if (release.Delay == TimeSpan.Zero)
            GetStream(again).Append(packed, nowMs);
        else
            Scheduled.Add((nowMs + (long)release.Delay.TotalMilliseconds, again, packed));
    }

    internal sealed class Stream
    {
        public SortedDictionary<EntryId, EntryFields> Entries { get; } = [];

        public SortedDictionary<string, Group> Groups { get; } = new(StringComparer.Ordinal);

        public EntryId Last { get; private set; }

        public EntryId MaxDeleted { get; private set; }

        public long Added { get; private set; }

        public EntryId Append(EntryFields fields, long nowMs)
        {
            Last = (ulong)nowMs > Last.Milliseconds ? new((ulong)nowMs, 0) : Last.Next();
            Entries.Add(Last, fields);
            Added++;
            return Last;
        }

        public bool Delete(EntryId id)
        {
            if (!Entries.Remove(id))
                return false;
            MaxDeleted = id > MaxDeleted ? id : MaxDeleted;
            return true;
        }
    }

    internal sealed class Group
    {
        public EntryId Last { get; set; }

        public SortedSet<string> Consumers { get; } = new(StringComparer.Ordinal);

        public SortedDictionary<EntryId, (string Consumer, long DeliveredMs, long Count)> Pending { get; } = [];
    }
}
