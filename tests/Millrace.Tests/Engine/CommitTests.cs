using Millrace.Streams;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Tests.Engine;

public sealed class CommitTests
{
    private static readonly StateKey Key = new("s", "doc");

    private readonly EngineRun _run = new();

    public static TheoryData<CommitChange, StreamErrorCode> Refused => new()
    {
        { new CommitChange.Append(StreamNames.State(Key), EngineRun.Fields("x")), StreamErrorCode.WrongType },
        { new CommitChange.Append(StreamNames.Schedule("s"), EngineRun.Fields("x")), StreamErrorCode.WrongType },
        { new CommitChange.Append("s", EngineRun.Fields("x"), new EntryId(1, 0)), StreamErrorCode.IdNotIncreasing },
        { new CommitChange.Append("new", EngineRun.Fields("x"), EntryId.Zero), StreamErrorCode.IdNotIncreasing },
        { new CommitChange.Append("full", EngineRun.Fields("x")), StreamErrorCode.IdNotIncreasing },
        { new CommitChange.PutState(new("blocked", "doc"), default), StreamErrorCode.WrongType },
        { new CommitChange.DeleteState(new("blocked", "doc")), StreamErrorCode.WrongType },
        { new CommitChange.Ack(StreamNames.State(Key), "g", new(1, 0)), StreamErrorCode.WrongType },
        { new CommitChange.AckAndDelete(StreamNames.State(Key), "g", new(1, 0)), StreamErrorCode.WrongType },
        { new CommitChange.Release(StreamNames.State(Key), "g", new(new(1, 0), 1)), StreamErrorCode.WrongType },
        { new CommitChange.Schedule(StreamNames.State(Key), EngineRun.Fields("x"), TimeSpan.FromHours(1)), StreamErrorCode.WrongType },
        { new CommitChange.Schedule("odd", EngineRun.Fields("x"), TimeSpan.FromHours(1)), StreamErrorCode.WrongType },
    };

    [Theory]
    [MemberData(nameof(Refused))]
    public void Commit_with_a_change_that_would_fail_changes_nothing(CommitChange last, StreamErrorCode code)
    {
        Prepare();
        var before = EngineRun.Dump(_run.Engine);
        var records = _run.Records.Count;

        var result = _run.Commit(
            new CommitChange.Append("s", EngineRun.Fields("first")),
            new CommitChange.PutState(new("s", "other"), new byte[] { 1 }),
            new CommitChange.Schedule("s", EngineRun.Fields("later"), TimeSpan.FromMinutes(1)),
            last);

        Assert.Equal(code, result.Failure?.Code);
        Assert.False(result.IsApplied);
        Assert.Equal(before, EngineRun.Dump(_run.Engine));
        Assert.Equal(records, _run.Records.Count);
    }

    [Fact]
    public void Commit_sees_the_ids_of_its_own_appends()
    {
        _run.NowMs = 10;
        var append = new CommitChange.Append("s", EngineRun.Fields("x"));

        Assert.Equal(StreamErrorCode.IdNotIncreasing, _run.Commit(append, append with { Id = new(10, 0) }).Failure?.Code);
        var explicitly = append with { Id = new(20, 5) };
        Assert.Equal(StreamErrorCode.IdNotIncreasing, _run.Commit(explicitly, explicitly).Failure?.Code);
        Assert.Null(_run.Engine.Info("s"));
        Assert.Equal(
            [new(10, 0), new(10, 5), new(10, 6), new(30, 0)],
            _run.Commit(append, append with { Id = new(10, 5) }, append, append with { Id = new(30, 0) }).Ids);
    }

    [Fact]
    public void Commit_sees_the_types_its_own_changes_give_a_key()
    {
        var key = StreamNames.State(Key);
        var put = new CommitChange.PutState(Key, default);
        var append = new CommitChange.Append(key, EngineRun.Fields("x"));

        Assert.Equal(StreamErrorCode.WrongType, _run.Commit(put, append).Failure?.Code);
        Assert.Equal(StreamErrorCode.WrongType, _run.Commit(append, put).Failure?.Code);
        Assert.Empty(_run.Engine.Keyspace);
        Assert.True(_run.Commit(put, new CommitChange.DeleteState(Key), append).IsApplied);
        Assert.Equal(["x"], _run.Values(key));
    }

