using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Retention;

/// <summary>Dead letters and the notes about them are streams that groups may read.</summary>
public abstract partial class RetentionContract
{
    private const string Readers = "alerts";

    private string Letters => StreamNames.DeadLetters(_stream, Group);

    /// <summary>They were dropped before the group that reads them had come to them, as if nobody did.</summary>
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Dead_letters_that_a_group_has_not_settled_stay(bool byAge)
    {
        var ids = await AppendLettersAsync(10);
        await ReadAsync(Readers, 6, settled: 3, Letters);
        var retention = new StreamRetention { DeadLetters = byAge ? new() { MaxAge = TimeSpan.Zero } : new() { MaxCount = 0 } };

        var dry = await Retention.ApplyAsync(_stream, retention, dryRun: true);
        var result = await Retention.ApplyAsync(_stream, retention);

        Assert.Equal((3L, 3L, 0L), (dry.DeadLetters, result.DeadLetters, result.Entries));
        var letters = Assert.Single(result.DeadLetterStreams);
        Assert.Equal((Letters, 3L, Readers), (letters.Stream, letters.Entries, letters.HeldBackBy));
        Assert.Equal(ids[3..], await IdsAsync(Letters));

        await Store.AckAsync(Letters, Readers, ids);
        Assert.Equal(3, (await Retention.ApplyAsync(_stream, retention)).DeadLetters);
        Assert.Equal(ids[6..], await IdsAsync(Letters));

        retention.KeepUnsettled = false;
        Assert.Equal(4, (await Retention.ApplyAsync(_stream, retention)).DeadLetters);
        Assert.Empty(await IdsAsync(Letters));
    }

    /// <summary>The stream was trimmed after its letters: not at all where these failed, and else by what its groups had needed a while before.</summary>
    [Fact]
    public async Task Dead_letters_that_cannot_be_looked_at_keep_nothing_of_the_stream()
    {
        await AppendAsync(10);
        await AppendLettersAsync(1);
        await ReadAsync(Group, 10, settled: 10);
        var store = FaultyStore.Wrap(Store, (_, arguments) => Letters.Equals(arguments[0]) ? FaultyStore.Fault.Before : FaultyStore.Fault.None);
        var retention = new StreamRetention { MaxCount = 4, DeadLetters = new() { MaxCount = 0 } };

        await Assert.ThrowsAsync<StreamException>(async () => await new Millrace.Retention(store, _time).ApplyAsync(_stream, retention));

        Assert.Equal(4, (await IdsAsync(_stream)).Count);
    }

    [Fact]
    public async Task Notes_about_dead_letters_that_a_group_has_not_settled_stay()
    {
        var notes = StreamNames.DeadLetterAudit(_stream, Group);
        await AppendLettersAsync(2);
        var ids = await AppendAsync(10, notes);
        _time.Advance(TimeSpan.FromSeconds(1));
        await ReadAsync(Readers, 6, settled: 3, notes);

        var result = await Retention.ApplyAsync(_stream, new() { DeadLetters = new() { AuditMaxAge = TimeSpan.Zero } });

        Assert.Equal((0L, notes, Readers), (result.DeadLetters, result.DeadLetterStreams[0].Stream, result.DeadLetterStreams[0].HeldBackBy));
        Assert.Equal((2, 7), ((await IdsAsync(Letters)).Count, (await IdsAsync(notes)).Count));
        Assert.Equal(ids[3..], await IdsAsync(notes));
    }

    [Theory]
    [InlineData(AbandonedGroupPolicy.Report)]
    [InlineData(AbandonedGroupPolicy.Ignore)]
    [InlineData(AbandonedGroupPolicy.Delete)]
    public async Task Group_of_dead_letters_that_is_abandoned_is_treated_as_its_policy_says(AbandonedGroupPolicy policy)
    {
        await AppendLettersAsync(10);
        await ReadAsync(Readers, 6, settled: 3, Letters);
        var retention = new StreamRetention { AbandonedGroups = policy, DeadLetters = new() { MaxCount = 1 } };
        Assert.Equal(3, (await Retention.ApplyAsync(_stream, retention)).DeadLetters);

        await Store.CommitAsync(new Commit { Changes = [new CommitChange.DeleteState(new(Letters, $"millrace/still/{Readers}"))] });
        var result = await Retention.ApplyAsync(_stream, retention);

        Assert.Equal([Readers], Assert.Single(result.DeadLetterStreams).AbandonedGroups);
        Assert.Equal(policy == AbandonedGroupPolicy.Report ? 0 : 6, result.DeadLetters);
        Assert.Equal(policy != AbandonedGroupPolicy.Delete, (await Store.GetGroupsAsync(Letters)).Count == 1);
    }

    /// <summary>Nobody would look for what holds dead letters back where it says nothing.</summary>
    [Fact]
    public async Task Host_tells_of_a_group_of_dead_letters_that_is_abandoned()
    {
        await AppendLettersAsync(1);
        await ReadAsync(Readers, 1, settled: 0, Letters);
        var retention = new StreamRetention { DeadLetters = new() { MaxCount = 1 } };
        await Retention.ApplyAsync(_stream, retention);
        await Store.CommitAsync(new Commit { Changes = [new CommitChange.DeleteState(new(Letters, $"millrace/still/{Readers}"))] });
        using var log = new EventLog();

        await using var host = await ConsumerHost.StartAsync(
            m => m.AddRetention(_stream, policy => policy.DeadLetters = retention.DeadLetters), Store, log: log);

        await Eventually.TrueAsync("it is told", () => new(log.Events.Contains(EventIds.GroupAbandoned)));
    }

    /// <summary>A group of the stream, and its letters: one a day up to now, the first the oldest.</summary>
    private async Task<List<EntryId>> AppendLettersAsync(int count)
    {
        await Store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
        var ids = await AppendAsync(count, Letters);
        _time.Advance(TimeSpan.FromSeconds(1));
        return ids;
    }
}
