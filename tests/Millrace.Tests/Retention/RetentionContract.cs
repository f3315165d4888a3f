using Microsoft.Extensions.DependencyInjection;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Retention;

/// <summary>What retention drops, and what it never does, the same on every store. Ages are by a clock that a test moves.</summary>
public abstract partial class RetentionContract
{
    private const string Group = "billing";

    private readonly ManualTimeProvider _time = new();
    private readonly string _stream = $"orders-{Guid.NewGuid():N}";

    protected abstract IStreamStore Store { get; }

    private Millrace.Retention Retention => new(Store, _time);

    private string Again => StreamNames.Again(_stream, Group);

    [Fact]
    public async Task Stream_without_groups_keeps_what_is_young_enough()
    {
        var ids = await AppendAsync(5);

        var result = await Retention.ApplyAsync(_stream, new() { MaxAge = TimeSpan.FromDays(2.5) });

        Assert.Equal((2L, (string?)null, false), (result.Entries, result.HeldBackBy, result.IsDryRun));
        Assert.Equal(ids[2..], await IdsAsync());
    }

    [Fact]
    public async Task Stream_keeps_the_newest_entries_of_a_number()
    {
        var ids = await AppendAsync(1_300);

        var result = await Retention.ApplyAsync(_stream, new() { MaxCount = 7 });

        Assert.Equal((1_293L, ids[1_293]), (result.Entries, await FirstAsync()));
        Assert.True(result.KeptFrom > ids[1_292] && result.KeptFrom <= ids[1_293]);
        Assert.Equal(0, (await Retention.ApplyAsync(_stream, new() { MaxCount = 7 })).Entries);
    }

    [Fact]
    public async Task Stream_keeps_a_number_of_bytes()
    {
        var ids = await AppendAsync(100);
        var entry = (await Store.RangeAsync(_stream, new() { Count = 1 }))[0].Fields.Packed.Length;

        var result = await Retention.ApplyAsync(_stream, new() { MaxBytes = 10 * entry });

        Assert.Equal((90L, ids[90]), (result.Entries, await FirstAsync()));
    }

    [Theory]
    [InlineData(1_500, 150, 0)]     // the newest are large
    [InlineData(1_350, 150, 150)]   // those in the middle are
    [InlineData(0, 150, 1_500)]     // the oldest are
    public async Task Stream_keeps_a_number_of_bytes_however_sizes_differ(int before, int large, int behind)
    {
        await AppendAsync(before);
        await Store.AppendManyAsync(
            _stream, [.. Enumerable.Repeat(EntryFields.Create(("type", "x"), ("data", new string('x', 20_000))), large)]);
        await Store.AppendManyAsync(_stream, [.. Enumerable.Repeat(EntryFields.Create(("type", "x"), ("data", "0123456789")), behind)]);
        var sizes = (await Store.RangeAsync(_stream, new() { Count = 10_000 })).Select(entry => (long)entry.Fields.Packed.Length).ToList();
        var limit = sizes.Sum() * 2 / 3;
        var kept = sizes.Count;
        while (sizes.TakeLast(kept).Sum() > limit)
            kept--;

        var dry = await Retention.ApplyAsync(_stream, new() { MaxBytes = limit }, dryRun: true);
        var result = await Retention.ApplyAsync(_stream, new() { MaxBytes = limit });

        Assert.Equal((sizes.Count - kept, sizes.Count - kept), (dry.Entries, result.Entries));
        Assert.Equal(kept, (await IdsAsync()).Count);
    }

    [Fact]
    public async Task Sizes_are_added_up_once_and_anew_where_entries_were_deleted()
    {
        var reads = 0;
        var retention = new Millrace.Retention(FaultyStore.Wrap(Store, member =>
        {
            reads += member == nameof(IStreamStore.RangeAsync) ? 1 : 0;
            return FaultyStore.Fault.None;
        }));
        var entry = EntryFields.Create(("type", "x"), ("data", "0123456789"));
        var policy = new StreamRetention { MaxBytes = 9_000L * entry.Packed.Length };
        var ids = await AppendSomeAsync(10_000);
        Assert.Equal((1_000L, ids[1_000]), ((await retention.ApplyAsync(_stream, policy)).Entries, await FirstAsync()));
        var first = reads;

        for (var round = 1; round <= 3; round++)
        {
            ids = [.. ids, .. await AppendSomeAsync(300)];
            reads = 0;
            Assert.Equal(300, (await retention.ApplyAsync(_stream, policy)).Entries);
            Assert.Equal(ids[1_000 + (300 * round)], await FirstAsync());
        }

        Assert.True(reads < first, $"{reads} reads where nearly all is known, {first} at first.");

        await Store.DeleteAsync(_stream, ids[5_000..5_400]);
        Assert.Equal(0, (await retention.ApplyAsync(_stream, policy)).Entries);
        ids = [.. ids, .. await AppendSomeAsync(500)];
        Assert.Equal(100, (await retention.ApplyAsync(_stream, policy)).Entries);

        await Store.DeleteStreamAsync(_stream);
        ids = [.. await AppendSomeAsync(9_001)];
        Assert.Equal((1L, ids[1]), ((await retention.ApplyAsync(_stream, policy)).Entries, await FirstAsync()));

        async Task<List<EntryId>> AppendSomeAsync(int count) => [.. await Store.AppendManyAsync(_stream, [.. Enumerable.Repeat(entry, count)])];
    }