    [Fact]
    public void Commit_names_the_first_condition_that_does_not_hold()
    {
        Prepare();
        var last = _run.Engine.Info("s")!.LastGeneratedId;
        CommitCondition[] conditions =
            [CommitCondition.LastIdIs("s", last), CommitCondition.NoStream("s"), CommitCondition.StateAbsent(Key)];

        Assert.Same(conditions[1], _run.Commit(conditions, new CommitChange.DeleteState(Key)).Conflict);
        Assert.NotNull(_run.Engine.FindState(StreamNames.State(Key)));
    }

    [Fact]
    public void Held_condition_holds_for_this_consumer_and_count_only()
    {
        _run.CreateGroup("s");
        var id = _run.Append("s");
        _run.Read("s", "c");
        var ack = new CommitChange.Ack("s", "g", id);

        Assert.NotNull(_run.Commit([CommitCondition.StillHeld("s", "g", "d", new(id, 1))], ack).Conflict);
        Assert.NotNull(_run.Commit([CommitCondition.StillHeld("s", "g", "c", new(id, 2))], ack).Conflict);
        Assert.NotNull(_run.Commit([CommitCondition.StillHeld("s", "h", "c", new(id, 1))], ack).Conflict);
        Assert.NotNull(_run.Commit([CommitCondition.StillHeld("t", "g", "c", new(id, 1))], ack).Conflict);
        Assert.True(_run.Commit([CommitCondition.StillHeld("s", "g", "c", new(id, 1))], ack).IsApplied);
        Assert.NotNull(_run.Commit([CommitCondition.StillHeld("s", "g", "c", new(id, 1))], ack).Conflict);
    }

    [Fact]
    public void Versions_grow_within_a_millisecond_after_a_deletion_and_when_the_clock_goes_back()
    {
        var versions = new List<long> { Put(), Put() };
        _run.Commit(new CommitChange.DeleteState(Key));
        versions.Add(Put());
        _run.NowMs -= 10_000;
        versions.Add(Put());
        _run.NowMs += 20_000;
        versions.Add(Put());

        Assert.Equal(versions.Order().Distinct(), versions);
        Assert.Equal(_run.NowMs, versions[^1]);

        long Put()
        {
            _run.Commit(new CommitChange.PutState(Key, default));
            return _run.Engine.State(StreamNames.State(Key))!.Version;
        }
    }

    [Fact]
    public void PutState_copies_the_payload()
    {
        byte[] payload = [1, 2, 3];
        _run.Commit(new CommitChange.PutState(Key, payload));
        payload[0] = 9;

        Assert.Equal([1, 2, 3], _run.Engine.State(StreamNames.State(Key))!.Payload.ToArray());
    }

    [Fact]
    public void State_expires_at_its_time_and_a_put_without_one_takes_it_away()
    {
        var key = StreamNames.State(Key);
        _run.Commit(new CommitChange.PutState(Key, default, TimeSpan.FromMilliseconds(100)));
        _run.NowMs += 99;
        _run.Tick();
        Assert.NotNull(_run.Engine.State(key));
        _run.NowMs += 1;
        _run.Tick();
        Assert.Null(_run.Engine.State(key));
        Assert.Equal(long.MaxValue, _run.Engine.NextDueMs);

        _run.Commit(new CommitChange.PutState(Key, default, TimeSpan.FromMilliseconds(100)));
        _run.Commit(new CommitChange.PutState(Key, default));
        Assert.Equal(long.MaxValue, _run.Engine.NextDueMs);
    }

    [Fact]
    public void Schedule_appends_in_the_order_of_time_then_of_arrival()
    {
        foreach (var (value, ms) in ((string, int)[])[("late", 300), ("a", 100), ("b", 100), ("soon", 50), ("c", 100)])
            _run.Commit(new CommitChange.Schedule("s", EngineRun.Fields(value), TimeSpan.FromMilliseconds(ms)));
        Assert.Null(_run.Engine.Info("s"));

        _run.NowMs += 100;
        _run.Tick();

        Assert.Equal(["soon", "a", "b", "c"], _run.Values("s"));
        Assert.Equal(_run.NowMs + 200, _run.Engine.NextDueMs);
        _run.NowMs += 200;
        _run.Tick();
        Assert.Equal("late", _run.Values("s")[^1]);
        Assert.False(_run.Engine.Keyspace.ContainsKey(StreamNames.Schedule("s")));
    }

