using Millrace.Streams;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Tests.Engine;

public sealed class EntryIdsTests
{
    private readonly EngineRun _run = new();

    [Fact]
    public void Append_takes_the_clock_and_counts_within_a_millisecond()
    {
        _run.NowMs = 5;
        Assert.Equal(new(5, 0), _run.Append("s"));
        Assert.Equal(new(5, 1), _run.Append("s"));
        _run.NowMs = 6;
        Assert.Equal(new(6, 0), _run.Append("s"));
    }

    [Fact]
    public void Append_with_the_clock_gone_back_goes_on_after_the_last_id()
    {
        _run.NowMs = 100;
        _run.Append("s");
        _run.NowMs = 40;

        Assert.Equal(new(100, 1), _run.Append("s"));
        Assert.Equal(new(100, 2), _run.Append("s"));
        Assert.Equal(new(40, 0), _run.Append("other"));
        _run.NowMs = 101;
        Assert.Equal(new(101, 0), _run.Append("s"));
    }

    [Fact]
    public void Append_goes_on_after_an_entry_that_was_deleted()
    {
        var id = _run.Append("s");
        _run.Apply<Delete, long>(new("s", [id]));

        Assert.Equal(id.Next(), _run.Append("s"));
    }

    [Fact]
    public void Append_at_time_zero_does_not_give_the_id_zero()
    {
        _run.NowMs = 0;
        Assert.Equal(new(0, 1), _run.Append("s"));
    }

    [Fact]
    public void Append_after_the_last_sequence_moves_to_the_next_millisecond()
    {
        _run.NowMs = 7;
        _run.Commit(new CommitChange.Append("s", EngineRun.Fields("a"), new EntryId(7, ulong.MaxValue)));

        Assert.Equal(new(8, 0), _run.Append("s"));
    }

    [Fact]
    public void Appends_together_get_the_ids_that_appends_one_by_one_get()
    {
        _run.NowMs = 7;
        _run.Commit(new CommitChange.Append("s", EngineRun.Fields("a"), new EntryId(7, ulong.MaxValue - 2)));

        var ids = _run.Apply<AppendMany, IReadOnlyList<EntryId>>(new("s", [.. Enumerable.Repeat(EngineRun.Fields("x"), 4)], null));

        EntryId[] expected = [new(7, ulong.MaxValue - 1), new(7, ulong.MaxValue), new(8, 0), new(8, 1)];
        Assert.Equal(expected, ids);
        Assert.Equal(expected, Enumerable.Range(0, ids.Count).Select(i => ids[i]));
        Assert.Equal(expected, _run.Engine.Range("s", new() { Start = expected[0] }).Select(entry => entry.Id));
        Assert.Throws<ArgumentOutOfRangeException>(() => ids[4]);
    }

    [Fact]
    public void Append_with_the_ids_used_up_is_refused_and_changes_nothing()
    {
        _run.Commit(new CommitChange.Append("s", EngineRun.Fields("a"), new EntryId(ulong.MaxValue, ulong.MaxValue - 1)));
        var before = EngineRun.Dump(_run.Engine);

        var refused = Assert.Throws<StreamException>(() => _run.Apply<AppendMany, IReadOnlyList<EntryId>>(
            new("s", [EngineRun.Fields("fits"), EngineRun.Fields("does not")], null)));

        Assert.Equal(StreamErrorCode.IdNotIncreasing, refused.Code);
        Assert.Equal(before, EngineRun.Dump(_run.Engine));
        Assert.Equal(EntryId.Max, _run.Append("s"));
        Assert.Throws<StreamException>(() => _run.Append("s"));
        Assert.Equal(StreamErrorCode.IdNotIncreasing, _run.Commit(new CommitChange.Append("s", EngineRun.Fields("b"))).Failure?.Code);
    }
}
