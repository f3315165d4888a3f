using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Consuming.Ordered;
using Millrace.Embedded;
using Millrace.Hosting;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming.Ordered;

/// <summary>A reader that was frozen for longer than its lease of 30 s, as it goes on: nobody has told it yet that another one reads.</summary>
public sealed class FrozenReaderTests : IAsyncLifetime
{
    private static readonly TimeSpan _retry = TimeSpan.FromSeconds(9);

    private readonly ManualTimeProvider _time = new();
    private readonly EmbeddedStreamStore _store;

    public FrozenReaderTests() => _store = new(new(), _time);

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => _store.DisposeAsync();

    /// <summary>Its retry was due with the end of its lease, came first, and took the entry away from the next reader, with what that one had done.</summary>
    [Fact]
    public async Task Retry_of_a_reader_whose_lease_is_over_takes_nothing_from_the_next_reader()
    {
        var process = new ThawingTime(_time);
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", (_, _, _) => throw new InvalidOperationException("no money"), o =>
                (o.OrderedBy, o.RetryBaseDelay, o.RetryMaxDelay) = (nameof(OrderCreated.OrderId), _retry, _retry)),
            _store, process);
        var status = host.Host.Services.GetRequiredService<MillraceService>().Workers.Single().Status;
        var id = await host.Publisher.PublishAsync("orders", new OrderCreated("a", 1));
        await Eventually.TrueAsync("it waits for its next attempt", () => new(status.Parked().Entries == 1));

        process.Freeze();
        _time.Advance(TimeSpan.FromSeconds(40));
        var names = new OrderNames("orders", "billing");
        await _store.CommitAsync(new Commit
        {
            Changes = [new CommitChange.PutState(names.Reader, "next\n1"u8.ToArray()), new CommitChange.PutState(names.Pulse, "next\n1"u8.ToArray())],
        });
        var claimed = await _store.ClaimAsync("orders", "billing", new() { Consumer = "next", Ids = [id], MinIdleTime = TimeSpan.Zero });
        process.Thaw(due => due <= _retry);
        await Eventually.TrueAsync("it stands by", () => new(status.Current.State == WorkerState.StandingBy));

        var pending = Assert.Single(await _store.PendingAsync("orders", "billing", new()));
        Assert.Equal(("next", claimed.Entries[0].DeliveryCount), (pending.Consumer, pending.DeliveryCount));
        process.Thaw(_ => true);
    }

    /// <summary>The time of one process: what is due while it is frozen fires when it goes on, some of it first.</summary>
    private sealed class ThawingTime(TimeProvider time) : TimeProvider
    {
        private readonly ConcurrentQueue<(TimeSpan Due, Action Fire)> _late = [];
        private volatile bool _isFrozen;

        public override long TimestampFrequency => time.TimestampFrequency;

        public override long GetTimestamp() => time.GetTimestamp();

        public override DateTimeOffset GetUtcNow() => time.GetUtcNow();

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period) => time.CreateTimer(
            value =>
            {
                if (_isFrozen)
                    _late.Enqueue((dueTime, () => callback(value)));
                else
                    callback(value);
            },
            state,
            dueTime,
            period);

        public void Freeze() => _isFrozen = true;

        /// <summary>Fires what is due of those that had so long to wait. From now on all others fire in time.</summary>
        public void Thaw(Predicate<TimeSpan> first)
        {
            _isFrozen = false;
            for (var left = _late.Count; left > 0 && _late.TryDequeue(out var late); left--)
            {
                if (first(late.Due))
                    late.Fire();
                else
                    _late.Enqueue(late);
            }
        }
    }
}