    [Fact]
    public void Tick_with_a_limit_leaves_the_rest_due_and_holds_up_no_other_key()
    {
        foreach (var stream in (string[])["s", "t"])
        {
            for (var i = 0; i < 5; i++)
                _run.Commit(new CommitChange.Schedule(stream, EngineRun.Fields($"{i}"), TimeSpan.FromMilliseconds(100 + i)));
        }

        _run.Commit(new CommitChange.PutState(Key, default, TimeSpan.FromMilliseconds(103)));
        _run.NowMs += 200;

        _run.ApplyAndRecord<Tick, int>(new(2));
        Assert.Equal(["0", "1"], _run.Values("s"));
        Assert.Equal(["0", "1"], _run.Values("t"));
        Assert.Null(_run.Engine.State(StreamNames.State(Key)));
        Assert.True(_run.Engine.NextDueMs <= _run.NowMs);
        Assert.Equal(EngineRun.Dump(_run.Engine), EngineRun.Dump(_run.Replay()));

        _run.ApplyAndRecord<Tick, int>(new(2));
        _run.ApplyAndRecord<Tick, int>(new(2));
        Assert.Equal(["0", "1", "2", "3", "4"], _run.Values("t"));
        Assert.Equal(["0", "1", "2", "3", "4"], _run.Values("s"));
        Assert.Equal(long.MaxValue, _run.Engine.NextDueMs);
        Assert.Equal(EngineRun.Dump(_run.Engine), EngineRun.Dump(_run.Replay()));
    }

    [Fact]
    public void Schedule_onto_a_key_of_another_type_waits_until_it_is_a_stream()
    {
        var stream = StreamNames.State(Key);
        _run.Commit(new CommitChange.Schedule(stream, EngineRun.Fields("kept"), TimeSpan.FromMilliseconds(10)));
        _run.Commit(new CommitChange.PutState(Key, default));
        _run.NowMs += 10;
        _run.Tick();
        Assert.True(_run.Engine.NextDueMs > _run.NowMs);

        _run.Commit(new CommitChange.DeleteState(Key));
        _run.NowMs = _run.Engine.NextDueMs;
        _run.Tick();

        Assert.Equal(["kept"], _run.Values(stream));
    }

    [Fact]
    public void Release_copies_to_the_private_stream_with_source_and_earlier_deliveries()
    {
        var again = StreamNames.Again("s", "g");
        _run.CreateGroup("s");
        var id = _run.Append("s", "work");
        _run.Read("s", "c");

        Assert.True(_run.Commit(new CommitChange.Release("s", "g", new(id, 1))).IsApplied);
        var first = Assert.Single(_run.Read(again, "c"));
        Assert.Equal(EntryFields.Create(("v", "work"), ("sourceid", $"{id}")), first.Fields);

        _run.Commit(new CommitChange.Release(again, "g", new(first.Id, 3)));
        var second = Assert.Single(_run.Read(again, "c"));
        Assert.Equal(EntryFields.Create(("v", "work"), ("sourceid", $"{id}"), ("priordeliveries", "2")), second.Fields);

        _run.Commit(new CommitChange.Release(again, "g", new(second.Id, 2), TimeSpan.FromSeconds(1)));
        Assert.Empty(_run.Read(again, "c"));
        _run.NowMs += 1_000;
        var third = Assert.Single(_run.Read(again, "c"));
        Assert.Equal(EntryFields.Create(("v", "work"), ("sourceid", $"{id}"), ("priordeliveries", "3")), third.Fields);
        Assert.Equal(0, _run.Group("s").PendingCount);
        Assert.Equal(1, _run.Group(again).PendingCount);
    }

    [Fact]
    public void Release_of_a_deleted_entry_only_acknowledges()
    {
        _run.CreateGroup("s");
        var id = _run.Append("s");
        _run.Read("s", "c");
        _run.Apply<Delete, long>(new("s", [id]));

        Assert.True(_run.Commit(new CommitChange.Release("s", "g", new(id, 1))).IsApplied);

        Assert.Equal(0, _run.Group("s").PendingCount);
        Assert.Null(_run.Engine.Info(StreamNames.Again("s", "g")));
    }

    /// <summary>A stream and a document, and keys of every wrong type.</summary>
    private void Prepare()
    {
        _run.Append("s");
        _run.Commit(
            new CommitChange.PutState(Key, new byte[] { 7 }), new CommitChange.Schedule("s", EngineRun.Fields("x"), TimeSpan.FromDays(1)));
        _run.Commit(new CommitChange.Append("full", EngineRun.Fields("x"), EntryId.Max));
        _run.Append(StreamNames.State(new("blocked", "doc")));
        _run.Append(StreamNames.Schedule("odd"));
    }
}
