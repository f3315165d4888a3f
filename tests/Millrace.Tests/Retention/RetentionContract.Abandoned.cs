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
            _time.Advance(Deleting.AbandonedAfter);
            var result = await Retention.ApplyAsync(_stream, Deleting);

            Assert.Equal([Group], result.AbandonedGroups);
            Assert.Empty(await KeptAsync());
        }
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
        _time.Advance(Deleting.AbandonedAfter);

        var result = await retention.ApplyAsync(_stream, Deleting);

        Assert.True(isBack);
        Assert.Equal((Group, 0), (result.HeldBackBy, result.AbandonedGroups.Count));
        Assert.True((await Store.PendingSummaryAsync(_stream, Group)).Count >= 3);
        Assert.Single(await Store.RangeAsync(Again, new()));
    }

    private static StreamRetention Deleting => new() { MaxCount = 0, AbandonedGroups = AbandonedGroupPolicy.Delete };

    private static IEnumerable<CommitChange> Commits(object?[] arguments) =>
        ((IReadOnlyList<Commit>)arguments[0]!).SelectMany(static commit => commit.Changes);

    private async Task ComeBackAsync(string comeback)
    {
        if (comeback == "says that it lives")
            await Store.CommitAsync(new Commit { Changes = [new CommitChange.PutState(new(_stream, $"millrace/consumer/{Group}/c"), Document())] });
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