    [Fact]
    public async Task Of_several_bounds_the_strictest_counts()
    {
        var ids = await AppendAsync(10);

        await Retention.ApplyAsync(_stream, new() { MaxAge = TimeSpan.FromDays(5), MaxCount = 2, MaxBytes = 1_000_000 });

        Assert.Equal(ids[8..], await IdsAsync());
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task What_a_group_has_not_settled_stays(bool byAge)
    {
        var ids = await AppendAsync(10);
        _time.Advance(TimeSpan.FromSeconds(1));
        await ReadAsync(Group, 6, settled: 3);
        await ReadAsync("fast", 10, settled: 10);
        var retention = byAge ? new StreamRetention { MaxAge = TimeSpan.Zero } : new StreamRetention { MaxCount = 0 };

        var result = await Retention.ApplyAsync(_stream, retention);

        Assert.Equal((3L, Group), (result.Entries, result.HeldBackBy));
        Assert.Equal(ids[3..], await IdsAsync());

        await Store.AckAsync(_stream, Group, ids);
        result = await Retention.ApplyAsync(_stream, retention);
        Assert.Equal((3L, Group), (result.Entries, result.HeldBackBy));
        Assert.Equal(ids[6..], await IdsAsync());

        await ReadAsync(Group, 10, settled: 4);
        result = await Retention.ApplyAsync(_stream, retention);
        Assert.Equal((4L, (string?)null), (result.Entries, result.HeldBackBy));
        Assert.Empty(await IdsAsync());
    }

    /// <summary>To find the cut takes minutes where much is read; a group that comes meanwhile is promised what is there.</summary>
    [Theory]
    [InlineData(true, true)]
    [InlineData(true, false)]
    [InlineData(false, true)]
    [InlineData(false, false)]
    public async Task Group_that_begins_at_the_beginning_while_retention_reads_misses_nothing(bool bySize, bool isNew)
    {
        var ids = await AppendAsync(100);
        if (!isNew)
            await ReadAsync(Group, 100, settled: 100);
        var isAtBeginning = false;
        var store = FaultyStore.Wrap(Store, member =>
        {
            if (member == nameof(IStreamStore.RangeAsync) && !isAtBeginning)
            {
                isAtBeginning = true;
                BeginAsync().GetAwaiter().GetResult();
            }

            return FaultyStore.Fault.None;
        });

        var result = await new Millrace.Retention(store, _time)
            .ApplyAsync(_stream, bySize ? new() { MaxBytes = 1_000 } : new() { MaxCount = 10 });

        Assert.True(isAtBeginning);
        Assert.Equal((0L, Group), (result.Entries, result.HeldBackBy));
        var read = await Store.ReadGroupAsync(new() { Group = Group, Consumer = "c", Streams = [_stream], Count = 1_000 });
        Assert.Equal(ids, read.SelectMany(batch => batch.Entries).Select(entry => entry.Id));

        async Task BeginAsync()
        {
            if (isNew)
                await Store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
            else
                await Store.SetGroupAsync(_stream, Group, GroupStart.Beginning);
        }
    }

    [Fact]
    public async Task What_a_group_has_not_settled_goes_when_it_is_told_so()
    {
        await AppendAsync(10);
        await ReadAsync(Group, 6, settled: 3);

        var result = await Retention.ApplyAsync(_stream, new() { MaxCount = 1, KeepUnsettled = false });

        Assert.Equal((9L, (string?)null), (result.Entries, result.HeldBackBy));
    }

    [Fact]
    public async Task Dry_run_says_the_same_and_drops_nothing()
    {
        await AppendAsync(700);
        await ReadAsync(Group, 600, settled: 600);
        foreach (var _ in Enumerable.Range(0, 5))
            await Store.AppendAsync(StreamNames.DeadLetters(_stream, Group), EntryFields.Create(("type", "x")));
        var retention = new StreamRetention { MaxCount = 2, DeadLetters = new() { MaxCount = 1 } };
        var before = await IdsAsync();

        var dry = await Retention.ApplyAsync(_stream, retention, dryRun: true);
        var after = await IdsAsync();
        var real = await Retention.ApplyAsync(_stream, retention);

        Assert.Equal(before, after);
        Assert.Equal((600L, Group, 4L), (dry.Entries, dry.HeldBackBy, dry.DeadLetters));
        Assert.Equal((dry.Entries, dry.KeptFrom, dry.DeadLetters), (real.Entries, real.KeptFrom, real.DeadLetters));
        Assert.Equal(100, (await IdsAsync()).Count);
        Assert.Single(await Store.RangeAsync(StreamNames.DeadLetters(_stream, Group), new()));
    }

    [Theory]
    [InlineData(AbandonedGroupPolicy.Report)]
    [InlineData(AbandonedGroupPolicy.Ignore)]
    [InlineData(AbandonedGroupPolicy.Delete)]
    public async Task Group_that_is_abandoned_is_treated_as_its_policy_says(AbandonedGroupPolicy policy)
    {
        await AppendAsync(10);
        await ReadAsync(Group, 6, settled: 3);
        await Store.CreateGroupAsync(Again, Group, GroupStart.Beginning);
        var retention = new StreamRetention { MaxCount = 1, AbandonedGroups = policy };
        var first = await Retention.ApplyAsync(_stream, retention);
        Assert.Equal((3L, Group, 0), (first.Entries, first.HeldBackBy, first.AbandonedGroups.Count));

        await PassAsync(Group);
        var later = await Retention.ApplyAsync(_stream, retention);

        Assert.Equal([Group], later.AbandonedGroups);
        Assert.Equal(policy == AbandonedGroupPolicy.Report ? (0L, Group) : (6L, null), (later.Entries, later.HeldBackBy));
        Assert.Equal(policy != AbandonedGroupPolicy.Delete, (await Store.GetGroupsAsync(_stream)).Count == 1);
        Assert.Equal(policy != AbandonedGroupPolicy.Delete, await Store.GetStreamInfoAsync(Again) is not null);
    }

    [Fact]
    public async Task Group_with_a_live_consumer_is_never_abandoned_nor_one_that_moves()
    {
        await AppendAsync(10);
        await ReadAsync("live", 1, settled: 0);
        await ReadAsync("moving", 1, settled: 0);
        await Store.CommitAsync(new Commit
        {
            Changes = [new CommitChange.PutState(new(_stream, "millrace/consumer/live/c"), Document())],
        });
        var retention = new StreamRetention { MaxCount = 1, AbandonedGroups = AbandonedGroupPolicy.Delete };

        for (var day = 0; day < 10; day++)
        {
            Assert.Empty((await Retention.ApplyAsync(_stream, retention)).AbandonedGroups);
            await PassAsync("live", "moving");
            await ReadAsync("moving", 1, settled: 0);
        }

        Assert.Equal(10, (await IdsAsync()).Count);
    }

    [Fact]
    public async Task Stream_that_does_not_exist_is_left_alone()
    {
        var result = await Retention.ApplyAsync(_stream, new() { MaxCount = 1, MaxBytes = 1, MaxAge = TimeSpan.Zero });

        Assert.Equal(0, result.Entries);
        Assert.Null(await Store.GetStreamInfoAsync(_stream));
    }

    [Fact]
    public async Task Bounds_that_make_no_sense_are_refused()
    {
        await AppendAsync(10);
        await Store.CreateGroupAsync(_stream, Group, GroupStart.Now);
        DeadLetterRetention[] letters = [new() { MaxAge = TimeSpan.FromTicks(-1) }, new() { MaxCount = -1 }, new() { AuditMaxAge = TimeSpan.FromTicks(-1) }];
        StreamRetention[] retentions =
        [
            new() { MaxAge = TimeSpan.FromTicks(-1) }, new() { MaxCount = -1 }, new() { MaxBytes = -1 }, new() { AbandonedAfter = TimeSpan.Zero },
            .. letters.Select(bounds => new StreamRetention { MaxCount = 1, DeadLetters = bounds }),
        ];
        foreach (var retention in retentions)
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () => await Retention.ApplyAsync(_stream, retention));

        foreach (var bounds in letters)
            await Assert.ThrowsAsync<ArgumentOutOfRangeException>(async () => await new Millrace.DeadLetters(Store).Of(_stream, Group).TrimAsync(bounds));
        Assert.Equal(10, (await IdsAsync()).Count);
    }

