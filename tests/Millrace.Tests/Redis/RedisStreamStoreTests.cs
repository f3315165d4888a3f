using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Redis;

/// <summary>What only this store has: two protocols, scripts that can be flushed, foreign keys, and the way out to Redis itself.</summary>
public sealed class RedisStreamStoreTests(SharedRedis redis)
{
    private readonly string _stream = Guid.NewGuid().ToString("N")[..12];

    [Theory]
    [InlineData(2)]
    [InlineData(3)]
    public async Task Store_reads_every_kind_of_reply_in_both_protocols(int protocol)
    {
        // Without HELLO there is no RESP3.
        await using var server = await RedisServer.StartAsync(protocol == 2 ? ["--rename-command", "HELLO", ""] : []);
        await using var store = new RedisStreamStore(new() { Host = "127.0.0.1", Port = server.Port });
        await store.CreateGroupAsync("s", "g", GroupStart.Beginning);
        var moment = TimeSpan.FromMilliseconds(1);
        Assert.Empty(await store.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = ["s"], Block = moment }));
        var id = await store.AppendAsync("s", EntryFields.Create(("name", "value")));

        Assert.Equal(id, Assert.Single(await store.RangeAsync("s", new())).Id);
        Assert.Equal(id, Assert.Single(Assert.Single(await store.ReadAsync([new("s", default)], 1, TimeSpan.Zero)).Entries).Id);
        var batch = Assert.Single(await store.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = ["s"] }));
        Assert.Equal("name=value", Assert.Single(batch.Entries).Fields.ToString());
        Assert.Equal("c", Assert.Single(await store.PendingAsync("s", "g", new())).Consumer);
        Assert.Equal(1, (await store.PendingSummaryAsync("s", "g")).CountByConsumer["c"]);
        Assert.Equal(id, (await store.GetStreamInfoAsync("s"))!.LastEntry!.Value.Id);
        Assert.Equal(id, Assert.Single(await store.GetGroupsAsync("s")).LastDeliveredId);
        Assert.Equal(1, Assert.Single(await store.GetConsumersAsync("s", "g")).PendingCount);
        var claim = await store.ClaimAsync("s", "g", new() { Consumer = "d", Ids = [id], MinIdleTime = TimeSpan.Zero });
        Assert.Equal(2, Assert.Single(claim.Entries).DeliveryCount);
        Assert.Single(await store.ReleaseAsync("s", "g", "d", [new(id, 2)]));
    }

    [Fact]
    public async Task Scripts_that_were_flushed_are_sent_again()
    {
        await using var server = await RedisServer.StartAsync();
        await using var store = new RedisStreamStore(new() { Host = "127.0.0.1", Port = server.Port });
        await store.OpenAsync();
        var append = new CommitChange.Append("s", EntryFields.Create(("v", "x")));

        await server.CliAsync("SCRIPT", "FLUSH");
        Assert.True((await store.CommitAsync(new Commit { Changes = [append] })).IsApplied);
        await server.CliAsync("SCRIPT", "FLUSH");
        Assert.True(await store.DeleteStreamAsync("s"));
        await server.CliAsync("SCRIPT", "FLUSH");
        var many = await store.CommitAsync([.. Enumerable.Repeat(new Commit { Changes = [append] }, 1_500)]);

        Assert.All(many, result => Assert.True(result.IsApplied));
        Assert.Equal(1_500, (await store.GetStreamInfoAsync("s"))!.Length);
    }

    [Fact]
    public async Task Deleted_or_replaced_stream_ends_a_blocked_group_read_with_the_reason()
    {
        await using var server = await RedisServer.StartAsync();
        await using var store = new RedisStreamStore(new() { Host = "127.0.0.1", Port = server.Port });
        async Task<StreamErrorCode> EndedByAsync(params string[] command)
        {
            await store.CreateGroupAsync("s", "g", GroupStart.Beginning);
            var patience = TimeSpan.FromSeconds(30);
            var reading = store.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = ["s"], Block = patience }).AsTask();
            await Eventually.TrueAsync("the reader waits", async () =>
                (await store.ExecuteAsync(["INFO", "clients"])).Text.Contains("blocked_clients:1", StringComparison.Ordinal));
            await server.CliAsync(command);
            return (await Assert.ThrowsAsync<StreamException>(() => reading)).Code;
        }

        Assert.Equal(StreamErrorCode.NoGroup, await EndedByAsync("DEL", "s"));
        Assert.Equal(StreamErrorCode.NoGroup, await EndedByAsync("XGROUP", "DESTROY", "s", "g"));
        Assert.Equal(StreamErrorCode.WrongType, await EndedByAsync("SET", "s", "text"));
    }

    [Fact]
    public async Task Append_to_a_stream_whose_ids_are_used_up_says_so()
    {
        await using var store = await OpenAsync();
        var fields = EntryFields.Create(("v", "x"));
        await store.CommitAsync(new Commit { Changes = [new CommitChange.Append(_stream, fields, EntryId.Max)] });

        var one = await Assert.ThrowsAsync<StreamException>(async () => await store.AppendAsync(_stream, fields));
        var many = await Assert.ThrowsAsync<StreamException>(async () => await store.AppendManyAsync(_stream, [fields]));
        var commit = Assert.Single(await store.CommitAsync([new() { Changes = [new CommitChange.Append(_stream, fields)] }]));

        Assert.Equal((StreamErrorCode.IdNotIncreasing, StreamErrorCode.IdNotIncreasing), (one.Code, many.Code));
        Assert.Equal(StreamErrorCode.IdNotIncreasing, commit.Failure?.Code);
    }

    [Fact]
    public async Task State_document_is_readable_with_redis_cli_and_other_strings_are_none()
    {
        await using var store = await OpenAsync();
        var key = new StateKey(_stream, "d");
        await store.CommitAsync(new Commit { Changes = [new CommitChange.PutState(key, "payload"u8.ToArray(), TimeSpan.FromHours(1))] });
        var server = await redis.StartedAsync();

        var document = await store.GetStateAsync(key);
        Assert.Equal($"{document!.Version}\npayload", await server.CliAsync("GET", $"{{{_stream}}}:state:d"));
        Assert.InRange(long.Parse(await server.CliAsync("PTTL", $"{{{_stream}}}:state:d"), null), 1, 3_600_000);

        await server.CliAsync("SET", $"{{{_stream}}}:state:d", "text");
        var refusal = await Assert.ThrowsAsync<StreamException>(async () => await store.GetStateAsync(key));
        Assert.Equal(StreamErrorCode.WrongType, refusal.Code);
    }

    [Fact]
    public async Task ExecuteAsync_sends_any_command_and_maps_errors()
    {
        await using var store = await OpenAsync();

        await store.ExecuteAsync(["XADD", _stream, "1-1", "v", "x"]);
        var length = await store.ExecuteAsync(["XLEN"u8.ToArray(), System.Text.Encoding.UTF8.GetBytes(_stream)]);
        var refusal = await Assert.ThrowsAsync<StreamException>(async () => await store.ExecuteAsync(["GET", _stream]));

        Assert.Equal(1, length.Integer);
        Assert.Equal(StreamErrorCode.WrongType, refusal.Code);
    }

    [Fact]
    public async Task PendingSummary_of_consumers_whose_names_are_no_text_counts_them_together()
    {
        await using var store = await OpenAsync();
        var stream = System.Text.Encoding.UTF8.GetBytes(_stream);
        await store.CreateGroupAsync(_stream, "g", GroupStart.Beginning);
        await store.AppendManyAsync(_stream, [EntryFields.Create(("v", "1")), EntryFields.Create(("v", "2"))]);
        foreach (var consumer in (byte[])[0xFE, 0xFF])
        {
            await store.ExecuteAsync(
            [
                "XREADGROUP"u8.ToArray(), "GROUP"u8.ToArray(), "g"u8.ToArray(), new[] { consumer }, "COUNT"u8.ToArray(), "1"u8.ToArray(),
                "STREAMS"u8.ToArray(), stream, ">"u8.ToArray(),
            ]);
        }

        var summary = await store.PendingSummaryAsync(_stream, "g");

        Assert.Equal(2, Assert.Single(summary.CountByConsumer).Value);
    }

    [Fact]
    public async Task Release_of_a_foreign_entry_with_too_many_fields_is_refused_and_spares_its_neighbours()
    {
        await using var store = await OpenAsync();
        await store.ExecuteAsync(
            ["XADD", _stream, "*", .. Enumerable.Range(0, 4_100).SelectMany(i => (string[])[$"n{i}", $"v{i}"])]);
        await store.CreateGroupAsync(_stream, "g", GroupStart.Beginning);
        var batch = Assert.Single(await store.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = [_stream] }));
        var entry = Assert.Single(batch.Entries);
        var append = new CommitChange.Append($"{{{_stream}}}:other", EntryFields.Create(("v", "x")));
        var release = new CommitChange.Release(_stream, "g", new(entry.Id, entry.DeliveryCount));

        var results = await store.CommitAsync(
            [new() { Changes = [append] }, new() { Changes = [append, release] }, new() { Changes = [append] }]);

        Assert.Equal([true, false, true], results.Select(result => result.IsApplied));
        Assert.Equal(StreamErrorCode.LimitExceeded, results[1].Failure?.Code);
        Assert.Equal(2, (await store.GetStreamInfoAsync(append.Stream))!.Length);
        Assert.Null(await store.GetStreamInfoAsync(StreamNames.Again(_stream, "g")));
        Assert.Single(await store.PendingAsync(_stream, "g", new()));
    }

    [Fact]
    public async Task Group_read_without_a_wait_cancelled_on_its_way_returns_what_it_was_given()
    {
        await using var server = await RedisServer.StartAsync();
        await using var store = new RedisStreamStore(new() { Host = "127.0.0.1", Port = server.Port });
        await store.CreateGroupAsync("s", "g", GroupStart.Beginning);
        var id = await store.AppendAsync("s", EntryFields.Create(("v", "x")));
        using var cancellation = new CancellationTokenSource();

        // The server takes the read, and answers it only after the cancellation.
        await server.CliAsync("CLIENT", "PAUSE", "30000", "WRITE");
        var reading = store.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = ["s"] }, cancellation.Token).AsTask();
        await Eventually.TrueAsync("the read waits", async () =>
            (await server.CliAsync("CLIENT", "LIST")).Contains(" cmd=xreadgroup ", StringComparison.Ordinal));
        await cancellation.CancelAsync();
        await server.CliAsync("CLIENT", "UNPAUSE");

        Assert.Equal(id, Assert.Single(Assert.Single(await reading).Entries).Id);
    }

    private async Task<RedisStreamStore> OpenAsync() => new(new() { Host = "127.0.0.1", Port = (await redis.StartedAsync()).Port });
}
