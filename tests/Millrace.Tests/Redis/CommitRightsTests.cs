using System.Globalization;
using System.Text;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Redis;

/// <summary>
/// A right the user lacks must stop a commit before its first write, whichever of its commands needs it: Redis takes nothing back.
/// </summary>
public sealed class CommitRightsTests(SharedRedis redis)
{
    private readonly string _tag = Guid.NewGuid().ToString("N")[..12];

    [Theory]
    [InlineData("xack")]
    [InlineData("xadd")]
    [InlineData("xdel")]
    [InlineData("xrange")]
    [InlineData("xgroup|create")]
    [InlineData("xpending")]
    [InlineData("xinfo|stream")]
    [InlineData("set")]
    [InlineData("getrange")]
    [InlineData("del")]
    [InlineData("zadd")]
    [InlineData("zrange")]
    [InlineData("type")]
    public async Task Commit_without_the_right_to_a_command_changes_nothing(string command)
    {
        await using var admin = await OpenAsync();
        var (commit, keys) = await NewCommitAsync(admin);
        await using var user = await OpenAsync($"+@all -{command}", "~*");
        var before = await DumpAsync(admin, keys);

        var result = Assert.Single(await user.CommitAsync([commit]));

        Assert.Equal(StreamErrorCode.PermissionDenied, result.Failure?.Code);
        Assert.Contains(command.Split('|')[0], result.Failure!.Message, StringComparison.OrdinalIgnoreCase);
        Assert.Equal(before, await DumpAsync(admin, keys));
        Assert.True((await admin.CommitAsync(commit)).IsApplied);
    }

    [Theory]
    [InlineData("xgroup|destroy")]
    [InlineData("xinfo|groups")]
    [InlineData("unlink")]
    public async Task Group_is_not_destroyed_in_part_without_the_right_to_a_command(string command)
    {
        await using var admin = await OpenAsync();
        string stream = $"{{{_tag}}}:in", again = StreamNames.Again(stream, "g");
        await admin.CreateGroupAsync(stream, "g", GroupStart.Beginning);
        await admin.CreateGroupAsync(again, "g", GroupStart.Beginning);
        await using var user = await OpenAsync($"+@all -{command}", "~*");
        var destroy = new Commit
        {
            Conditions = [CommitCondition.GroupIs(stream, Assert.Single(await admin.GetGroupsAsync(stream)))],
            Changes = [new CommitChange.DestroyGroup(stream, "g")],
        };

        var result = Assert.Single(await user.CommitAsync([destroy]));

        Assert.Equal(StreamErrorCode.PermissionDenied, result.Failure?.Code);
        Assert.Single(await admin.GetGroupsAsync(stream));
        Assert.Single(await admin.GetGroupsAsync(again));
        Assert.True((await admin.CommitAsync(destroy)).IsApplied);
    }

    [Fact]
    public async Task Commit_on_a_key_out_of_reach_is_refused_and_its_neighbours_are_applied()
    {
        await using var admin = await OpenAsync();
        string mine = $"{_tag}:mine", theirs = $"{_tag}:theirs";
        await using var user = await OpenAsync("+@all", $"~{mine}");
        Commit Append(params string[] streams) =>
            new() { Changes = [.. streams.Select(stream => new CommitChange.Append(stream, EntryFields.Create(("v", "x"))))] };

        var results = await user.CommitAsync([Append(mine), Append(mine, theirs), Append(mine)]);

        Assert.Equal([null, StreamErrorCode.PermissionDenied, null], results.Select(result => result.Failure?.Code));
        Assert.Equal(2, (await admin.RangeAsync(mine, new())).Count);
        Assert.Null(await admin.GetStreamInfoAsync(theirs));
    }

    /// <summary>The script writes documents with MSET where it may, since that is one question for all of them.</summary>
    [Theory]
    [InlineData("+@all -mset")]
    [InlineData("+@all")]
    public async Task Documents_are_written_whether_or_not_many_at_once_may_be(string rights)
    {
        await using var user = await OpenAsync(rights, "~*");
        StateKey Key(int i) => new(_tag, $"document-{i}");
        Commit Put(int i, string value, TimeSpan? ttl = null) => new() { Changes = [new CommitChange.PutState(Key(i), Encoding.UTF8.GetBytes(value), ttl)] };

        var results = await user.CommitAsync([Put(1, "a"), Put(2, "b"), Put(2, "c", TimeSpan.FromHours(1)), Put(1, "d")]);

        Assert.All(results, result => Assert.True(result.IsApplied));
        var documents = await user.GetStatesAsync([Key(1), Key(2)]);
        Assert.Equal(["d", "c"], documents.Select(document => Encoding.UTF8.GetString(document!.Payload.Span)));
        var server = await redis.StartedAsync();
        Assert.InRange(long.Parse(await server.CliAsync("PTTL", StreamNames.State(Key(2))), CultureInfo.InvariantCulture), 1, 3_600_000);
        Assert.Equal("-1", (await server.CliAsync("PTTL", StreamNames.State(Key(1)))).Trim());
    }

    [Fact]
    public async Task Commit_that_schedules_is_applied_without_the_right_to_publish()
    {
        await using var user = await OpenAsync("+@all -publish -subscribe", "~*");

        var result = await user.CommitAsync(
            new Commit { Changes = [new CommitChange.Schedule(_tag, EntryFields.Create(("v", "due")), TimeSpan.FromMilliseconds(20))] });

        Assert.True(result.IsApplied);
        var batch = Assert.Single(await user.ReadAsync([new(_tag, default)], 1, TimeSpan.FromSeconds(30)));
        Assert.Equal("due", Assert.Single(batch.Entries).Fields.GetText("v"u8));
    }

