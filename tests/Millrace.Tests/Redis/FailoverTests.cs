using System.Collections.Concurrent;
using System.Globalization;
using Microsoft.Extensions.Logging.Abstractions;
using Millrace.Redis;
using Millrace.Redis.Connections;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Redis;

/// <summary>
/// A failover behind one name, such as that of a service of Kubernetes: the old primary becomes a replica, keeps its connections and refuses every
/// write on them with READONLY, while the name, here a proxy, leads to the new one.
/// </summary>
public sealed partial class FailoverTests : IAsyncLifetime
{
    private RedisServer _old = null!;
    private RedisServer _new = null!;
    private CuttingProxy _name = null!;

    public enum Call
    {
        Append,
        AppendMany,
        CommitOfAnAppend,
        CommitOfADocument,
        GroupRead,
        BlockedGroupRead,
    }

    /// <summary>Reads that a replica answers, each on its kind of connection.</summary>
    public enum Reading
    {
        LongRange,
        Read,
        BlockedRead,
    }

    public async ValueTask InitializeAsync()
    {
        _old = await RedisServer.StartAsync("--repl-diskless-sync-delay", "0");
        _new = await RedisServer.StartAsync();
        _name = CuttingProxy.Start(_old.Port);
        await _new.CliAsync("REPLICAOF", "127.0.0.1", _old.Port.ToString(CultureInfo.InvariantCulture));
        await Eventually.TrueAsync("the replica has its copy", async () =>
            (await _old.CliAsync("INFO", "replication")).Contains("state=online", StringComparison.Ordinal));
    }

    public async ValueTask DisposeAsync()
    {
        await _name.DisposeAsync();
        await _new.DisposeAsync();
        await _old.DisposeAsync();
    }

