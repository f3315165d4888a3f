using Millrace.Streams;

namespace Millrace.Tests.Conformance;

public abstract partial class StoreConformance
{
    [Fact]
    public async Task Commit_of_every_kind_of_change_applies_them_all()
    {
        var (stream, entries) = await NewPendingAsync(3);
        var (outputs, _) = await NewGroupAsync(0);
        StateKey put = NewState(), deleted = NewState();
        await PutAsync(deleted);

        var result = await Store.CommitAsync(new Commit
        {
            Conditions = [.. entries.Select(entry => CommitCondition.StillHeld(stream, "g", "c1", Held(entry)))],
            Changes =
            [
                new CommitChange.Append(outputs, Fields("output")),
                new CommitChange.PutState(put, Utf8("state")),
                new CommitChange.DeleteState(deleted),
                new CommitChange.Schedule(outputs, Fields("scheduled"), Moment),
                new CommitChange.Release(stream, "g", Held(entries[0])),
                new CommitChange.Ack(stream, "g", entries[1].Id),
                new CommitChange.AckAndDelete(stream, "g", entries[2].Id),
            ],
        });

        Assert.Equal((true, null, null), (result.IsApplied, result.Conflict, result.Failure));
        Assert.Equal(["output", "scheduled"], await FollowAsync(outputs, 2));
        Assert.Equal(result.Ids, (await RangeAsync(outputs)).Take(1).Select(entry => entry.Id));
        Assert.Equal("state", await TextAsync(put));
        Assert.Null(await Store.GetStateAsync(deleted));
        Assert.Equal(["0"], await ValuesAsync(StreamNames.Again(stream, "g")));
        Assert.Equal(["0", "1"], await ValuesAsync(stream));
        Assert.Empty(await PendingAsync(stream));
    }

    [Fact]
    public async Task Commit_returns_the_ids_of_its_appends_in_order()
    {
        string first = NewStream(), second = NewStream();

        var result = await Store.CommitAsync(Change(
            new CommitChange.Append(first, Fields("a")),
            new CommitChange.PutState(NewState(), Utf8("in between")),
            new CommitChange.Append(second, Fields("b")),
            new CommitChange.Append(first, Fields("c"))));

        Assert.Equal(3, result.Ids.Count);
        Assert.True(result.Ids[2] > result.Ids[0]);
        Assert.Equal([new(result.Ids[0], Fields("a")), new(result.Ids[2], Fields("c"))], await RangeAsync(first));
        Assert.Equal([new(result.Ids[1], Fields("b"))], await RangeAsync(second));
    }

    [Fact]
    public async Task Commit_appends_with_the_ids_it_is_told()
    {
        var stream = NewStream();
        EntryId explicitId = new(5, 3), next = new(5, 4);

        var result = await Store.CommitAsync(Change(
            new CommitChange.Append(stream, Fields("a"), explicitId),
            new CommitChange.Append(stream, Fields("b"), next),
            new CommitChange.Append(stream, Fields("c"))));

        Assert.Equal([explicitId, next], result.Ids.Take(2));
        Assert.True(result.Ids[2] > next);
        Assert.Equal(result.Ids, (await RangeAsync(stream)).Select(entry => entry.Id));
    }

    [Fact]
    public async Task Commit_appends_above_an_id_from_the_future()
    {
        var stream = NewStream();
        var future = new EntryId((ulong)DateTimeOffset.UtcNow.AddYears(10).ToUnixTimeMilliseconds(), 0);

        var result = await Store.CommitAsync(Change(
            new CommitChange.Append(stream, Fields("a"), future),
            new CommitChange.Append(stream, Fields("b"))));

        Assert.Equal([future, future.Next()], result.Ids);
        Assert.Equal(new(future.Milliseconds, 2), await AppendAsync(stream));
    }

    [Fact]
    public async Task Commit_applies_changes_of_one_key_in_order()
    {
        StateKey kept = NewState(), gone = NewState();
        await PutAsync(kept, "old");
        var old = await Store.GetStateAsync(kept);

        await Store.CommitAsync(Change(
            new CommitChange.DeleteState(kept),
            new CommitChange.PutState(kept, Utf8("first")),
            new CommitChange.PutState(kept, Utf8("second")),
            new CommitChange.PutState(gone, Utf8("short-lived")),
            new CommitChange.DeleteState(gone)));

        var state = await Store.GetStateAsync(kept);
        Assert.Equal("second", TextOf(state));
        Assert.True(state!.Version > old!.Version);
        Assert.Null(await Store.GetStateAsync(gone));
    }

