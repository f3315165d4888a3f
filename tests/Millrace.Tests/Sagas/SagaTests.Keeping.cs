using Microsoft.Extensions.DependencyInjection;
using Millrace.Sagas;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Sagas;

/// <summary>What is kept of a saga, and for whom: ends, versions, missing instances.</summary>
public abstract partial class SagaTests
{
    [Fact]
    public async Task Saga_that_ended_is_kept_for_its_retention_and_then_gone()
    {
        await StartAsync(configure: options => options.Retention = TimeSpan.FromSeconds(1));
        await PublishAsync(new OrderPlaced("1", 10));
        await SentAsync("inventory");
        await PublishAsync(new StockRefused("1", "sold out"));
        await SentAsync("out");

        await Eventually.TrueAsync("the saga is gone", async () => await Sagas.GetAsync("1") is null);
        Assert.Empty(await Sagas.ListEndedAsync().ToListAsync());
        await PublishAsync(new OrderPlaced("1", 10));
        await SentAsync("inventory", 2);
    }

    [Fact]
    public async Task Saga_without_retention_leaves_nothing()
    {
        await StartAsync(configure: options => options.Retention = TimeSpan.Zero);
        await PublishAsync(new OrderPlaced("1", 10));
        await SentAsync("inventory");
        await PublishAsync(new StockRefused("1", "sold out"));
        await SentAsync("out");

        Assert.Null(await Sagas.GetAsync("1"));
        Assert.Empty(await Sagas.ListActiveAsync().ToListAsync());
        Assert.Null(await _store!.GetStreamInfoAsync($"{{{Orders}}}:saga:checkout:ended"));
    }

    [Fact]
    public async Task Saga_that_ended_is_not_started_again_and_undoes_what_is_done_late()
    {
        await StartAsync();
        await PublishAsync(new OrderPlaced("1", 10));
        await SentAsync("inventory");
        await PublishAsync(new StockReserved("1"));
        await SentAsync("payments");
        await PublishAsync(new CardDeclined("1", "no answer"));
        await SentAsync("out");
        await PublishAsync(new OrderPlaced("1", 10));
        await PublishAsync(new CardCharged("1"));
        await SentAsync("payments", 2);

        Assert.Equal(["1"], await Sagas.ListActiveAsync(SagaStatus.Compensating).Select(instance => instance.Id).ToListAsync());
        await PublishAsync(new CardRefunded("1"));
        await Eventually.TrueAsync("the saga ends again", async () => (await Sagas.GetAsync("1"))!.Status == SagaStatus.Compensated);

        await Host.WhenSettledAsync(Orders, Group);
        Assert.Equal(2, (await SentAsync("inventory", 2)).Count);
        Assert.Single(await SentAsync("out"));
        Assert.Empty(await Sagas.ListActiveAsync().ToListAsync());
        Assert.Equal(["1"], await Sagas.ListEndedAsync().Select(instance => instance.Id).ToListAsync());
    }

    [Fact]
    public async Task Message_without_a_saga_is_ignored_or_a_dead_letter_or_tried_again_or_handled()
    {
        await StartAsync();
        await PublishAsync(new StockReserved("1"));
        await PublishAsync(new OrderShipped("2"));
        await PublishAsync(new CardDeclined("3", "x"));
        await PublishAsync(new ShippingFailed("4", "x"));
        await SentAsync("out");

        var dead = (await Host.ReadAsync(StreamNames.DeadLetters(Orders, Group), 2)).Select(entry => new MessageHeaders(entry.Id, entry.Fields)).ToList();
        Assert.Equal(["shop.card-declined", "shop.order-shipped"], dead.Select(letter => letter.Type).Order());
        Assert.Equal([1, 5], dead.Select(letter => letter.Attempt).Order());
        await Host.WhenSettledAsync(Orders, Group);
        Assert.Null(await _store!.GetStreamInfoAsync($"{_shop}:inventory"));
    }

