using Microsoft.Extensions.DependencyInjection;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Retention;

/// <summary>What becomes of groups nobody reads any more when the policy is to delete them.</summary>
public abstract partial class RetentionContract
{
    [Fact]
    public async Task Abandoned_group_leaves_neither_retries_nor_parked_keys_nor_notes_behind()
    {
        foreach (var orderedBy in new[] { null, nameof(OrderCreated.OrderId) })
        {
            await using var host = await ConsumerHost.StartAsync(
                m => m.AddConsumer<OrderCreated>(_stream, Group, static (_, _, _) => throw new InvalidOperationException("not now"), options =>
                {
                    (options.OrderedBy, options.RateLimit) = (orderedBy, 1_000);
                    (options.RetryBaseDelay, options.RetryMaxDelay, options.MaxAttempts) = (TimeSpan.FromDays(1), TimeSpan.FromDays(1), 10);
                }),
                Store);
            await host.Publisher.PublishAsync(_stream, new OrderCreated("o", 1));
            await Eventually.TrueAsync("a retry waits", async () => orderedBy is null
                ? (await Store.GetScheduleAsync(Again)).Count == 1
                : await new ParkedKeys(Store).Of(_stream, Group).FindAsync("o") is not null);
            await host.StopAsync();
            Assert.NotEmpty(await KeptAsync());

            await Retention.ApplyAsync(_stream, Deleting);
            await PassAsync(Group);
            var result = await Retention.ApplyAsync(_stream, Deleting);

            Assert.Equal([Group], result.AbandonedGroups);
            Assert.Empty(await KeptAsync());
        }
    }

    [Fact]
    public async Task Group_stays_for_a_process_whose_clock_is_ahead()
    {
        await Store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
        await Retention.ApplyAsync(_stream, Deleting);
        _time.Advance(TimeSpan.FromDays(8));

        var result = await Retention.ApplyAsync(_stream, Deleting);

        Assert.Empty(result.AbandonedGroups);
        Assert.Single(await Store.GetGroupsAsync(_stream));
    }

    [Fact]
    public async Task Dry_run_notes_nothing_of_groups_that_stand_still()
    {
        await Store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
        await Retention.ApplyAsync(_stream, Deleting);

        await Retention.ApplyAsync(_stream, new() { AbandonedAfter = TimeSpan.FromDays(30) }, dryRun: true);
        await PassAsync(Group);

        Assert.Equal([Group], (await Retention.ApplyAsync(_stream, Deleting, dryRun: true)).AbandonedGroups);
        Assert.Single(await Store.GetGroupsAsync(_stream));
    }

