using Microsoft.Extensions.DependencyInjection;
using Millrace.Embedded;
using Millrace.Redis;
using Millrace.Sagas;
using Millrace.Streams;
using Millrace.Tests.Clients;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Sagas;

/// <summary>What sagas promise, the same on every store.</summary>
/// <param name="endpoint">Where the server is, or <see langword="null"/>: the embedded store.</param>
public abstract partial class SagaTests(Func<Task<string>>? endpoint) : IAsyncLifetime
{
    private const string Group = "checkout";

    private readonly string _shop = $"shop{Guid.NewGuid():N}";
    private readonly List<ConsumerHost> _hosts = [];
    private IStreamStore? _store;

    public sealed class OnEmbedded() : SagaTests(null);

    public sealed class OnRedis(SharedRedis redis) : SagaTests(async () => (await redis.StartedAsync()).Endpoint);

    public sealed class OnServer(SharedMillrace millrace) : SagaTests(async () => $"127.0.0.1:{(await millrace.StartedAsync()).Endpoint.Port}");

    private string Orders => $"{_shop}:orders";

    private ConsumerHost Host => _hosts[^1];

    private SagaStore<CheckoutState> Sagas => Host.Host.Services.GetRequiredService<SagaStore<CheckoutState>>();

    public async ValueTask InitializeAsync() =>
        _store = endpoint is null ? new EmbeddedStreamStore(new()) : new RedisStreamStore(RedisOptions.Parse(await endpoint()));

    public async ValueTask DisposeAsync()
    {
        foreach (var host in _hosts)
            await host.DisposeAsync();
        await _store!.DisposeAsync();
    }

    [Fact]
    public async Task Checkout_that_goes_well_completes_and_its_timeline_tells_how()
    {
        await StartAsync();
        await PublishAsync(new OrderPlaced("1", 10), "m1");
        await SentAsync("inventory");
        Assert.Equal(["1"], await Sagas.ListActiveAsync().Select(instance => instance.Id).ToListAsync());
        await PublishAsync(new StockReserved("1"), "m2");
        await SentAsync("payments");
        await PublishAsync(new CardCharged("1"), "m3");
        await SentAsync("shipping");
        await PublishAsync(new OrderShipped("1"), "m4");
        await SentAsync("out");

        var saga = await Sagas.GetAsync("1");
        Assert.Equal((SagaStatus.Completed, "shipping", 0), (saga!.Status, saga.State.Phase, saga.Timeouts.Count));
        Assert.Equal(["m1", "m2", "m3", "m4"], saga.Timeline.Select(entry => entry.MessageId));
        Assert.Equal(
            [
                "shop.order-placed:>reserving", "shop.stock-reserved:reserving>charging",
                "shop.card-charged:charging>shipping", "shop.order-shipped:shipping>Completed",
            ],
            saga.Timeline.Select(entry => $"{entry.Message}:{entry.From}>{entry.To}"));
        Assert.Equal([$"{_shop}:inventory shop.reserve-stock"], saga.Timeline[0].Sent);
        Assert.Empty(await Sagas.ListActiveAsync().ToListAsync());
        Assert.Equal(["1"], await Sagas.ListEndedAsync().Select(instance => instance.Id).ToListAsync());
        Assert.Equal(0, (await _store!.GetStreamInfoAsync($"{{{Orders}}}:saga:checkout"))!.Length);
    }

    [Fact]
    public async Task Checkout_that_fails_is_undone_in_reverse_and_commands_carry_the_conversation()
    {
        await StartAsync();
        await Host.Publisher.PublishAsync(Orders, new OrderPlaced("1", 10), new() { MessageId = "m1", CorrelationId = "talk" });
        await SentAsync("inventory");
        await PublishAsync(new StockReserved("1"));
        await SentAsync("payments");
        await PublishAsync(new CardCharged("1"));
        await SentAsync("shipping");
        await PublishAsync(new ShippingFailed("1", "no lorry"));
        await SentAsync("payments", 2);
        await PublishAsync(new CardRefunded("1"));
        await SentAsync("out");

        var saga = await Sagas.GetAsync("1");
        Assert.Equal((SagaStatus.Compensated, "no lorry"), (saga!.Status, saga.Reason));
        Assert.All(saga.Steps, step => Assert.Equal(SagaUndo.Undone, step.Undo));
        var headers = (await SentAsync("inventory", 2)).Select(entry => new MessageHeaders(entry.Id, entry.Fields)).ToList();
        Assert.Equal(["shop.reserve-stock", "shop.release-stock"], headers.Select(one => one.Type));
        Assert.Equal(("talk", "m1"), (headers[0].CorrelationId, headers[0].CausationId));
    }

