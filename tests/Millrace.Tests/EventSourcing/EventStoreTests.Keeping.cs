using Microsoft.Extensions.DependencyInjection;
using Millrace.EventSourcing;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EventSourcing;

/// <summary>Snapshots, categories, deletion and aggregates.</summary>
public abstract partial class EventStoreTests
{
    private static readonly Decider<Points, PointsCommand> Snapshotting = Points.Decider with
    {
        Fold = Points.Fold with { Snapshots = new() { Every = 10 } },
    };

    [Fact]
    public async Task Load_begins_at_the_snapshot_and_gives_the_same_state()
    {
        for (var i = 1; i <= 25; i++)
            await Events.DecideAsync(_stream, Snapshotting, new PointsCommand.Earn(i));

        // What the snapshot covers is not needed any more.
        Assert.Equal(20, await Events.TrimToSnapshotAsync(_stream));
        Assert.Equal(0, await Events.TrimToSnapshotAsync("nothing-there"));

        Assert.Equal((new Points(325, 25), 25L), StateOf(await Events.LoadAsync(_stream, Snapshotting.Fold)));
        var failure = await Assert.ThrowsAsync<InvalidOperationException>(() => Events.LoadAsync(_stream, Points.Fold).AsTask());
        Assert.Contains("trimmed", failure.Message, StringComparison.Ordinal);
        await Assert.ThrowsAsync<InvalidOperationException>(() => Events.LoadAsync(_stream, Snapshotting.Fold, toVersion: 10).AsTask());
        await Assert.ThrowsAsync<InvalidOperationException>(() =>
            Events.LoadAsync(_stream, Snapshotting.Fold, toTime: DateTimeOffset.UnixEpoch).AsTask());
        await Events.DecideAsync(_stream, Snapshotting, new PointsCommand.Spend(325));
        Assert.Equal(0, (await Events.LoadAsync(_stream, Snapshotting.Fold)).State.Balance);
    }

    /// <summary>Its state was that of the snapshot, and the next decision was refused for ever.</summary>
    [Fact]
    public async Task Load_of_a_stream_that_is_trimmed_beyond_its_snapshot_is_refused()
    {
        for (var i = 1; i <= 15; i++)
            await Events.DecideAsync(_stream, Snapshotting, new PointsCommand.Earn(i));
        await _store!.TrimAsync(_stream, StreamTrim.ToMinId(new(13, 0)));
        await Assert.ThrowsAsync<InvalidOperationException>(() => Events.LoadAsync(_stream, Snapshotting.Fold).AsTask());

        await _store.TrimAsync(_stream, StreamTrim.ToLength(0));

        await Assert.ThrowsAsync<InvalidOperationException>(() => Events.LoadAsync(_stream, Snapshotting.Fold).AsTask());
        await Assert.ThrowsAsync<InvalidOperationException>(() => Events.LoadAsync(_stream, Points.Fold).AsTask());
    }

    /// <summary>A process that had read the older snapshot found the events after the newer one only, and did not notice what was missing.</summary>
    [Fact]
    public async Task Load_during_which_the_stream_is_trimmed_to_a_newer_snapshot_begins_again()
    {
        for (var i = 1; i <= 12; i++)
            await Events.DecideAsync(_stream, Snapshotting, new PointsCommand.Earn(i));
        var reads = 0;
        await using var host = await HostAsync(FaultyStore.Wrap(_store!, member =>
        {
            if (member == nameof(IStreamStore.RangeAsync) && Interlocked.Increment(ref reads) == 1)
                TrimAsync().GetAwaiter().GetResult();
            return FaultyStore.Fault.None;
        }));

        var loaded = await EventsOf(host).LoadAsync(_stream, Snapshotting.Fold);

        Assert.Equal((new Points(276, 23), 23L, 2), (loaded.State, loaded.Version, reads));

        async Task TrimAsync()
        {
            for (var i = 13; i <= 23; i++)
                await Events.DecideAsync(_stream, Snapshotting, new PointsCommand.Earn(i));
            await Events.TrimToSnapshotAsync(_stream);
        }
    }