    [Fact]
    public async Task Host_applies_its_policies_in_the_background_where_no_other_process_just_did()
    {
        var leased = $"a-{_stream}";
        await AppendAsync(10, leased);
        await AppendAsync(10);
        await Store.CommitAsync(new Commit { Changes = [new CommitChange.PutState(new(leased, "millrace/retention"), default)] });
        await using var host = await ConsumerHost.StartAsync(
            millrace => millrace
                .AddRetention(leased, retention => retention.MaxCount = 1)
                .AddRetention(_stream, retention => retention.MaxCount = 5),
            Store,
            configuration: new Dictionary<string, string?> { [$"Millrace:Retention:{_stream}:MaxCount"] = "2" });

        await Eventually.TrueAsync("the stream is trimmed", async () => (await IdsAsync()).Count == 2);

        Assert.Equal(10, (await Store.GetStreamInfoAsync(leased))!.Length);
        Assert.Equal([leased, _stream], host.Host.Services.GetRequiredService<Millrace.Retention>().Policies.Keys);
        Assert.NotNull(await Store.GetStateAsync(new(_stream, "millrace/retention")));
    }

    [Fact]
    public async Task What_was_published_before_the_first_start_is_kept_for_a_group_that_is_not_made_yet()
    {
        await AppendAsync(10);
        await ReadAsync("other", 10, settled: 10);
        var isAway = true;
        var store = FaultyStore.Wrap(Store, member =>
            member == nameof(IStreamStore.CreateGroupAsync) && Volatile.Read(ref isAway) ? FaultyStore.Fault.Before : FaultyStore.Fault.None);
        var policy = new StreamRetention { MaxCount = 1, MaxAge = TimeSpan.Zero };
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>(
                _stream, Group, static (_, _, _) => Task.CompletedTask, static options => options.Undecodable = UndecodablePolicy.Ignore),
            store);
        var retention = host.Host.Services.GetRequiredService<Millrace.Retention>();