    [Fact]
    public async Task Start_that_is_published_many_times_to_several_processes_starts_one_saga()
    {
        await StartAsync();
        await StartAsync();
        await Task.WhenAll(Enumerable.Range(0, 20).Select(i => PublishAsync(new OrderPlaced("1", 10), i % 2 == 0 ? "same" : $"m{i}")));
        await Host.WhenSettledAsync(Orders, Group);

        Assert.Equal(1, (await _store!.GetStreamInfoAsync($"{_shop}:inventory"))!.Length);
        Assert.Single((await Sagas.GetAsync("1"))!.Timeline);
        Assert.Single(await Sagas.ListActiveAsync().ToListAsync());
        Assert.Equal(1, (await _store!.GetStreamInfoAsync($"{{{Orders}}}:saga:checkout"))!.Length);
    }

    [Fact]
    public async Task Messages_of_one_saga_that_meet_are_all_handled_once()
    {
        const int messages = 60;
        await StartAsync();
        await StartAsync();
        await PublishAsync(new OrderPlaced("1", 10));
        await SentAsync("inventory");
        await Task.WhenAll(Enumerable.Range(0, messages).Select(i => PublishAsync(new OrderTouched("1", "", 0), $"t{i}")));

        await Eventually.TrueAsync("every message is counted", async () => (await Sagas.GetAsync("1"))!.State.Touched == messages);
        await Host.WhenSettledAsync(Orders, Group);
        Assert.Equal(messages, (await Sagas.GetAsync("1"))!.State.Touched);
    }

    [Fact]
    public async Task Timeout_outlives_the_processes_and_fires_once()
    {
        await StartAsync(limit: TimeSpan.FromMilliseconds(400));
        await PublishAsync(new OrderPlaced("1", 10));
        await SentAsync("inventory");
        await Host.AbortAsync();
        await StartAsync();
        await StartAsync();

        await SentAsync("out");
        await Host.WhenSettledAsync(Orders, Group);
        var saga = await Sagas.GetAsync("1");
        Assert.Equal((SagaStatus.Compensated, "it took too long"), (saga!.Status, saga.Reason));
        Assert.Equal(["shop.order-placed", "time-out limit"], saga.Timeline.Select(entry => entry.Message));
    }

    [Theory]
    [InlineData(-1)]
    [InlineData(60_000)]
    public async Task Timeout_on_its_way_that_is_cancelled_or_superseded_does_nothing(int delayMs)
    {
        var second = $"{_shop}:second";
        await StartAsync(streams: [Orders, second]);
        await PublishAsync(new OrderPlaced("1", 10));
        await SentAsync("inventory");
        var control = Host.Host.Services.GetRequiredService<ConsumerControl>();
        await PublishAsync(new OrderTouched("1", "ping", 300));
        await Eventually.TrueAsync("the time-out is set", async () => (await Sagas.GetAsync("1"))!.Timeouts.Count == 2);
        Assert.True(control.Pause(Orders, Group));
        var again = StreamNames.Again(Orders, Group);
        await Eventually.TrueAsync("the time-out is on its way", async () => (await _store!.GetStreamInfoAsync(again))?.Length == 1);

        await Host.Publisher.PublishAsync(second, new OrderTouched("1", "ping", delayMs));
        await Eventually.TrueAsync("the second message is handled", async () => (await Sagas.GetAsync("1"))!.State.Touched == 2);
        control.Resume(Orders, Group);

        await Eventually.TrueAsync("the time-out is read", async () => (await _store!.GetStreamInfoAsync(again))!.Length == 0);
        var saga = await Sagas.GetAsync("1");
        Assert.Equal(delayMs < 0 ? 1 : 2, saga!.Timeouts.Count);
        Assert.DoesNotContain(saga.Timeline, entry => entry.Message == "time-out ping");
    }

    [Fact]
    public async Task Undoing_that_fails_too_often_needs_attention_until_somebody_asks_for_more()
    {
        await StartAsync(retryDelay: TimeSpan.FromMilliseconds(1));
        await PublishAsync(new OrderPlaced("1", 10));
        await SentAsync("inventory");
        await PublishAsync(new StockReserved("1"));
        await SentAsync("payments");
        await PublishAsync(new CardCharged("1"));
        await SentAsync("shipping");
        await PublishAsync(new ShippingFailed("1", "no lorry"));
        for (var attempt = 1; attempt <= 3; attempt++)
        {
            await SentAsync("payments", 1 + attempt);
            await PublishAsync(new RefundRefused("1", "bank closed"));
        }

        await Eventually.TrueAsync("the saga needs attention", async () => (await Sagas.GetAsync("1"))!.Status == SagaStatus.NeedsAttention);
        var parked = await Sagas.ListActiveAsync(SagaStatus.NeedsAttention).SingleAsync();
        Assert.Contains("bank closed", parked.Attention, StringComparison.Ordinal);
        await Sagas.CompensateAsync("1", "not where it is");
        await Sagas.RetryAsync("1", "Ann: the bank is open again");
        await SentAsync("payments", 5);
        await PublishAsync(new CardRefunded("1"));
        await SentAsync("out");

        var saga = await Sagas.GetAsync("1");
        Assert.Equal((SagaStatus.Compensated, null, "no lorry"), (saga!.Status, saga.Attention, saga.Reason));
        Assert.Contains(saga.Timeline, entry => entry.Message == "request Retry" && entry.Notes[0].StartsWith("Ann", StringComparison.Ordinal));
        Assert.Empty(await Sagas.ListActiveAsync().ToListAsync());
    }

