using Millrace.Embedded;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Journal;

namespace Millrace.Tests.Server;

/// <summary>Our client on our server, whose disk is full and then has room: what it had applied is written then, and nobody may take it for refused.</summary>
public sealed class UnsyncedReplyTests : IAsyncLifetime
{
    private readonly JournalDirectory _directory = new();
    private readonly ManualTimeProvider _time = new();
    private readonly FaultDevice _device;
    private TestServer _server = null!;
    private RedisStreamStore _store = null!;

    public UnsyncedReplyTests() => _device = new(_directory.Path);

    public async ValueTask InitializeAsync()
    {
        _server = await TestServer.StartAsync(time: _time, device: _device);
        _store = NewStore();
    }

    public async ValueTask DisposeAsync()
    {
        await _store.DisposeAsync();
        await _server.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task Commit_whose_write_meets_a_full_disk_is_in_doubt_and_later_ones_are_refused()
    {
        var commit = new Commit { Changes = [new CommitChange.Append("s", EntryFields.Create(("f", "in doubt")))] };
        Assert.True((await _store.CommitAsync(commit)).IsApplied);

        _device.FillUpAt(_server.Store, "in doubt");
        var doubt = await Assert.ThrowsAsync<StreamException>(() => _store.CommitAsync([commit]).AsTask());
        await using var later = NewStore();
        var refused = Assert.Single(await later.CommitAsync([commit]));
        Assert.Equal((StreamErrorCode.OutcomeUnknown, StreamErrorCode.ReadOnly), (doubt.Code, refused.Failure!.Code));

        await MakeRoomAsync();
        Assert.Equal(2, (await later.GetStreamInfoAsync("s"))!.EntriesAdded);
        Assert.Equal(1, _device.Fired);
    }

    /// <summary>It was told 'false', which says that nothing was written, and undid what was written when there was room.</summary>
    [Fact]
    public async Task Acknowledgement_by_hand_whose_write_meets_a_full_disk_is_told_that_nobody_knows()
    {
        var told = new TaskCompletionSource<bool>();
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", async (order, context, token) =>
            {
                context.Publish("done", new OrderPaid(order.OrderId));
                _device.FillUpAt(_server.Store, "done");
                try
                {
                    told.SetResult(await context.AckAsync(token));
                }
                catch (StreamException exception)
                {
                    told.SetException(exception);
                    throw;
                }
            }),
            _store);

        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1));
        await Eventually.TrueAsync("the acknowledgement meets a full disk", () => new(_server.Store.Health.State == StoreState.DiskFull));
        await MakeRoomAsync();
        var failure = await Assert.ThrowsAsync<StreamException>(() => told.Task.WaitAsync(Eventually.Deadline));
        await host.StopAsync();

        Assert.Equal(StreamErrorCode.OutcomeUnknown, failure.Code);
        Assert.Equal(1, (await _store.GetStreamInfoAsync("done"))!.EntriesAdded);
        Assert.Empty(await _store.PendingAsync("orders", "billing", new()));
        Assert.Equal(1, _device.Fired);
    }

    private RedisStreamStore NewStore() => new(RedisOptions.Parse($"127.0.0.1:{_server.Port}"));

    /// <summary>The journal tries once a second.</summary>
    private Task MakeRoomAsync()
    {
        _device.Fault = static (_, _) => null;
        return Eventually.TrueAsync("there is room", () =>
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            return new(_server.Store.Health.State == StoreState.Writable);
        });
    }
}