    [Theory]
    [InlineData("reads")]
    [InlineData("reads a retry")]
    [InlineData("says that it lives")]
    [InlineData("appears")]
    public async Task Group_that_somebody_reads_again_while_it_is_deleted_stays(string comeback)
    {
        await AppendAsync(10);
        await ReadAsync(Group, 6, settled: 3);
        await Store.CreateGroupAsync(Again, Group, GroupStart.Beginning);
        await Store.AppendAsync(Again, EntryFields.Create(("type", "x")));
        var isBack = false;
        var store = FaultyStore.Wrap(Store, (member, arguments) =>
        {
            if (member == nameof(IStreamStore.CommitAsync) && Commits(arguments).Any(change => change is CommitChange.DestroyGroup))
            {
                isBack = true;
                ComeBackAsync(comeback).GetAwaiter().GetResult();
            }

            return FaultyStore.Fault.None;
        });
        var retention = new Millrace.Retention(store, _time);
        await retention.ApplyAsync(_stream, Deleting);
        await PassAsync(Group);

        var result = await retention.ApplyAsync(_stream, Deleting);

        Assert.True(isBack);
        Assert.Equal((Group, 0), (result.HeldBackBy, result.AbandonedGroups.Count));
        Assert.True((await Store.PendingSummaryAsync(_stream, Group)).Count >= 3);
        Assert.Single(await Store.RangeAsync(Again, new()));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Group_that_an_operator_redrove_to_begins_its_time_anew(bool hasPrivateStream)
    {
        await AppendAsync(10);
        await ReadAsync(Group, 6, settled: 3);
        if (hasPrivateStream)
            await RedriveAsync("first");
        await Retention.ApplyAsync(_stream, Deleting);
        await RedriveAsync("second");
        await PassAsync(Group);

        Assert.Empty((await Retention.ApplyAsync(_stream, Deleting)).AbandonedGroups);
        Assert.Equal(hasPrivateStream ? 2 : 1, (await Store.RangeAsync(Again, new())).Count);

        await PassAsync(Group);
        Assert.Equal([Group], (await Retention.ApplyAsync(_stream, Deleting)).AbandonedGroups);
    }

    [Theory]
    [InlineData(true, nameof(IStreamStore.CommitAsync))]
    [InlineData(false, nameof(IStreamStore.CommitAsync))]
    [InlineData(true, nameof(IStreamStore.GetGroupsAsync))]
    [InlineData(false, nameof(IStreamStore.GetGroupsAsync))]
    public async Task Letter_that_is_redriven_while_the_group_is_deleted_stays(bool hasPrivateStream, string call)
    {
        await Store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
        if (hasPrivateStream)
            await RedriveAsync("first");
        await Retention.ApplyAsync(_stream, Deleting);
        await PassAsync(Group);
        var isRedriven = false;
        var store = FaultyStore.Wrap(Store, (member, arguments) =>
        {
            var isMoment = member == call && (call == nameof(IStreamStore.CommitAsync)
                ? Commits(arguments).Any(change => change is CommitChange.DestroyGroup)
                : (string)arguments[0]! == Again);
            if (isMoment && !isRedriven)
            {
                isRedriven = true;
                RedriveAsync("second").GetAwaiter().GetResult();
            }

            return FaultyStore.Fault.None;
        });

        var result = await new Millrace.Retention(store, _time).ApplyAsync(_stream, Deleting);

        Assert.True(isRedriven);
        Assert.Empty(result.AbandonedGroups);
        Assert.Single(await Store.GetGroupsAsync(_stream));
        Assert.Equal(hasPrivateStream ? 2 : 1, (await Store.RangeAsync(Again, new())).Count);
    }

    /// <summary>What the version before wrote: nothing of the private stream.</summary>
    [Fact]
    public async Task Note_of_an_older_version_is_read_and_groups_with_a_private_stream_begin_their_time_anew()
    {
        await Store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
        await Store.CreateGroupAsync(_stream, "plain", GroupStart.Beginning);
        await RedriveAsync("first");
        var stood = """{"lastDelivered":"0-0","pending":0,"abandonedAfter":"7.00:00:00"}""";
        var note = System.Text.Encoding.UTF8.GetBytes($$"""{"{{Group}}":{{stood}},"plain":{{stood}}}""");
        await Store.CommitAsync(new Commit { Changes = [new CommitChange.PutState(new(_stream, "millrace/still"), note)] });

        Assert.Equal(["plain"], (await Retention.ApplyAsync(_stream, Deleting)).AbandonedGroups);
        await PassAsync(Group);
        Assert.Equal([Group], (await Retention.ApplyAsync(_stream, Deleting)).AbandonedGroups);
    }

    [Fact]
    public async Task Group_that_is_made_again_after_it_was_deleted_as_abandoned_has_all_of_its_time()
    {
        await Store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
        await Retention.ApplyAsync(_stream, Deleting);
        await PassAsync(Group);
        Assert.Equal([Group], (await Retention.ApplyAsync(_stream, Deleting)).AbandonedGroups);

        await Store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);

        Assert.Empty((await Retention.ApplyAsync(_stream, Deleting)).AbandonedGroups);
        Assert.Single(await Store.GetGroupsAsync(_stream));
        await PassAsync(Group);
        Assert.Equal([Group], (await Retention.ApplyAsync(_stream, Deleting)).AbandonedGroups);
    }

    /// <summary>Back after a long time, under another name: nothing that is noted of the group says that it is read.</summary>
    [Theory]
    [InlineData(null)]
    [InlineData(nameof(OrderCreated.OrderId))]
    public async Task Group_whose_consumer_starts_is_not_deleted_before_its_first_read(string? orderedBy)
    {
        await AbandonAsync();
        RetentionResult? result = null;
        var store = FaultyStore.Wrap(Store, member =>
        {
            if (member == nameof(IStreamStore.ReadGroupAsync))
                result ??= Retention.ApplyAsync(_stream, Deleting).AsTask().GetAwaiter().GetResult();
            return FaultyStore.Fault.None;
        });

        await using var host = await StartAsync(store, orderedBy);

        await Eventually.TrueAsync("it reads", () => new(result is not null));
        Assert.Empty(result!.AbandonedGroups);
        Assert.Equal(1, (await Store.GetScheduleAsync(Again)).Count);
    }

