using Millrace.Streams;
using Millrace.Streams.Engine;

namespace Millrace.Tests.Engine;

public sealed class IdempotentProducersTests
{
    private const long NowMs = 1_700_000_000_000;

    private readonly IdempotentProducers _producers = new(100, 100);

    [Fact]
    public void Message_sent_again_is_found_for_its_producer_only()
    {
        Add("p1", "a", NowMs);

        Assert.Equal(Entry(NowMs), Find("p1", "a", NowMs));
        Assert.Null(Find("p2", "a", NowMs));
        Assert.Null(Find("p1", "b", NowMs));
        Assert.Null(Find("p1", "A", NowMs));
    }

    [Fact]
    public void Id_is_forgotten_after_the_duration_and_can_be_used_again()
    {
        Add("p", "a", NowMs);

        Assert.NotNull(Find("p", "a", NowMs + 100_000));
        Assert.Null(Find("p", "a", NowMs + 100_001));

        Add("p", "a", NowMs + 100_001);
        Assert.Equal(Entry(NowMs + 100_001), Find("p", "a", NowMs + 200_000));
        Assert.Equal((1, 1L), _producers.Tracked(NowMs + 200_000));
        Assert.Equal((0, 0L), _producers.Tracked(NowMs + 300_000));
    }

    /// <summary>A replay knows only of the mutations, so being asked must not make a difference.</summary>
    [Fact]
    public void Being_asked_late_forgets_nothing_when_the_clock_goes_back()
    {
        Add("p", "a", NowMs);

        Assert.Null(Find("p", "a", NowMs + 1_000_000));
        Assert.Equal((0, 0L), _producers.Tracked(NowMs + 1_000_000));

        Assert.NotNull(Find("p", "a", NowMs));
        Assert.NotNull(Find("p", "a", NowMs - 1_000_000));
        Assert.NotNull(Find("p", "a", -1));
    }

    [Fact]
    public void Newest_ids_of_each_producer_are_kept()
    {
        _producers.Configure(null, 3);
        for (var i = 0; i < 5; i++)
        {
            Add("p1", $"{i}", NowMs + i);
            Add("p2", $"{i}", NowMs + i);
        }

        Assert.Equal([null, null, Entry(NowMs + 2), Entry(NowMs + 3), Entry(NowMs + 4)], Enumerable.Range(0, 5).Select(i => Find("p1", $"{i}", NowMs)));
        Assert.Equal((2, 6L), _producers.Tracked(NowMs));
        Assert.Equal(10, _producers.Added);
    }

    [Fact]
    public void Producers_that_fell_silent_are_dropped_when_others_send()
    {
        for (var i = 0; i < 1_000; i++)
            Add($"p{i}", "a", NowMs + (i * 1_000));

        // The last 101 seconds, ends included: none of the others is held in memory, or the clock could bring it back.
        Assert.Equal((101, 101L), _producers.Tracked(NowMs + 999_000));
        Assert.Equal((101, 101L), _producers.Tracked(NowMs));
    }

    [Fact]
    public void Id_too_old_behind_a_newer_one_can_be_used_again()
    {
        _producers.Configure(null, 3);
        Add("p", "new", NowMs);
        _producers.Add("p", "old", Entry(NowMs - 60_000), NowMs);
        Assert.Null(Find("p", "old", NowMs + 50_000));

        Add("p", "old", NowMs + 50_000);

        Assert.Equal(Entry(NowMs + 50_000), Find("p", "old", NowMs + 50_000));
        for (var i = 0; i < 3; i++)
            Add("p", $"{i}", NowMs + 60_000);
        Assert.Equal((1, 3L), _producers.Tracked(NowMs + 60_000));
        Assert.Null(Find("p", "old", NowMs + 60_000));
    }

    [Fact]
    public void Configure_forgets_the_ids_only_when_a_limit_really_changes_and_keeps_the_counters()
    {
        Add("p", "a", NowMs);
        _producers.AddDuplicate();

        Assert.False(_producers.Configure(null, null));
        Assert.False(_producers.Configure(100, 100));
        Assert.NotNull(Find("p", "a", NowMs));

        Assert.True(_producers.Configure(100, 101));
        Assert.Null(Find("p", "a", NowMs));
        Assert.Equal((0, 0L), _producers.Tracked(NowMs));
        Assert.Equal((100, 101, 1, 1), (_producers.DurationSeconds, _producers.MaxSize, _producers.Added, _producers.Duplicates));

        Assert.True(_producers.Configure(1, null));
        Add("p", "a", NowMs);
        Assert.Null(Find("p", "a", NowMs + 1_001));
    }

    [Fact]
    public void Clone_is_equal_and_apart()
    {
        _producers.Configure(50, 2);
        Add("p", "a", NowMs);
        Add("q", "a", NowMs);
        _producers.AddDuplicate();

        var clone = _producers.Clone();
        Add("p", "b", NowMs);
        _producers.Configure(51, null);

        Assert.Equal((50, 2, 2, 1), (clone.DurationSeconds, clone.MaxSize, clone.Added, clone.Duplicates));
        Assert.Equal((2, 2L), clone.Tracked(NowMs));
        Assert.True(clone.TryFind("p", "a", NowMs, out var entry));
        Assert.Equal(Entry(NowMs), entry);
        clone.Add("p", "b", Entry(NowMs + 1), NowMs + 1);
        clone.Add("p", "c", Entry(NowMs + 2), NowMs + 2);
        Assert.False(clone.TryFind("p", "a", NowMs, out _));
        Assert.Equal((2, 3L), clone.Tracked(NowMs));
    }

    [Fact]
    public void IdOf_depends_on_the_pairs_but_not_on_their_order()
    {
        var id = IdempotentProducers.IdOf(EntryFields.Create(("a", "1"), ("b", "2"), ("a", "0")));

        Assert.Equal(32, id.Length);
        Assert.Equal(id, IdempotentProducers.IdOf(EntryFields.Create(("a", "0"), ("b", "2"), ("a", "1"))));
    }

    /// <summary>What simpler hashes take for the same: shifted borders, swapped values, pairs that cancel each other.</summary>
    [Fact]
    public void IdOf_tells_different_pairs_apart()
    {
        EntryFields[] all =
        [
            EntryFields.Create(("a", "")),
            EntryFields.Create(("", "a")),
            EntryFields.Create(("ab", "c")),
            EntryFields.Create(("a", "bc")),
            EntryFields.Create(("a", "b"), ("c", "d")),
            EntryFields.Create(("a", "d"), ("c", "b")),
            EntryFields.Create(("a", "1"), ("a", "1")),
            EntryFields.Create(("b", "2"), ("b", "2")),
            EntryFields.Create(("a", "1")),
            EntryFields.Create(("a", new string('x', 100_000))),
        ];

        Assert.Equal(all.Length, all.Select(IdempotentProducers.IdOf).Distinct().Count());
    }

    private static EntryId Entry(long ms) => new((ulong)ms, 7);

    private EntryId? Find(string producer, string id, long nowMs) => _producers.TryFind(producer, id, nowMs, out var entry) ? entry : null;

    private void Add(string producer, string id, long nowMs) => _producers.Add(producer, id, Entry(nowMs), nowMs);
}
