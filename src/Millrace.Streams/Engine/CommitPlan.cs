namespace Millrace.Streams.Engine;

/// <summary>
/// Goes through a commit before anything is changed and finds what would fail: a key of another type, an explicit ID that does not increase,
/// used-up IDs. Sees each change as it will find the keys, after the changes before it.
/// </summary>
internal sealed class CommitPlan
{
    /// <summary>What the keys that earlier changes touch will hold. Kept between commits for its memory, not for its content.</summary>
    private readonly Dictionary<string, Plan> _plans = new(StringComparer.Ordinal);

    private enum Holds
    {
        Nothing,
        Stream,
        State,
        Schedule,

        /// <summary>A value that only server commands make.</summary>
        Other,
    }

    /// <summary>The first condition that does not hold, or null.</summary>
    /// <exception cref="StreamException"><see cref="StreamErrorCode.WrongType"/>.</exception>
    public static CommitCondition? FindConflict(StreamEngine engine, Commit commit)
    {
        for (var i = 0; i < commit.Conditions.Count; i++)
        {
            if (!DoesHold(engine, commit.Conditions[i]))
                return commit.Conditions[i];
        }

        return null;
    }

    /// <summary>Returns only if every change of the commit will succeed.</summary>
    /// <exception cref="StreamException">Why one would not.</exception>
    public void Check(StreamEngine engine, Commit commit, long nowMs)
    {
        _plans.Clear();
        for (var i = 0; i < commit.Changes.Count; i++)
            Check(engine, commit.Changes[i], nowMs);
    }

    private static bool DoesHold(StreamEngine engine, CommitCondition condition) => condition switch
    {
        CommitCondition.LastId last => engine.FindStream(last.Stream)?.LastGeneratedId == last.Expected,
        CommitCondition.State state => HasVersion(engine.FindState(StreamNames.State(state.Key)), state.Expected),
        CommitCondition.Held held => engine.FindGroup(held.Stream, held.Group, out _)?.IsHeld(held.Consumer, held.Entry) ?? false,
        CommitCondition.Exists entry => engine.FindStream(entry.Stream)?.Entries.Contains(entry.Id) ?? false,
        CommitCondition.Unread entry => engine.FindStream(entry.Stream) is { } stream && stream.Entries.Contains(entry.Id) &&
            stream.Groups.All(group => group.LastDeliveredId < entry.Id),
        CommitCondition.Stands stands => engine.FindGroup(stands.Stream, stands.Group, out _) is { } group &&
            (group.LastDeliveredId, group.Pending.Count, group.Consumers.Count) == (stands.LastDelivered, stands.PendingCount, stands.ConsumerCount),
        _ => throw new ArgumentException($"There is no condition {condition.GetType().Name}.", nameof(condition)),
    };

    /// <summary>A string that is no document has no version, but it is there.</summary>
    private static bool HasVersion(StringValue? document, long? expected) => document is null
        ? expected is null
        : StateText.TryRead(document.Bytes.Span, out var version, out _) && version == expected;

    private void Check(StreamEngine engine, CommitChange change, long nowMs)
    {
        switch (change)
        {
            case CommitChange.Append append:
                PlanAppend(engine, append.Stream, append.Id, nowMs);
                break;
            case CommitChange.PutState put:
                Expect(engine, StreamNames.State(put.Key), Holds.State, becomes: Holds.State);
                break;
            case CommitChange.DeleteState delete:
                Expect(engine, StreamNames.State(delete.Key), Holds.State, becomes: Holds.Nothing);
                break;
            case CommitChange.Ack ack:
                Expect(engine, ack.Stream, Holds.Stream);
                break;
            case CommitChange.AckAndDelete ack:
                Expect(engine, ack.Stream, Holds.Stream);
                break;
            case CommitChange.Delete delete:
                Expect(engine, delete.Stream, Holds.Stream);
                break;
            case CommitChange.DeleteConsumer delete:
                Expect(engine, delete.Stream, Holds.Stream);
                break;
            case CommitChange.DestroyGroup destroy:
                var own = StreamNames.Again(destroy.Stream, destroy.Group);
                Expect(engine, destroy.Stream, Holds.Stream);
                Expect(engine, own, Holds.Stream, becomes: Holds.Nothing);
                Expect(engine, StreamNames.Schedule(own), Holds.Schedule, becomes: Holds.Nothing);
                Expect(engine, StreamNames.Order(destroy.Stream, destroy.Group), Holds.Stream, becomes: Holds.Nothing);
                break;
            case CommitChange.Release release:
                Expect(engine, release.Stream, Holds.Stream);
                var again = StreamNames.Again(release.Stream, release.Group);
                if (release.Delay == TimeSpan.Zero)
                {
                    PlanAppend(engine, again, null, nowMs);
                }
                else
                {
                    Expect(engine, again, Holds.Stream, becomes: Holds.Stream);
                    Expect(engine, StreamNames.Schedule(again), Holds.Schedule, becomes: Holds.Schedule);
                }

                break;
            case CommitChange.Schedule schedule:
                Expect(engine, schedule.Stream, Holds.Stream);
                Expect(engine, StreamNames.Schedule(schedule.Stream), Holds.Schedule, becomes: Holds.Schedule);
                break;
            default:
                throw new ArgumentException($"There is no change {change.GetType().Name}.", nameof(change));
        }
    }

    private void PlanAppend(StreamEngine engine, string stream, EntryId? explicitId, long nowMs)
    {
        var last = Expect(engine, stream, Holds.Stream).LastId;
        if (explicitId <= last)
            throw EngineErrors.IdNotIncreasing(stream, explicitId.Value, last);
        var next = explicitId ?? StreamValue.NextId(last, nowMs) ?? throw EngineErrors.IdsUsedUp(stream);
        _plans[stream] = new(Holds.Stream, next);
    }

    /// <summary>The key must hold a type, or nothing, at this point of the commit.</summary>
    private Plan Expect(StreamEngine engine, string key, Holds type, Holds? becomes = null)
    {
        var plan = PlanOf(engine, key);
        if (plan.Holds != type && plan.Holds != Holds.Nothing)
            throw EngineErrors.WrongType(key);
        if (becomes is { } next)
            _plans[key] = plan = plan with { Holds = next };
        return plan;
    }

    private Plan PlanOf(StreamEngine engine, string key)
    {
        if (_plans.TryGetValue(key, out var plan))
            return plan;
        return engine.Keyspace.Find(key) switch
        {
            null => default,
            StreamValue stream => new(Holds.Stream, stream.LastGeneratedId),
            StringValue => new(Holds.State, default),
            ScheduleValue => new(Holds.Schedule, default),
            _ => new(Holds.Other, default),
        };
    }

    private readonly record struct Plan(Holds Holds, EntryId LastId);
}