    [Theory]
    [InlineData(AbandonedGroupPolicy.Report)]
    [InlineData(AbandonedGroupPolicy.Delete)]
    public async Task Group_is_not_abandoned_for_a_process_that_reads_it_before_its_consumer_was_heard_of(AbandonedGroupPolicy policy)
    {
        await AbandonAsync();
        var store = FaultyStore.Wrap(Store, (member, arguments) =>
            member == nameof(IStreamStore.CommitAsync) && Commits(arguments).Any(change => change is CommitChange.PutState put && put.Key == PresenceOf("new"))
                ? FaultyStore.Fault.Before
                : FaultyStore.Fault.None);
        await using var host = await StartAsync(store);

        var result = await host.Host.Services.GetRequiredService<Millrace.Retention>().ApplyAsync(_stream, new() { AbandonedGroups = policy });

        Assert.Empty(result.AbandonedGroups);
        Assert.Equal(1, (await Store.GetScheduleAsync(Again)).Count);
    }

    /// <summary>A dead letter of the group, which an operator sends back to it.</summary>
    private async Task RedriveAsync(string letter)
    {
        var id = await Store.AppendAsync(StreamNames.DeadLetters(_stream, Group), EntryFields.Create(("type", "x"), ("data", letter)));
        var result = await new Millrace.DeadLetters(Store, _time).Of(_stream, Group).RedriveAsync(id, new() { By = "operator" });
        Assert.Equal(RedriveOutcome.Redriven, result.Outcome);
    }

    /// <summary>A group with a retry that waits, and nobody to read it for as long as it takes.</summary>
    private async Task AbandonAsync()
    {
        await Store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
        await Store.CreateGroupAsync(Again, Group, GroupStart.Beginning);
        await Store.CommitAsync(new Commit { Changes = [new CommitChange.Schedule(Again, EntryFields.Create(("type", "x")), TimeSpan.FromDays(1))] });
        await Retention.ApplyAsync(_stream, Deleting);
        await PassAsync(Group);
    }

    private Task<ConsumerHost> StartAsync(IStreamStore store, string? orderedBy = null) => ConsumerHost.StartAsync(
        m => m.AddConsumer<OrderCreated>(_stream, Group, static (_, _, _) => Task.CompletedTask, options => options.OrderedBy = orderedBy),
        store, _time, instance: "new");

    private static StreamRetention Deleting => new() { MaxCount = 0, AbandonedGroups = AbandonedGroupPolicy.Delete };

    private StateKey PresenceOf(string consumer) => new(_stream, $"millrace/consumer/{Group}/{consumer}");

    private static IEnumerable<CommitChange> Commits(object?[] arguments) =>
        ((IReadOnlyList<Commit>)arguments[0]!).SelectMany(static commit => commit.Changes);

    private async Task ComeBackAsync(string comeback)
    {
        if (comeback == "says that it lives")
            await Store.CommitAsync(new Commit { Changes = [new CommitChange.PutState(PresenceOf("c"), Document())] });
        else if (comeback == "appears")
            await Store.CreateConsumerAsync(_stream, Group, "new");
        else
            await Store.ReadGroupAsync(new() { Group = Group, Consumer = "c", Streams = [comeback == "reads" ? _stream : Again], Count = 1 });
    }

    /// <summary>What is in the store for the group.</summary>
    private async Task<List<string>> KeptAsync()
    {
        List<string> kept = [];
        foreach (var stream in new[] { _stream, Again })
            kept.AddRange((await Store.GetGroupsAsync(stream)).Select(group => $"group of {stream}"));
        foreach (var stream in new[] { Again, StreamNames.Order(_stream, Group) })
        {
            if (await Store.GetStreamInfoAsync(stream) is not null)
                kept.Add(stream);
        }

        if ((await Store.GetScheduleAsync(Again)).Count > 0)
            kept.Add("schedule");
        string[] documents =
        [
            $"millrace/ledger/{Group}", $"millrace/reader/{Group}", $"millrace/pulse/{Group}", $"rate/{Group}", $"rate/{Group}/taken",
            $"millrace/parked/{Group}/{Convert.ToHexStringLower(System.Security.Cryptography.SHA256.HashData("o"u8).AsSpan(0, 16))}",
        ];
        var found = await Store.GetStatesAsync([.. documents.Select(name => new StateKey(_stream, name))]);
        return [.. kept, .. documents.Where((_, i) => found[i] is not null)];
    }
}
