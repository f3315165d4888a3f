using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Redis;

/// <summary>At maxmemory consumers must be able to go on settling, and nothing may grow.</summary>
public sealed class CommitMemoryTests : IAsyncLifetime
{
    private static readonly EntryFields Fields = EntryFields.Create(("v", "x"));

    private RedisServer _server = null!;
    private RedisStreamStore _store = null!;

    public async ValueTask InitializeAsync()
    {
        _server = await RedisServer.StartAsync();
        _store = new(new() { Host = "127.0.0.1", Port = _server.Port });
    }

    public async ValueTask DisposeAsync()
    {
        await _store.DisposeAsync();
        await _server.DisposeAsync();
    }

    [Fact]
    public async Task Append_at_maxmemory_is_refused_and_acks_and_trims_pass()
    {
        var ids = await FillAsync(3);

        var refusal = await Assert.ThrowsAsync<StreamException>(async () => await _store.AppendAsync("s", Fields));

        Assert.Equal((StreamErrorCode.OutOfMemory, true), (refusal.Code, refusal.IsTransient));
        Assert.Equal(1, await _store.AckAsync("s", "g", [ids[0]]));
        Assert.Equal(1, await _store.AckAndDeleteAsync("s", "g", [ids[1]]));
        Assert.Equal(1, await _store.TrimAsync("s", StreamTrim.ToLength(1)));
    }

    [Fact]
    public async Task Commits_at_maxmemory_pass_only_when_they_add_nothing()
    {
        var ids = await FillAsync(6);
        var put = new StateKey("s", "d");
        Commit Change(params CommitChange[] changes) => new() { Changes = changes };

        var results = await _store.CommitAsync(
        [
            Change(new CommitChange.Ack("s", "g", ids[0])),
            Change(new CommitChange.Append("s", Fields), new CommitChange.Ack("s", "g", ids[1])),
            Change(new CommitChange.AckAndDelete("s", "g", ids[2])),
            Change(new CommitChange.Schedule("s", Fields, TimeSpan.FromHours(1)), new CommitChange.Ack("s", "g", ids[3])),
            Change(new CommitChange.DeleteState(put)),
            Change(new CommitChange.DeleteState(put), new CommitChange.PutState(put, default), new CommitChange.Ack("s", "g", ids[3])),
            Change(new CommitChange.Release("s", "g", new(ids[4], 1))),
            Change(new CommitChange.Ack("s", "g", ids[5])),
        ]);

        StreamErrorCode? oom = StreamErrorCode.OutOfMemory;
        Assert.Equal([null, oom, null, oom, null, oom, oom, null], results.Select(result => result.Failure?.Code));
        var pending = await _store.PendingAsync("s", "g", new());
        Assert.Equal([ids[1], ids[3], ids[4]], pending.Select(entry => entry.Id));
        Assert.Equal(5, (await _store.RangeAsync("s", new())).Count);
        Assert.Null(await _store.GetStateAsync(put));
        Assert.Equal("s", await _server.CliAsync("KEYS", "*"));
    }

    /// <summary>Entries of stream s, pending for consumer c of group g; then the memory is used up.</summary>
    private async Task<IReadOnlyList<EntryId>> FillAsync(int count)
    {
        await _store.CreateGroupAsync("s", "g", GroupStart.Beginning);
        var ids = await _store.AppendManyAsync("s", [.. Enumerable.Repeat(Fields, count)]);
        await _store.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = ["s"] });
        await _server.CliAsync("CONFIG", "SET", "maxmemory", "1");
        return ids;
    }
}