    [Theory]
    [InlineData("xclaim")]
    [InlineData("xpending")]
    public async Task Claim_and_extend_without_a_right_are_refused_by_name(string command)
    {
        await using var admin = await OpenAsync();
        var id = await admin.AppendAsync(_tag, EntryFields.Create(("v", "x")));
        await admin.CreateGroupAsync(_tag, "g", GroupStart.Beginning);
        await admin.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = [_tag] });
        await using var user = await OpenAsync($"+@all -{command}", "~*");

        var extend = await Assert.ThrowsAsync<StreamException>(async () => await user.ExtendAsync(_tag, "g", "c", [new(id, 1)]));
        var claim = await Assert.ThrowsAsync<StreamException>(
            async () => await user.ClaimAsync(_tag, "g", new() { Consumer = "d", Ids = [id], MinIdleTime = TimeSpan.Zero }));

        Assert.Equal((StreamErrorCode.PermissionDenied, StreamErrorCode.PermissionDenied), (extend.Code, claim.Code));
        Assert.Contains(command, claim.Message, StringComparison.OrdinalIgnoreCase);
    }

    [Fact]
    public async Task Ack_and_delete_without_the_right_to_delete_acknowledges_nothing()
    {
        await using var admin = await OpenAsync();
        var id = await admin.AppendAsync(_tag, EntryFields.Create(("v", "x")));
        await admin.CreateGroupAsync(_tag, "g", GroupStart.Beginning);
        await admin.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = [_tag] });
        await using var user = await OpenAsync("+@all -xdel", "~*");

        var refusal = await Assert.ThrowsAsync<StreamException>(async () => await user.AckAndDeleteAsync(_tag, "g", [id]));

        Assert.Equal(StreamErrorCode.PermissionDenied, refusal.Code);
        Assert.Equal(1, (await admin.PendingSummaryAsync(_tag, "g")).Count);
    }

    /// <summary>A commit with a condition and a change of every kind, all of which apply, and the keys it touches.</summary>
    private async Task<(Commit Commit, string[] Keys)> NewCommitAsync(RedisStreamStore admin)
    {
        string stream = $"{{{_tag}}}:in", output = $"{{{_tag}}}:out", again = StreamNames.Again(stream, "g");
        StateKey put = new(stream, "put"), deleted = new(stream, "deleted");
        var fields = EntryFields.Create(("v", "x"));
        await admin.CreateGroupAsync(stream, "g", GroupStart.Beginning);
        await admin.AppendManyAsync(stream, [fields, fields, fields, fields]);
        var batch = Assert.Single(await admin.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = [stream] }));
        var held = batch.Entries.Select(entry => new HeldEntry(entry.Id, entry.DeliveryCount)).ToArray();
        CommitChange[] documents = [new CommitChange.PutState(put, default), new CommitChange.PutState(deleted, default)];
        await admin.CommitAsync(new Commit { Changes = documents });
        var version = (await admin.GetStateAsync(put))!.Version;
        var waiting = await admin.AppendAsync(output, fields);

        var commit = new Commit
        {
            Conditions =
            [
                CommitCondition.StillHeld(stream, "g", "c", held[0]),
                CommitCondition.LastIdIs(stream, held[3].Id),
                CommitCondition.StateIs(put, version),
                CommitCondition.EntryExists(stream, held[0].Id),
                CommitCondition.EntryUnread(output, waiting),
                CommitCondition.GroupIs(stream, Assert.Single(await admin.GetGroupsAsync(stream))),
            ],
            Changes =
            [
                new CommitChange.Append(output, fields),
                new CommitChange.PutState(put, default),
                new CommitChange.DeleteState(deleted),
                new CommitChange.Schedule(output, fields, TimeSpan.FromHours(1)),
                new CommitChange.Release(stream, "g", held[0]),
                new CommitChange.Release(stream, "g", held[1], TimeSpan.FromHours(1)),
                new CommitChange.Delete(stream, EntryId.Max),
                new CommitChange.AckAndDelete(stream, "g", held[2].Id),
                new CommitChange.Ack(stream, "g", held[3].Id),
                new CommitChange.DeleteConsumer(stream, "g", "c"),
            ],
        };
        return (commit,
        [
            stream, output, again, StreamNames.Schedule(output), StreamNames.Schedule(again),
            StreamNames.State(put), StreamNames.State(deleted),
        ]);
    }

    private static async Task<string[]> DumpAsync(RedisStreamStore store, string[] keys)
    {
        var dumps = new string[keys.Length];
        for (var i = 0; i < keys.Length; i++)
            dumps[i] = Convert.ToHexString((await store.ExecuteAsync(["DUMP", keys[i]])).Span);
        return dumps;
    }

    private async Task<RedisStreamStore> OpenAsync() => new(new() { Host = "127.0.0.1", Port = (await redis.StartedAsync()).Port });

    private async Task<RedisStreamStore> OpenAsync(string rights, string keys)
    {
        var server = await redis.StartedAsync();
        var user = Guid.NewGuid().ToString("N");
        await server.CliAsync(["ACL", "SETUSER", user, "on", ">secret", keys, "&*", .. rights.Split(' ')]);
        return new(new() { Host = "127.0.0.1", Port = server.Port, User = user, Password = "secret" });
    }
}
