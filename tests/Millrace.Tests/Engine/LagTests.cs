using Millrace.Streams;
using Millrace.Streams.Engine.Mutations;

namespace Millrace.Tests.Engine;

/// <summary>The rules of Redis 8 for lag and entries-read, one scenario each. Entries are 1-0 to 5-0.</summary>
public sealed class LagTests
{
    private readonly EngineRun _run = new();

    [Fact]
    public void Lag_of_an_unused_stream_is_zero()
    {
        _run.CreateGroup("s");
        AssertGroup(lag: 0, read: null);
    }

    [Fact]
    public void Lag_of_a_stream_trimmed_empty_is_zero()
    {
        AppendFive();
        _run.CreateGroup("s");
        _run.Apply<Trim, long>(new("s", StreamTrim.ToLength(0)));
        AssertGroup(lag: 0, read: null);
    }

    [Fact]
    public void Lag_of_a_group_at_the_beginning_is_the_length()
    {
        AppendFive();
        _run.CreateGroup("s");
        AssertGroup(lag: 5, read: null);
    }

    [Fact]
    public void Lag_falls_with_each_delivery()
    {
        AppendFive();
        _run.CreateGroup("s");
        _run.Read("s", "c", count: 1);
        AssertGroup(lag: 4, read: 1);
        _run.Read("s", "c", count: 3);
        AssertGroup(lag: 1, read: 4);
        _run.Read("s", "c");
        AssertGroup(lag: 0, read: 5);
    }

    [Fact]
    public void Lag_behind_a_trimmed_beginning_is_the_length()
    {
        AppendFive();
        _run.CreateGroup("s");
        _run.Read("s", "c", count: 1);
        _run.Apply<Trim, long>(new("s", StreamTrim.ToLength(3)));
        AssertGroup(lag: 3, read: 1);
        _run.Read("s", "c", count: 1);
        AssertGroup(lag: 2, read: 3);
    }

    [Fact]
    public void Lag_of_a_group_that_starts_now_is_zero_and_counts_on()
    {
        AppendFive();
        _run.CreateGroup("s", start: GroupStart.Now);
        AssertGroup(lag: 0, read: null);
        Append(6);
        AssertGroup(lag: null, read: null);
        _run.Read("s", "c");
        AssertGroup(lag: 0, read: 6);
    }

    [Fact]
    public void Lag_of_a_group_that_starts_at_the_first_entry_is_known()
    {
        AppendFive();
        _run.CreateGroup("s", start: GroupStart.After(new(1, 0)));
        AssertGroup(lag: 4, read: null);
    }

    [Theory]
    [InlineData(3)]
    [InlineData(99)]
    public void Lag_of_a_group_that_starts_in_the_middle_or_in_the_future_is_unknown(ulong after)
    {
        AppendFive();
        _run.CreateGroup("s", start: GroupStart.After(new(after, 0)));
        AssertGroup(lag: null, read: null);
    }

    [Fact]
    public void Lag_with_a_deletion_ahead_is_unknown_until_the_group_has_passed_it()
    {
        AppendFive();
        _run.CreateGroup("s");
        _run.Read("s", "c", count: 1);
        Delete(3);
        AssertGroup(lag: null, read: 1);
        _run.Read("s", "c", count: 1);
        AssertGroup(lag: null, read: null);
        _run.Read("s", "c", count: 2);
        AssertGroup(lag: 0, read: 5);
    }

    [Fact]
    public void Lag_with_a_deletion_behind_stays_known()
    {
        AppendFive();
        _run.CreateGroup("s");
        _run.Read("s", "c", count: 3);
        Delete(2);
        AssertGroup(lag: 2, read: 3);
        _run.Read("s", "c", count: 1);
        AssertGroup(lag: 1, read: 4);
    }

    [Fact]
    public void Lag_with_the_first_entry_deleted_is_the_length()
    {
        AppendFive();
        _run.CreateGroup("s");
        Delete(1);
        AssertGroup(lag: 4, read: null);
        _run.Read("s", "c", count: 1);
        AssertGroup(lag: 3, read: 2);
    }

    [Fact]
    public void Lag_after_the_group_was_moved_is_derived_again()
    {
        AppendFive();
        _run.CreateGroup("s");
        _run.Read("s", "c");
        _run.Apply<SetGroup, bool>(new("s", "g", GroupStart.After(new(3, 0))));
        AssertGroup(lag: null, read: null);
        _run.Apply<SetGroup, bool>(new("s", "g", GroupStart.Beginning));
        AssertGroup(lag: 5, read: null);
    }

    private void AppendFive()
    {
        for (ulong ms = 1; ms <= 5; ms++)
            Append(ms);
    }

    private void Append(ulong ms) => _run.Commit(new CommitChange.Append("s", EngineRun.Fields("x"), new EntryId(ms, 0)));

    private void Delete(ulong ms) => _run.Apply<Delete, long>(new("s", [new(ms, 0)]));

    private void AssertGroup(long? lag, long? read)
    {
        var group = _run.Group("s");
        Assert.Equal((lag, read), (group.Lag, group.EntriesRead));
    }
}