        var before = await retention.ApplyAsync(_stream, policy);
        Assert.Equal((0L, Group), (before.Entries, before.HeldBackBy));

        Volatile.Write(ref isAway, false);
        await host.WhenSettledAsync(_stream, Group);
        var after = await retention.ApplyAsync(_stream, policy);
        Assert.Equal((10L, (string?)null), (after.Entries, after.HeldBackBy));
    }

    /// <summary>Lets all the time pass by the store's clock after which a group that stands still is abandoned.</summary>
    private async Task PassAsync(params string[] groups) => await Store.CommitAsync(new Commit
    {
        Changes = [.. groups.Select(group => new CommitChange.DeleteState(new(_stream, $"millrace/still/{group}")))],
    });

    private static byte[] Document() => """
        {"name":"c","host":"h","processId":1,"startedAt":"2026-01-01T00:00:00Z","seenAt":"2026-01-01T00:00:00Z","held":0,"running":0,"concurrency":1}
        """u8.ToArray();

    /// <summary>One entry a day up to now, the first the oldest; seconds apart where there are many.</summary>
    private async Task<List<EntryId>> AppendAsync(int count, string? stream = null)
    {
        var step = count <= 10 ? TimeSpan.FromDays(1) : TimeSpan.FromSeconds(1);
        List<EntryId> ids = [];
        foreach (var batch in Enumerable.Range(0, count).Chunk(500))
        {
            var appends = batch.Select(i => new CommitChange.Append(
                stream ?? _stream,
                EntryFields.Create(("type", "x"), ("data", "0123456789")),
                EntryId.FromTime(_time.GetUtcNow() - ((count - 1 - i) * step))));
            ids.AddRange((await Store.CommitAsync(new Commit { Changes = [.. appends] })).Ids);
        }

        return ids;
    }

    private async Task ReadAsync(string group, int count, int settled, string? stream = null)
    {
        stream ??= _stream;
        await Store.CreateGroupAsync(stream, group, GroupStart.Beginning);
        var read = await Store.ReadGroupAsync(new() { Group = group, Consumer = "c", Streams = [stream], Count = count });
        await Store.AckAsync(stream, group, [.. read.SelectMany(batch => batch.Entries).Take(settled).Select(entry => entry.Id)]);
    }

    private async Task<List<EntryId>> IdsAsync(string? stream = null) =>
        [.. (await Store.RangeAsync(stream ?? _stream, new() { Count = 10_000 })).Select(entry => entry.Id)];

    private async Task<EntryId> FirstAsync() => (await Store.RangeAsync(_stream, new() { Count = 1 }))[0].Id;
}