    [Fact]
    public async Task Commit_of_acks_that_are_not_pending_changes_nothing()
    {
        var (stream, entries) = await NewPendingAsync(1);
        var missing = NewStream();
        var notDelivered = await AppendAsync(stream, "not delivered");
        await Store.AckAsync(stream, "g", [entries[0].Id]);
        var before = await SnapshotAsync();

        var result = await Store.CommitAsync(Change(
            new CommitChange.Ack(stream, "g", entries[0].Id),
            new CommitChange.Ack(stream, "g", EntryId.Max),
            new CommitChange.AckAndDelete(stream, "g", entries[0].Id),
            new CommitChange.AckAndDelete(stream, "g", notDelivered),
            new CommitChange.AckAndDelete(missing, "g", notDelivered),
            new CommitChange.Ack(stream, "no group", entries[0].Id),
            new CommitChange.Ack(missing, "g", entries[0].Id),
            new CommitChange.DeleteConsumer(missing, "g", "c1"),
            new CommitChange.DeleteConsumer(stream, "no group", "c1"),
            new CommitChange.DeleteConsumer(stream, "g", "no consumer"),
            new CommitChange.DestroyGroup(missing, "g"),
            new CommitChange.DestroyGroup(stream, "no group")));

        Assert.True(result.IsApplied);
        Assert.Equal(before, await SnapshotAsync());
    }

    [Fact]
    public async Task Commit_of_acks_under_the_key_of_a_document_it_makes_is_applied_whole()
    {
        var key = NewState();
        var stream = StreamNames.State(key);
        var appended = NewStream();

        var result = await Store.CommitAsync(Change(
            new CommitChange.Ack(stream, "g", new(1, 1)),
            new CommitChange.AckAndDelete(stream, "g", new(1, 1)),
            new CommitChange.Release(stream, "g", new(new(1, 1), 1)),
            new CommitChange.PutState(key, Utf8("made")),
            new CommitChange.Append(appended, Fields("x"))));

        Assert.True(result.IsApplied);
        Assert.Equal("made", await TextAsync(key));
        Assert.Single(await RangeAsync(appended));
    }

    [Fact]
    public async Task Commit_of_as_many_changes_as_allowed_is_applied()
    {
        var stream = NewStream();
        var appends = Enumerable.Range(0, StreamLimits.MaxCommitChanges).Select(i => new CommitChange.Append(stream, Fields($"{i}")));

        var result = await Store.CommitAsync(Change([.. appends]));

        Assert.Equal(result.Ids.Order().Distinct(), result.Ids);
        Assert.Equal(result.Ids, (await RangeAsync(stream)).Select(entry => entry.Id));
    }

    [Fact]
    public async Task Commit_survives_as_a_whole()
    {
        var (stream, entries) = await NewPendingAsync(2);
        var key = NewState();
        await Store.CommitAsync(Change(
            new CommitChange.Append(stream, Fields("output")),
            new CommitChange.PutState(key, Utf8("state")),
            new CommitChange.Ack(stream, "g", entries[0].Id),
            new CommitChange.Release(stream, "g", Held(entries[1]))));
        var before = await SnapshotAsync();

        await ReopenAsync();

        Assert.Equal(before, await SnapshotAsync());
    }

    [Fact]
    public async Task CommitAsync_of_a_list_applies_each_on_its_own_and_in_order()
    {
        var stream = NewStream();
        StateKey key = NewState(), broken = NewState();
        await AppendAsync(StreamNames.State(broken));
        var absent = CommitCondition.StateAbsent(key);

        var results = await Store.CommitAsync(
        [
            new() { Conditions = [absent], Changes = [new CommitChange.PutState(key, Utf8("1")), Output("first")] },
            new() { Conditions = [absent], Changes = [new CommitChange.PutState(key, Utf8("2")), Output("conflict")] },
            new() { Changes = [Output("refused"), new CommitChange.PutState(broken, Utf8("3"))] },
            new() { Changes = [Output("last")] },
        ]);

        CommitChange Output(string value) => new CommitChange.Append(stream, Fields(value));

        Assert.Equal([true, false, false, true], results.Select(result => result.IsApplied));
        Assert.Equal([null, absent, null, null], results.Select(result => result.Conflict));
        Assert.Equal([null, null, StreamErrorCode.WrongType, null], results.Select(result => result.Failure?.Code));
        Assert.Equal([1, 0, 0, 1], results.Select(result => result.Ids.Count));
        Assert.Equal(["first", "last"], await ValuesAsync(stream));
        Assert.Equal("1", await TextAsync(key));
    }

    [Fact]
    public async Task CommitAsync_of_a_long_list_has_one_result_each()
    {
        var (stream, entries) = await NewPendingAsync(1_500);
        var outputs = NewStream();
        await ClaimAsync(stream, "c2", entries.Where((_, i) => i % 3 == 0).Select(entry => entry.Id));

        var results = await Store.CommitAsync([.. entries.Select(entry => new Commit
        {
            Conditions = [CommitCondition.StillHeld(stream, "g", "c1", Held(entry))],
            Changes = [new CommitChange.Append(outputs, entry.Fields), new CommitChange.Ack(stream, "g", entry.Id)],
        })]);

        Assert.Equal(entries.Index().Select(entry => entry.Index % 3 != 0), results.Select(result => result.IsApplied));
        Assert.Equal(1_000, (await RangeAsync(outputs)).Count);
        Assert.Equal(entries.Where((_, i) => i % 3 == 0).Select(entry => entry.Id), (await PendingAsync(stream)).Select(entry => entry.Id));
        Assert.Empty(await Store.CommitAsync([]));
    }