    [Fact]
    public async Task Message_that_came_before_its_saga_is_handled_when_the_rule_says_to_try_again()
    {
        var pause = TimeSpan.FromMilliseconds(20);
        await StartAsync(configure: options => options.ConfigureConsumer(
            consumer => (consumer.MaxAttempts, consumer.RetryBaseDelay, consumer.RetryMaxDelay) = (1_000, pause, pause)));
        await PublishAsync(new CardDeclined("1", "too early"));
        await Host.WhenSettledAsync(Orders, Group);
        await PublishAsync(new OrderPlaced("1", 10));

        await SentAsync("out");
        Assert.Equal("too early", (await Sagas.GetAsync("1"))!.Reason);
    }

    [Fact]
    public async Task State_of_an_older_version_is_brought_up_and_one_of_a_newer_version_stays_as_it_is()
    {
        await StartAsync(millrace => millrace.AddSaga(new CounterV1(), [Orders], Group));
        await PublishAsync(new Counted("1"));
        await PublishAsync(new Counted("1"));
        await Eventually.TrueAsync("both count", async () => (await StoreOf<CountV1>().GetAsync("1"))?.State.Count == 2);
        await Host.StopAsync();

        await StartAsync(millrace => millrace.AddSaga(new CounterV3(), [Orders], Group));
        Assert.Equal("2!", (await StoreOf<CountV3>().GetAsync("1"))!.State.Text);
        await PublishAsync(new Counted("1"));
        await Eventually.TrueAsync("the third counts", async () => (await StoreOf<CountV3>().GetAsync("1"))?.State.Text == "2!+");
        await Host.StopAsync();

        await StartAsync(millrace => millrace.AddSaga(
            new CounterV1(), [Orders], Group, options => options.ConfigureConsumer(consumer => consumer.DeadLetterOn<SagaStateException>())));
        await PublishAsync(new Counted("1"));
        await Host.ReadAsync(StreamNames.DeadLetters(Orders, Group));
        var refused = await Assert.ThrowsAsync<SagaStateException>(async () => await StoreOf<CountV1>().GetAsync("1"));
        Assert.Contains("version 3", refused.Message, StringComparison.Ordinal);
        await PublishAsync(new Counted("2"));
        await Eventually.TrueAsync("the second counts", async () => await StoreOf<CountV1>().GetAsync("2") is not null);
        var listed = new List<string>();
        await Assert.ThrowsAsync<SagaStateException>(async () =>
        {
            await foreach (var instance in StoreOf<CountV1>().ListActiveAsync())
                listed.Add(instance.Id);
        });
        Assert.Equal(["2"], listed);
        await Host.StopAsync();

        await StartAsync(millrace => millrace.AddSaga(new CounterV3(), [Orders], Group));
        Assert.Equal("2!+", (await StoreOf<CountV3>().GetAsync("1"))!.State.Text);
    }

    [Fact]
    public async Task Timeline_keeps_the_first_message_and_the_last_ones()
    {
        await StartAsync(configure: options => options.MaxTimeline = 5);
        await PublishAsync(new OrderPlaced("1", 10));
        await SentAsync("inventory");
        for (var i = 1; i <= 10; i++)
        {
            await PublishAsync(new OrderTouched("1", "", 0), $"t{i}");
            await Eventually.TrueAsync("the message is handled", async () => (await Sagas.GetAsync("1"))!.State.Touched == i);
        }

        var saga = (await Sagas.GetAsync("1"))!;
        Assert.Equal("shop.order-placed", saga.Timeline[0].Message);
        Assert.Equal(["t7", "t8", "t9", "t10"], saga.Timeline.Skip(1).Select(entry => entry.MessageId));
        Assert.Equal(6, saga.TimelineDropped);
    }