    [Fact]
    public async Task Publishers_and_consumers_go_on_at_the_new_primary_without_a_restart()
    {
        await using var store = StoreAt(_name.Port);
        var handled = new ConcurrentDictionary<string, bool>();
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", (order, context, _) =>
            {
                handled.TryAdd(order.OrderId, true);
                context.Publish("paid", order);
                return Task.CompletedTask;
            }),
            store);
        var acknowledged = new ConcurrentQueue<string>();
        using var stop = new CancellationTokenSource();
        var publishing = PublishAsync(host.Publisher, acknowledged, stop.Token);
        await Eventually.TrueAsync("messages flow", () => new(acknowledged.Count >= 50 && !handled.IsEmpty));

        await FailOverAsync();
        _name.LeadTo(_new);
        var before = acknowledged.Count;
        await Eventually.TrueAsync("publishers are served again", () => new(acknowledged.Count >= before + 50));
        await stop.CancelAsync();
        await publishing;

        await Eventually.TrueAsync("what was acknowledged is handled", () => new(acknowledged.All(handled.ContainsKey)));
        await host.WhenSettledAsync("orders", "billing");
        var orders = await _new.CliAsync("XLEN", "orders");
        Assert.Equal(orders, await _new.CliAsync("XLEN", "paid"));
        Assert.Equal(orders, handled.Count.ToString(CultureInfo.InvariantCulture));
    }

    [Theory]
    [InlineData(Call.Append)]
    [InlineData(Call.AppendMany)]
    [InlineData(Call.CommitOfAnAppend)]
    [InlineData(Call.CommitOfADocument)]
    [InlineData(Call.GroupRead)]
    [InlineData(Call.BlockedGroupRead)]
    public async Task Call_that_the_old_primary_refuses_is_soon_served_by_the_new_one(Call call)
    {
        await using var store = StoreAt(_name.Port);
        await store.CreateGroupAsync("orders", "billing", GroupStart.Beginning);
        await MakeAsync(store, call);

        await FailOverAsync();
        var refusal = await Assert.ThrowsAsync<StreamException>(() => MakeAsync(store, call));
        _name.LeadTo(_new);

        Assert.Equal(StreamErrorCode.ReadOnly, refusal.Code);
        await Eventually.TrueAsync("the call is served", async () =>
        {
            try
            {
                await MakeAsync(store, call);
                return true;
            }
            catch (StreamException exception)
            {
                Assert.Equal(StreamErrorCode.ReadOnly, exception.Code);
                return false;
            }
        });
    }

    /// <summary>Where it must not serve what is stale, it answers scripts and reads so, and only other writes with READONLY.</summary>
    [Theory]
    [InlineData(Call.CommitOfAnAppend)]
    [InlineData(Call.CommitOfADocument)]
    public async Task Commit_that_the_old_primary_answers_with_MASTERDOWN_is_soon_served_by_the_new_one(Call call)
    {
        await using var store = StoreAt(_name.Port);
        await _old.CliAsync("CONFIG", "SET", "replica-serve-stale-data", "no");
        await MakeAsync(store, call);
        await FailOverApartAsync();

        Assert.Equal(StreamErrorCode.Busy, (await Assert.ThrowsAsync<StreamException>(() => MakeAsync(store, call))).Code);
        await WhenServedAsync(() => MakeAsync(store, call));
    }

    [Fact]
    public async Task Long_read_that_the_old_primary_answers_with_MASTERDOWN_is_soon_served_by_the_new_one()
    {
        await using var store = StoreAt(_name.Port);
        await MakeAsync(store, Call.Append);
        await Eventually.TrueAsync("the other one has it", async () => await _new.CliAsync("XLEN", "out") == "1");
        await _old.CliAsync("CONFIG", "SET", "replica-serve-stale-data", "no");
        Assert.Equal(1, await CountAsync(store, Reading.LongRange));
        await FailOverApartAsync();

        await Assert.ThrowsAsync<StreamException>(() => CountAsync(store, Reading.LongRange));
        await WhenServedAsync(() => CountAsync(store, Reading.LongRange));
    }

    [Fact]
    public async Task While_there_is_no_primary_the_name_is_asked_again_after_growing_pauses()
    {
        var time = new ManualTimeProvider();
        var (pause, longest) = (TimeSpan.FromMilliseconds(100), TimeSpan.FromSeconds(5));
        await using var client = ClientAt(_name.Port, time, pause, longest);
        await client.ExecuteAsync(Create, default);
        await client.ExecuteAsync(Set, default);
        await client.ExecuteBlockingAsync(Read, TimeSpan.FromMilliseconds(1), default);
        var connections = _name.AcceptedCount;
        await client.ExecuteAsync(new RespCommand("WAIT").Add("1").Add("0"), default); // The other one is to know the group.
        await _old.CliAsync("REPLICAOF", "127.0.0.1", "1");
        time.Advance(longest);

        for (var look = 1; look <= 8; look++)
        {
            for (var i = 0; i < 20; i++)
                await RefusedAsync(client);
            Assert.Equal(connections + (2 * look), _name.AcceptedCount);

            // Half a pause is no pause, however it is drawn.
            time.Advance(pause * 0.49);
            await RefusedAsync(client);
            await RefusedAsync(client);
            Assert.Equal(connections + (2 * look), _name.AcceptedCount);
            time.Advance(pause * 0.51);
            pause = pause * 2 < longest ? pause * 2 : longest;
        }

        await _new.CliAsync("REPLICAOF", "NO", "ONE");
        _name.LeadTo(_new);
        await Assert.ThrowsAsync<StreamException>(async () => await client.ExecuteBlockingAsync(Read, TimeSpan.FromMilliseconds(1), default));

        // The shared connection found it, and that of the reader follows before it is refused once more.
        await client.ExecuteBlockingAsync(Read, TimeSpan.FromMilliseconds(1), default);
        await client.ExecuteAsync(Set, default);
        Assert.Equal(connections + 18, _name.AcceptedCount);
    }

    [Fact]
    public async Task Commands_in_line_behind_a_refusal_are_answered_and_new_ones_take_another_connection()
    {
        await using var client = ClientAt(_name.Port);
        await client.ExecuteAsync(Set, default);
        var held = _name.HoldRepliesAsync();
        var refused = client.ExecuteAsync(Set, default).AsTask();
        var inLine = client.ExecuteAsync(new RespCommand("ECHO").Add("x"), default).AsTask();
        await held;

        await _name.InjectAsync("-READONLY You can't write against a read only replica.\r\n"u8.ToArray());
        Assert.Equal(StreamErrorCode.ReadOnly, (await Assert.ThrowsAsync<StreamException>(() => refused)).Code);
        await client.ExecuteAsync(Set, default);
        Assert.Equal(2, _name.AcceptedCount);
        await _name.InjectAsync("$1\r\nx\r\n"u8.ToArray());

        Assert.Equal("x", (await inLine.WaitAsync(Eventually.Deadline)).Text);
        var list = new RespCommand("CLIENT").Add("LIST").Add("TYPE").Add("normal");
        await Eventually.TrueAsync("the connection is closed when its line is empty", async () =>
            (await client.ExecuteAsync(list, default)).Text.Count(static c => c == '\n') == 1);
    }

    [Fact]
    public async Task Refusal_for_want_of_replicas_costs_no_connection()
    {
        await using var client = ClientAt(_name.Port);
        await client.ExecuteAsync(Set, default);
        await _old.CliAsync("CONFIG", "SET", "min-replicas-to-write", "2");

        for (var i = 0; i < 20; i++)
            await Assert.ThrowsAsync<StreamException>(async () => await client.ExecuteAsync(Set, default));

        Assert.Equal(1, _name.AcceptedCount);
    }

    private static RespCommand Append => new RespCommand("XADD").Add("out").Add("*").Add("a").Add("1");

    private static RespCommand Create => new RespCommand("XGROUP").Add("CREATE").Add("orders").Add("billing").Add("0").Add("MKSTREAM");

    private static RespCommand Set => new RespCommand("SET").Add("k").Add("v");

    private static RespCommand Read => new RespCommand("XREADGROUP").Add("GROUP").Add("billing").Add("one").Add("BLOCK").Add(1)
        .Add("STREAMS").Add("orders").Add(">");

    /// <summary>A write of a publisher and a read of a group, each on its kind of connection.</summary>
    private static async Task RefusedAsync(RedisClient client)
    {
        var write = await Assert.ThrowsAsync<StreamException>(async () => await client.ExecuteAsync(Set, default));
        Assert.Equal(StreamErrorCode.ReadOnly, write.Code);
        var read = await Assert.ThrowsAsync<StreamException>(
            async () => await client.ExecuteBlockingAsync(Read, TimeSpan.FromMilliseconds(1), default));
        Assert.Equal(StreamErrorCode.ReadOnly, read.Code);
    }

    private static async Task MakeAsync(RedisStreamStore store, Call call)
    {
        var fields = EntryFields.Create(("a", "1"));
        switch (call)
        {
            case Call.Append:
                await store.AppendAsync("out", fields);
                break;
            case Call.AppendMany:
                await store.AppendManyAsync("out", [fields, fields]);
                break;
            case Call.CommitOfAnAppend:
                await CommitAsync(store, new CommitChange.Append("out", fields));
                break;
            case Call.CommitOfADocument:
                await CommitAsync(store, new CommitChange.PutState(new("out", "document"), "{}"u8.ToArray()));
                break;
            default:
                var block = TimeSpan.FromMilliseconds(call == Call.BlockedGroupRead ? 1 : 0);
                await store.ReadGroupAsync(new() { Group = "billing", Consumer = "one", Streams = ["orders"], Block = block });
                break;
        }
    }

    private static Task WhenServedAsync(Func<Task> call) => Eventually.TrueAsync("the call is served", async () =>
    {
        try
        {
            await call();
            return true;
        }
        catch (StreamException exception) when (exception.IsTransient)
        {
            return false;
        }
    });

    private static async Task<int> CountAsync(RedisStreamStore store, Reading reading)
    {
        if (reading == Reading.LongRange)
            return (await store.RangeAsync("out", new() { Count = 100 })).Count;
        var block = TimeSpan.FromMilliseconds(reading == Reading.BlockedRead ? 1 : 0);
        return (await store.ReadAsync([new("out", default)], 100, block)).Sum(static batch => batch.Entries.Count);
    }

    private static async Task CommitAsync(RedisStreamStore store, CommitChange change)
    {
        var results = await store.CommitAsync([new() { Changes = [change] }]);
        if (results[0].Failure is { } failure)
            throw failure;
    }

    /// <summary>Orders of their own names, one after the other; what was refused is not tried again.</summary>
    private static async Task PublishAsync(Publisher publisher, ConcurrentQueue<string> acknowledged, CancellationToken stop)
    {
        using var pause = new PeriodicTimer(TimeSpan.FromMilliseconds(2));
        for (var i = 0; !stop.IsCancellationRequested; i++)
        {
            try
            {
                await publisher.PublishAsync("orders", new OrderCreated($"o{i}", i), null, CancellationToken.None);
                acknowledged.Enqueue($"o{i}");
            }
            catch (StreamException exception) when (exception.IsTransient)
            {
                // The old primary refuses, or nobody knows.
            }

            await pause.WaitForNextTickAsync(CancellationToken.None);
        }
    }

    /// <summary>Lets the servers change their roles without a loss: the old one waits until the new one has everything.</summary>
    private async Task FailOverAsync()
    {
        await _old.CliAsync("FAILOVER", "TO", "127.0.0.1", _new.Port.ToString(CultureInfo.InvariantCulture));
        await Eventually.TrueAsync("the roles are changed", async () =>
            (await _new.CliAsync("ROLE")).StartsWith("master", StringComparison.Ordinal)
            && (await _old.CliAsync("ROLE")).StartsWith("slave", StringComparison.Ordinal));
    }

    /// <summary>A failover after which the old one hears nothing of the new one.</summary>
    private async Task FailOverApartAsync()
    {
        await ChangeRolesApartAsync();
        _name.LeadTo(_new);
    }

    private async Task ChangeRolesApartAsync()
    {
        await _new.CliAsync("REPLICAOF", "NO", "ONE");
        await _old.CliAsync("REPLICAOF", "127.0.0.1", "1");
    }

    private static RedisStreamStore StoreAt(int port) => new(OptionsOf(port, TimeSpan.FromMilliseconds(10), TimeSpan.FromMilliseconds(100)));

    private static RedisClient ClientAt(int port, RedisClient? follower = null) =>
        new(OptionsOf(port, TimeSpan.FromMilliseconds(2), TimeSpan.FromMilliseconds(50)), TimeProvider.System, NullLogger.Instance) { Follower = follower };

    private static RedisClient ClientAt(int port, TimeProvider time, TimeSpan pause, TimeSpan longest) =>
        new(OptionsOf(port, pause, longest), time, NullLogger.Instance);

    private static RedisOptions OptionsOf(int port, TimeSpan pause, TimeSpan longest) => new()
    {
        Host = "127.0.0.1",
        Port = port,
        ConnectTimeout = TimeSpan.FromSeconds(20),
        CommandTimeout = TimeSpan.FromSeconds(20),
        ReconnectDelay = pause,
        MaxReconnectDelay = longest,
    };
}