    /// <summary>A slow process put its older snapshot over the newer one, to which the stream was trimmed.</summary>
    [Fact]
    public async Task Snapshot_never_goes_back()
    {
        for (var i = 1; i <= 9; i++)
            await Events.DecideAsync(_stream, Snapshotting, new PointsCommand.Earn(i));
        var commits = 0;
        await using var slow = await HostAsync(FaultyStore.Wrap(_store!, member =>
        {
            // Between its tenth event and the snapshot of it.
            if (member == nameof(IStreamStore.CommitAsync) && Interlocked.Increment(ref commits) == 2)
                OvertakeAsync().GetAwaiter().GetResult();
            return FaultyStore.Fault.None;
        }));

        await EventsOf(slow).DecideAsync(_stream, Snapshotting, new PointsCommand.Earn(10));

        // That of the eleventh event, and not of the tenth.
        Assert.Equal((2, 11L), (commits, await Events.TrimToSnapshotAsync(_stream)));
        Assert.Equal(210, (await Events.LoadAsync(_stream, Snapshotting.Fold)).State.Balance);

        async Task OvertakeAsync()
        {
            for (var i = 11; i <= 20; i++)
                await Events.DecideAsync(_stream, Snapshotting, new PointsCommand.Earn(i));
        }
    }

    [Theory]
    [InlineData("no header")]
    [InlineData("1 5-0 0\n{ broken")]
    [InlineData("1 5-0 0\nnull")]
    public async Task Snapshot_that_cannot_be_read_is_built_anew(string payload)
    {
        var key = new StateKey(_stream, "millrace/events/snapshot");
        await AppendAsync([.. Enumerable.Range(1, 9)]);
        await _store!.CommitAsync(new Commit { Changes = [new CommitChange.PutState(key, System.Text.Encoding.UTF8.GetBytes(payload))] });

        await Events.DecideAsync(_stream, Snapshotting, new PointsCommand.Earn(10));

        Assert.Equal(10, await Events.TrimToSnapshotAsync(_stream));
        Assert.Equal(55, (await Events.LoadAsync(_stream, Snapshotting.Fold)).State.Balance);
    }

    [Fact]
    public async Task Event_that_the_fold_cannot_take_is_not_recorded()
    {
        var decider = new Decider<Points, int>(
            static (_, _) => [new PointsSpent(1)], new(Points.Fold.Initial, static (_, _) => throw new NotSupportedException("no such event")));

        await Assert.ThrowsAsync<NotSupportedException>(() => Events.DecideAsync(_stream, decider, 1).AsTask());

        Assert.Equal(0, await Events.GetVersionAsync(_stream));
    }

    [Fact]
    public async Task Snapshot_of_another_shape_is_rebuilt_from_the_events()
    {
        for (var i = 1; i <= 10; i++)
            await Events.DecideAsync(_stream, Snapshotting, new PointsCommand.Earn(i));
        var doubled = new EventFold<Points>(
            Points.Fold.Initial, static (points, one) => one is PointsEarned earned ? new(points.Balance + (2 * earned.Amount), 0) : points)
        {
            Snapshots = new() { Every = 10, SchemaVersion = 2 },
        };
        var decider = new Decider<Points, PointsCommand>(Points.Decider.Decide, doubled);

        Assert.Equal(110, (await Events.LoadAsync(_stream, doubled)).State.Balance);
        await Events.DecideAsync(_stream, decider, new PointsCommand.Earn(1));

        await Events.TrimToSnapshotAsync(_stream);
        Assert.Equal((112, 11L), ((await Events.LoadAsync(_stream, doubled)).State.Balance, (await Events.LoadAsync(_stream, doubled)).Version));
    }