    [Fact]
    public async Task Saga_that_ended_is_in_the_archive_with_its_timeline()
    {
        await StartAsync(configure: options => (options.ArchivesEnded, options.Retention) = (true, TimeSpan.FromSeconds(1)));
        await PublishAsync(new OrderPlaced("1", 10), "m1");
        await SentAsync("inventory");
        await PublishAsync(new StockRefused("1", "sold out"), "m2");
        await SentAsync("out");
        var ended = await Sagas.ReadArchiveAsync().SingleAsync();
        await Eventually.TrueAsync("the saga is gone", async () => await Sagas.GetAsync("1") is null);
        await PublishAsync(new OrderPlaced("2", 10));
        await SentAsync("inventory", 2);

        var archived = await Sagas.ReadArchiveAsync().SingleAsync();
        Assert.Equal(("1", "sold out", ended.EndedAt), (archived.Id, archived.Reason, archived.EndedAt));
        Assert.Equal(ended.Status, archived.Status);
        Assert.Equal(["m1", "m2"], archived.Timeline.Select(entry => entry.MessageId));
        Assert.Equal($"{archived.Status}", archived.Timeline[^1].To);
        Assert.Equal(10, archived.State.Amount);
        Assert.Empty(await Sagas.ReadArchiveAsync(archived.EndedAt!.Value.AddHours(1)).ToListAsync());
    }

    [Fact]
    public async Task Saga_that_ends_again_is_in_the_archive_for_each_end()
    {
        await StartAsync(configure: options => options.ArchivesEnded = true);
        await PublishAsync(new OrderPlaced("1", 10));
        await SentAsync("inventory");
        await PublishAsync(new StockReserved("1"));
        await SentAsync("payments");
        await PublishAsync(new CardDeclined("1", "no answer"));
        await SentAsync("out");
        Assert.Single(await Sagas.ReadArchiveAsync().ToListAsync());
        await PublishAsync(new CardCharged("1"));
        await SentAsync("payments", 2);
        Assert.Single(await Sagas.ReadArchiveAsync().ToListAsync());
        await PublishAsync(new CardRefunded("1"));
        await Eventually.TrueAsync("it is there again", async () => await Sagas.ReadArchiveAsync().CountAsync() == 2);

        var last = await Sagas.ReadArchiveAsync().LastAsync();
        var kept = (await Sagas.GetAsync("1"))!;
        Assert.Equal((kept.Status, kept.EndedAt, kept.Timeline.Count), (last.Status, last.EndedAt, last.Timeline.Count));
    }

    [Fact]
    public async Task Ids_without_end_and_streams_of_other_slots_are_refused()
    {
        await StartAsync();
        await PublishAsync(new OrderPlaced("", 10));
        await PublishAsync(new OrderPlaced(new string('x', 2_000), 10));
        Assert.Equal(2, (await Host.ReadAsync(StreamNames.DeadLetters(Orders, Group), 2)).Count);

        var refused = await Assert.ThrowsAsync<MillraceConfigurationException>(() => StartAsync(configure: options => options.Tag = "shop"));
        Assert.Contains("one hash slot", refused.Message, StringComparison.Ordinal);
        refused = await Assert.ThrowsAsync<MillraceConfigurationException>(() => StartAsync(millrace => millrace
            .AddSaga(new CheckoutSaga(_shop), [Orders], Group)
            .AddSaga(new CounterV1(), [Orders], Group)));
        Assert.Contains("a group of its own", refused.Message, StringComparison.Ordinal);
    }

    private SagaStore<TState> StoreOf<TState>()
        where TState : notnull => Host.Host.Services.GetRequiredService<SagaStore<TState>>();

    [Message("count.counted")]
    public sealed record Counted(string Id);

    public sealed record CountV1(int Count);

    public sealed record CountV2(string Text);

    public sealed record CountV3(string Text, int Length);

    private sealed class CounterV1 : Saga<CountV1>
    {
        public CounterV1()
            : base("counter") =>
            On<Counted>().CorrelateBy(m => m.Id).Start((_, _) => new(1)).Handle((state, _, _) => new(state.Count + 1));
    }

    private sealed class CounterV3 : Saga<CountV3>
    {
        public CounterV3()
            : base("counter", stateVersion: 3)
        {
            On<Counted>().CorrelateBy(m => m.Id).Start((_, _) => new("+", 1)).Handle((state, _, _) => new(state.Text + "+", state.Length + 1));
            Upcast<CountV1, CountV2>(1, one => new($"{one.Count}"));
            Upcast<CountV2, CountV3>(2, two => new(two.Text + "!", two.Text.Length + 1));
        }
    }
}
