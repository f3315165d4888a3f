using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Redis;

/// <summary>Lists of commits that take more than one script run, or whose entries are fenced together.</summary>
public sealed class CommitListTests(SharedRedis redis)
{
    private readonly string _stream = Guid.NewGuid().ToString("N")[..12];

    [Theory]
    [InlineData(3)]         // Fenced one by one.
    [InlineData(500)]       // In one script run.
    [InlineData(2_500)]     // In several.
    public async Task Commits_of_which_every_third_lost_its_lease_are_applied_each_on_its_own(int count)
    {
        await using var store = await OpenAsync();
        var held = await NewPendingAsync(store, count);
        var lost = held.Where((_, i) => i % 3 == 0).ToList();
        EntryId[] lostIds = [.. lost.Select(entry => entry.Id)];
        await store.ClaimAsync(_stream, "g", new() { Consumer = "other", Ids = lostIds, MinIdleTime = TimeSpan.Zero });

        var results = await store.CommitAsync([.. held.Select(Settle)]);

        for (var i = 0; i < held.Count; i++)
        {
            Assert.Equal(i % 3 != 0, results[i].IsApplied);
            Assert.Equal(i % 3 != 0 ? 1 : 0, results[i].Ids.Count);
            Assert.Null(results[i].Failure);
        }

        Assert.Equal(lost.Select(entry => entry.Id), (await PendingAsync(store)).Select(entry => entry.Id));
        var outputs = await store.RangeAsync($"{_stream}:out", new() { Count = 10_000 });
        Assert.Equal(held.Except(lost).Select(entry => entry.Id.ToString()), outputs.Select(entry => entry.Fields.GetText("of"u8)));
    }

    [Fact]
    public async Task Commits_of_few_entries_among_many_held_are_fenced_right()
    {
        await using var store = await OpenAsync();
        var held = await NewPendingAsync(store, 1_000);
        HeldEntry[] few = [.. held.Where((_, i) => i % 100 == 0), held[^1]];

        var results = await store.CommitAsync([.. few.Select(Settle), Settle(few[0]), Settle(few[^1] with { DeliveryCount = 2 })]);

        Assert.Equal([.. few.Select(_ => true), false, false], results.Select(result => result.IsApplied));
        Assert.Equal(1_000 - few.Length, (await store.PendingSummaryAsync(_stream, "g")).Count);
    }

    [Fact]
    public async Task Commit_sees_what_earlier_commits_of_the_list_did()
    {
        await using var store = await OpenAsync();
        var held = await NewPendingAsync(store, 1);
        var state = new StateKey(_stream, "d");
        Commit Put(CommitCondition condition) => new() { Conditions = [condition], Changes = [new CommitChange.PutState(state, default)] };

        var results = await store.CommitAsync(
        [
            Put(CommitCondition.StateAbsent(state)),
            Put(CommitCondition.StateAbsent(state)),
            Settle(held[0]),
            Settle(held[0]),
            new() { Conditions = [CommitCondition.NoStream($"{_stream}:out")], Changes = [new CommitChange.DeleteState(state)] },
            new() { Conditions = [CommitCondition.LastIdIs(_stream, held[0].Id)], Changes = [new CommitChange.DeleteState(state)] },
            Put(CommitCondition.StateAbsent(state)),
        ]);

        Assert.Equal([true, false, true, false, false, true, true], results.Select(result => result.IsApplied));
        Assert.Same(CommitCondition.StateAbsent(state).GetType(), results[1].Conflict?.GetType());
    }

    [Fact]
    public async Task Commit_with_more_values_than_one_command_of_Redis_takes_is_refused_before_it_is_sent()
    {
        await using var store = await OpenAsync();
        var wide = new EntryFieldsWriter();
        for (var i = 0; i < StreamLimits.MaxFields; i++)
            wide.Add("n", "v");
        var change = new CommitChange.Append(_stream, wide.ToFields());

        await Assert.ThrowsAsync<ArgumentException>(
            async () => await store.CommitAsync([new() { Changes = [.. Enumerable.Repeat(change, StreamLimits.MaxCommitChanges)] }]));

        Assert.Null(await store.GetStreamInfoAsync(_stream));
        Assert.True((await store.CommitAsync(new Commit { Changes = [change, change] })).IsApplied);
    }

    private Commit Settle(HeldEntry entry) => new()
    {
        Conditions = [CommitCondition.StillHeld(_stream, "g", "c", entry)],
        Changes =
        [
            new CommitChange.Append($"{_stream}:out", EntryFields.Create(("of", entry.Id.ToString()))),
            new CommitChange.Ack(_stream, "g", entry.Id),
        ],
    };

    private async Task<IReadOnlyList<HeldEntry>> NewPendingAsync(RedisStreamStore store, int count)
    {
        await store.CreateGroupAsync(_stream, "g", GroupStart.Beginning);
        await store.AppendManyAsync(_stream, [.. Enumerable.Repeat(EntryFields.Create(("v", "x")), count)]);
        var batch = Assert.Single(await store.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = [_stream], Count = count }));
        return [.. batch.Entries.Select(entry => new HeldEntry(entry.Id, entry.DeliveryCount))];
    }

    private async Task<IReadOnlyList<PendingEntry>> PendingAsync(RedisStreamStore store) =>
        await store.PendingAsync(_stream, "g", new() { Count = StreamLimits.MaxBatch });

    private async Task<RedisStreamStore> OpenAsync() => new(new() { Host = "127.0.0.1", Port = (await redis.StartedAsync()).Port });
}