    [Fact]
    public async Task Snapshot_by_age_is_taken_when_the_last_one_is_old()
    {
        var time = new ManualTimeProvider();
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddMessage<PointsEarned>().AddMessage<PointsSpent>().AddEventStore(), _store, time);
        var decider = Points.Decider with { Fold = Points.Fold with { Snapshots = new() { Every = 3, MaxAge = TimeSpan.FromHours(1) } } };
        for (var i = 0; i < 4; i++)
            await EventsOf(host).DecideAsync(_stream, decider, new PointsCommand.Earn(1));
        Assert.Equal(3, await Events.TrimToSnapshotAsync(_stream));
        time.Advance(TimeSpan.FromHours(2));

        await EventsOf(host).DecideAsync(_stream, decider, new PointsCommand.Earn(1));

        Assert.Equal(2, await Events.TrimToSnapshotAsync(_stream));
        Assert.Equal((new Points(5, 5), 5L), StateOf(await EventsOf(host).LoadAsync(_stream, decider.Fold)));
    }

    /// <summary>It was measured from the last snapshot, and there never was a first one.</summary>
    [Fact]
    public async Task Snapshot_by_age_alone_is_taken_when_the_first_event_is_old()
    {
        var time = new ManualTimeProvider();
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddMessage<PointsEarned>().AddMessage<PointsSpent>().AddEventStore(), _store, time);
        var decider = Points.Decider with { Fold = Points.Fold with { Snapshots = new() { Every = int.MaxValue, MaxAge = TimeSpan.FromHours(1) } } };
        for (var i = 0; i < 3; i++)
        {
            await EventsOf(host).DecideAsync(_stream, decider, new PointsCommand.Earn(1));
            time.Advance(TimeSpan.FromMinutes(29));
        }

        Assert.Equal(0, await Events.TrimToSnapshotAsync(_stream));
        await EventsOf(host).DecideAsync(_stream, decider, new PointsCommand.Earn(1));

        Assert.Equal(4, await Events.TrimToSnapshotAsync(_stream));
        Assert.Equal((new Points(4, 4), 4L), StateOf(await EventsOf(host).LoadAsync(_stream, decider.Fold)));
    }

    [Fact]
    public async Task Snapshot_is_taken_on_request_of_a_stream_that_is_only_appended_to()
    {
        await AppendAsync(1, 2, 3);

        Assert.True(await Events.TakeSnapshotAsync(_stream, Snapshotting.Fold));
        Assert.False(await Events.TakeSnapshotAsync(_stream, Snapshotting.Fold));
        Assert.Equal(3, await Events.TrimToSnapshotAsync(_stream));
        await Events.AppendAsync(_stream, ExpectedVersion.Exactly(3), [new PointsEarned(4, "test")]);
        Assert.True(await Events.TakeSnapshotAsync(_stream, Snapshotting.Fold));
        Assert.Equal(1, await Events.TrimToSnapshotAsync(_stream));
        Assert.Equal((new Points(10, 4), 4L), StateOf(await Events.LoadAsync(_stream, Snapshotting.Fold)));

        await Events.DeleteAsync(_stream, ExpectedVersion.Any);
        Assert.False(await Events.TakeSnapshotAsync(_stream, Snapshotting.Fold));
        Assert.False(await Events.TakeSnapshotAsync("nothing-there", Snapshotting.Fold));
        await Assert.ThrowsAsync<ArgumentException>(() => Events.TakeSnapshotAsync(_stream, Points.Fold).AsTask());
    }

    [Fact]
    public async Task Append_is_made_although_its_snapshot_fails()
    {
        var commits = 0;
        await using var host = await HostAsync(FaultyStore.Wrap(_store!, member =>
            member == nameof(IStreamStore.CommitAsync) && Interlocked.Increment(ref commits) == 2 ? FaultyStore.Fault.Before : FaultyStore.Fault.None));
        var decider = Points.Decider with { Fold = Points.Fold with { Snapshots = new() { Every = 1 } } };

        var decided = await EventsOf(host).DecideAsync(_stream, decider, new PointsCommand.Earn(1));

        Assert.Equal((1L, 2), (decided.Version, commits));
        await EventsOf(host).DecideAsync(_stream, decider, new PointsCommand.Earn(1));
        Assert.Equal(2, await Events.TrimToSnapshotAsync(_stream));
        Assert.Equal(2, (await Events.LoadAsync(_stream, decider.Fold)).State.Balance);
    }

    /// <summary>A request that is repeated, as its answer was lost on the way to the client, has to read what it wrote, too.</summary>
    [Fact]
    public async Task Position_of_what_was_appended_before_is_one_at_which_the_category_has_it()
    {
        var category = $"c{Guid.NewGuid():N}";
        var commits = 0;
        await using var host = await HostAsync(
            FaultyStore.Wrap(_store!, member => member == nameof(IStreamStore.CommitAsync) && Interlocked.Increment(ref commits) == 1
                ? FaultyStore.Fault.After
                : FaultyStore.Fault.None),
            o => o.AddCategory(category));
        var options = new AppendOptions { CommandId = "c1" };

        var lost = await EventsOf(host).AppendAsync($"{category}-1", ExpectedVersion.Any, [new PointsEarned(1, "a")], options);
        await EventsOf(host).AppendAsync($"{category}-2", ExpectedVersion.Any, [new PointsEarned(2, "a")]);
        var second = await EventsOf(host).AppendAsync($"{category}-1", ExpectedVersion.Any, [new PointsEarned(1, "a")], options);
        var decided = await EventsOf(host).DecideAsync($"{category}-1", Points.Decider, new PointsCommand.Earn(1), options);

        var copies = await _store!.RangeAsync(category, new());
        Assert.Equal((AppendOutcome.Appended, AppendOutcome.Duplicate, 0), (lost.Outcome, second.Outcome, decided.Events.Count));
        Assert.Equal([copies[0].Id, copies[1].Id, copies[1].Id], [lost.Position, second.Position, decided.Position]);
    }

    [Fact]
    public async Task Category_has_every_event_of_its_streams_once_in_the_order_of_the_commits()
    {
        var category = $"c{Guid.NewGuid():N}";
        await using var host = await HostAsync(_store!, o => o.AddCategory(category));
        var events = EventsOf(host);
        await Task.WhenAll(Enumerable.Range(0, 8).Select(stream => Task.Run(async () =>
        {
            for (var i = 1; i <= 10; i++)
                await events.AppendAsync($"{category}-{stream}", ExpectedVersion.Any, [new PointsEarned(i, "a"), new PointsEarned(-i, "b")]);
        })));
        await events.AppendAsync($"{category}other-1", ExpectedVersion.Any, [new PointsSpent(1)]);

        var all = await events.ReadCategoryAsync(category).ToListAsync();

        Assert.Equal(160, all.Count);
        foreach (var stream in all.GroupBy(one => one.Stream))
        {
            var own = await events.ReadAsync(stream.Key).ToListAsync();
            Assert.Equal(own.Select(Told), stream.Select(Told));
        }

        Assert.Equal(60, await events.ReadCategoryAsync(category, all[99].EntryId).CountAsync());

        static (long, object, string) Told(RecordedEvent one) => (one.Version, one.Event, one.Headers.MessageId);
    }

    [Fact]
    public async Task Deleted_stream_keeps_a_tombstone_and_takes_nothing_more()
    {
        for (var i = 1; i <= 10; i++)
            await Events.DecideAsync(_stream, Snapshotting, new PointsCommand.Earn(i));
        Assert.Equal(AppendOutcome.Conflict, (await Events.DeleteAsync(_stream, ExpectedVersion.Exactly(9))).Outcome);

        var deleted = await Events.DeleteAsync(_stream, ExpectedVersion.Exactly(10), "asked for");
        var again = await Events.DeleteAsync(_stream, ExpectedVersion.Any);
        var append = await Events.AppendAsync(_stream, ExpectedVersion.Any, [new PointsSpent(1)]);

        Assert.Equal((AppendOutcome.Appended, 11L), (deleted.Outcome, deleted.Version));
        Assert.Equal((AppendOutcome.Deleted, 11L), (again.Outcome, again.Version));
        Assert.Equal((AppendOutcome.Deleted, 11L), (append.Outcome, append.Version));
        Assert.Equal([(11L, (object)new StreamDeleted("asked for"))], (await Events.ReadAsync(_stream).ToListAsync()).Select(one => (one.Version, one.Event)));
        var loaded = await Events.LoadAsync(_stream, Snapshotting.Fold);
        Assert.Equal((new Points(0, 0), true), (loaded.State, loaded.IsDeleted));
        await Assert.ThrowsAsync<StreamDeletedException>(() => Events.DecideAsync(_stream, Snapshotting, new PointsCommand.Earn(1)).AsTask());
    }

    [Fact]
    public async Task Deletion_that_was_cut_short_is_finished_by_the_next()
    {
        await AppendAsync(1, 2, 3);
        await using var host = await HostAsync(FaultyStore.Wrap(_store!, member =>
            member == nameof(IStreamStore.TrimAsync) ? FaultyStore.Fault.Before : FaultyStore.Fault.None));
        await Assert.ThrowsAsync<StreamException>(() => EventsOf(host).DeleteAsync(_stream, ExpectedVersion.Any).AsTask());
        Assert.Equal(4, await Events.ReadAsync(_stream).CountAsync());

        await Events.DeleteAsync(_stream, ExpectedVersion.Any);

        Assert.Equal(1, await Events.ReadAsync(_stream).CountAsync());
    }

    [Fact]
    public async Task Deletion_under_the_command_of_an_append_deletes_nothing()
    {
        await Events.AppendAsync(_stream, ExpectedVersion.Any, [new PointsEarned(1, "x"), new PointsEarned(2, "x")], new() { CommandId = "c" });

        Assert.Equal(AppendOutcome.Duplicate, (await Events.DeleteAsync(_stream, ExpectedVersion.Any, options: new() { CommandId = "c" })).Outcome);

        Assert.Equal(2, await Events.ReadAsync(_stream).CountAsync());
    }

    [Fact]
    public async Task Aggregate_is_loaded_changed_and_saved_and_a_second_save_of_old_state_conflicts()
    {
        var accounts = _host!.Host.Services.GetRequiredService<AggregateRepository<Account>>();
        var id = Guid.NewGuid().ToString("N");
        var account = await accounts.LoadAsync(id);
        var other = await accounts.LoadAsync(id);
        account.Earn(10);
        account.Spend(4);
        Assert.Throws<InvalidOperationException>(() => account.Spend(7));
        Assert.Equal((0L, 2), (account.Version, account.Raised.Count));

        Assert.Equal((AppendOutcome.Appended, 2L), await SaveAsync(account));
        account.Spend(1);
        Assert.Equal((AppendOutcome.Appended, 3L), await SaveAsync(account));
        Assert.Equal((AppendOutcome.Appended, 3L), await SaveAsync(account));
        other.Earn(1);
        Assert.Equal((AppendOutcome.Conflict, 3L), await SaveAsync(other));
        Assert.Throws<InvalidOperationException>(() => other.Earn(1));
        await Assert.ThrowsAsync<InvalidOperationException>(() => accounts.SaveAsync(other).AsTask());

        var loaded = await accounts.LoadAsync(id);
        Assert.Equal((5, 3L, id, $"points-{id}"), (loaded.Balance, loaded.Version, loaded.Id, accounts.StreamOf(id)));

        async Task<(AppendOutcome, long)> SaveAsync(Account one)
        {
            var result = await accounts.SaveAsync(one);
            return (result.Outcome, result.Version);
        }
    }
}