    [Fact]
    public async Task Undoing_that_nobody_waits_for_ends_with_its_command_and_fails_as_a_dead_letter_of_its_consumer()
    {
        var inventory = $"{_shop}:inventory";
        await StartAsync();
        await using var warehouse = await ConsumerHost.StartAsync(
            m => m.AddConsumer<ReleaseStock>(
                inventory,
                "warehouse",
                (_, _, _) => throw new InvalidOperationException("no such shelf"),
                o => (o.MaxAttempts, o.Undecodable) = (1, UndecodablePolicy.Ignore)),
            _store,
            instance: "warehouse");
        await PublishAsync(new OrderPlaced("1", 10), "m1");
        await SentAsync("inventory");
        await PublishAsync(new StockReserved("1"));
        await SentAsync("payments");
        await PublishAsync(new CardDeclined("1", "no money"), "m3");
        await SentAsync("out");

        var letter = Assert.Single(await warehouse.ReadAsync(StreamNames.DeadLetters(inventory, "warehouse")));
        var headers = new MessageHeaders(letter.Id, letter.Fields);
        Assert.Equal(("shop.release-stock", "m3", DeadLetterReasons.AttemptsExhausted), (headers.Type, headers.CausationId, headers.DeadReason));
        var saga = await Sagas.GetAsync("1");
        Assert.Equal((SagaStatus.Compensated, null, SagaUndo.Undone), (saga!.Status, saga.Attention, Assert.Single(saga.Steps).Undo));
        Assert.Equal([$"{inventory} shop.release-stock", $"{_shop}:out shop.order-cancelled"], saga.Timeline[^1].Sent);
        Assert.Equal(headers.CausationId, saga.Timeline[^1].MessageId);
    }

    [Fact]
    public async Task Operator_lets_a_saga_fail_and_passes_over_what_cannot_be_undone()
    {
        await StartAsync(within: TimeSpan.FromMilliseconds(5), retryDelay: TimeSpan.FromMilliseconds(1));
        await PublishAsync(new OrderPlaced("1", 10));
        await SentAsync("inventory");
        await PublishAsync(new StockReserved("1"));
        await SentAsync("payments");
        await PublishAsync(new CardCharged("1"));
        await SentAsync("shipping");
        await Sagas.CompensateAsync("1", "Ann: fraud");
        await Eventually.TrueAsync("the saga needs attention", async () => (await Sagas.GetAsync("1"))!.Status == SagaStatus.NeedsAttention);
        await Sagas.SkipAsync("1", "Ann: refunded by hand");
        await SentAsync("out");

        var saga = await Sagas.GetAsync("1");
        Assert.Equal((SagaStatus.Compensated, "Ann: fraud"), (saga!.Status, saga.Reason));
        Assert.Equal([SagaUndo.Undone, SagaUndo.Skipped], saga.Steps.Select(step => step.Undo));
    }

    private async Task StartAsync(
        TimeSpan? limit = null,
        TimeSpan? within = null,
        TimeSpan? retryDelay = null,
        IReadOnlyList<string>? streams = null,
        Action<SagaOptions>? configure = null) =>
        await StartAsync(millrace => millrace.AddSaga(new CheckoutSaga(_shop, limit, within, retryDelay), streams ?? [Orders], Group, options =>
        {
            options.ConfigureConsumer(consumer => consumer.RetryBaseDelay = TimeSpan.FromMilliseconds(1));
            configure?.Invoke(options);
        }));

    private async Task StartAsync(Action<MillraceBuilder> configure) =>
        _hosts.Add(await ConsumerHost.StartAsync(configure, _store, instance: $"process{_hosts.Count}"));

    private async Task PublishAsync<T>(T message, string? messageId = null)
        where T : notnull => await Host.Publisher.PublishAsync(Orders, message, new() { MessageId = messageId });

    private Task<IReadOnlyList<StreamEntry>> SentAsync(string stream, int count = 1) => Host.ReadAsync($"{_shop}:{stream}", count);
}