    [Fact]
    public async Task CommitAsync_of_a_list_lets_later_commits_see_what_earlier_ones_did()
    {
        var (stream, entries) = await NewPendingAsync(3);
        string made = NewStream(), refused = NewStream();
        StateKey key = NewState(), deleted = NewState(), broken = NewState();
        await PutAsync(deleted);
        await AppendAsync(StreamNames.State(broken));
        EntryId id = new(5, 0);
        var held = entries.Select(entry => CommitCondition.StillHeld(stream, "g", "c1", Held(entry))).ToArray();
        (CommitCondition Condition, CommitChange Change, bool IsApplied)[] steps =
        [
            (held[0], new CommitChange.Ack(stream, "g", entries[0].Id), true),
            (held[0], new CommitChange.Append(stream, Fields("twice")), false),
            (held[1], new CommitChange.AckAndDelete(stream, "g", entries[1].Id), true),
            (held[1], new CommitChange.Append(stream, Fields("twice")), false),
            (held[2], new CommitChange.Release(stream, "g", Held(entries[2])), true),
            (held[2], new CommitChange.Append(stream, Fields("twice")), false),
            (CommitCondition.NoStream(made), new CommitChange.Append(made, Fields("1"), id), true),
            (CommitCondition.NoStream(made), new CommitChange.Append(made, Fields("2")), false),
            (CommitCondition.LastIdIs(made, id), new CommitChange.Append(made, Fields("3"), id.Next()), true),
            (CommitCondition.LastIdIs(made, id), new CommitChange.Append(made, Fields("4")), false),
            (CommitCondition.StateAbsent(key), new CommitChange.PutState(key, Utf8("x")), true),
            (CommitCondition.StateAbsent(key), new CommitChange.DeleteState(key), false),
            (CommitCondition.LastIdIs(made, id.Next()), new CommitChange.DeleteState(deleted), true),
            (CommitCondition.StateAbsent(deleted), new CommitChange.PutState(deleted, Utf8("y")), true),
            (CommitCondition.NoStream(refused), new CommitChange.PutState(broken, Utf8("z")), false),
            (CommitCondition.NoStream(refused), new CommitChange.Append(refused, Fields("1")), true),
        ];

        var results = await Store.CommitAsync(
            [.. steps.Select(step => new Commit { Conditions = [step.Condition], Changes = [step.Change] })]);

        Assert.Equal(steps.Select(step => step.IsApplied), results.Select(result => result.IsApplied));
        Assert.Equal(["0", "2"], await ValuesAsync(stream));
        Assert.Equal(["2"], await ValuesAsync(StreamNames.Again(stream, "g")));
        Assert.Equal(["1", "3"], await ValuesAsync(made));
        Assert.Equal("x", await TextAsync(key));
        Assert.Equal("y", await TextAsync(deleted));
    }

    [Fact]
    public async Task CommitAsync_of_a_list_forgets_what_a_refused_commit_would_have_done()
    {
        string stream = NewStream();
        StateKey key = NewState(), broken = NewState();
        await AppendAsync(StreamNames.State(broken));

        var results = await Store.CommitAsync(
        [
            Change(
                new CommitChange.Append(stream, Fields("refused"), new EntryId(9, 0)),
                new CommitChange.PutState(key, Utf8("refused")),
                new CommitChange.DeleteState(broken)),
            new()
            {
                Conditions = [CommitCondition.NoStream(stream), CommitCondition.StateAbsent(key)],
                Changes = [new CommitChange.Append(stream, Fields("applied"), new EntryId(5, 0))],
            },
        ]);

        Assert.Equal([StreamErrorCode.WrongType, null], results.Select(result => result.Failure?.Code));
        Assert.True(results[1].IsApplied);
        Assert.Equal(["applied"], await ValuesAsync(stream));
        Assert.Null(await Store.GetStateAsync(key));
    }

    [Fact]
    public async Task CommitAsync_of_one_commit_throws_what_the_store_refused()
    {
        var key = NewState();
        await AppendAsync(StreamNames.State(key));

        await FailsAsync(StreamErrorCode.WrongType, () => PutAsync(key));
    }

    [Fact]
    public async Task Commit_of_many_writers_with_an_expected_id_lets_one_of_them_win_each_time()
    {
        const int writers = 4, rounds = 20;
        var stream = NewStream();
        await AppendAsync(stream);
        var applied = 0;
        for (var round = 0; round < rounds; round++)
        {
            var last = (await Store.GetStreamInfoAsync(stream))!.LastGeneratedId;
            var commits = Enumerable.Range(0, writers).Select(writer => new Commit
            {
                Conditions = [CommitCondition.LastIdIs(stream, last)],
                Changes = [new CommitChange.Append(stream, Fields($"{round}/{writer}"))],
            });
            var results = await Task.WhenAll(commits.Select(commit => Task.Run(() => Store.CommitAsync(commit).AsTask())));
            applied += results.Count(result => result.IsApplied);
        }

        Assert.Equal(rounds, applied);
        Assert.Equal(rounds + 1, (await RangeAsync(stream)).Count);
    }
}
