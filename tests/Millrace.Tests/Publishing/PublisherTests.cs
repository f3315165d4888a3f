using Millrace.Streams;
using Millrace.Tests.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Publishing;

public sealed class PublisherTests
{
    [Fact]
    public async Task Published_entry_has_cloudevents_fields_and_nothing_that_is_not_set()
    {
        await using var host = await ConsumerHost.StartAsync(_ => { }, time: new ManualTimeProvider());

        await host.Publisher.PublishAsync("orders", new OrderPaid("ö<1>"), new() { MessageId = "m1" });
        await host.Publisher.PublishAsync("orders", new OrderCreated("o1", 1.5m), new()
        {
            MessageId = "m2",
            CorrelationId = "c",
            CausationId = "m1",
            Subject = "s",
            PartitionKey = "p",
            Headers = new Dictionary<string, string> { ["tenant"] = "t1" },
        });
        var entries = await host.ReadAsync("orders", 2);

        Assert.Equal(
            "id=m1 source=tests type=order.paid data={\"orderId\":\"ö<1>\"}",
            entries[0].Fields.ToString());
        Assert.Equal(
            "id=m2 source=tests type=order.created subject=s " +
            "data={\"orderId\":\"o1\",\"total\":1.5} correlationid=c causationid=m1 partitionkey=p schemaversion=2 tenant=t1",
            entries[1].Fields.ToString());
    }

    /// <summary>The ID of an entry tells when it was appended; only a message that was made before that says so itself.</summary>
    [Fact]
    public async Task Only_a_message_that_is_older_than_its_entry_says_when_it_was_made()
    {
        var time = new ManualTimeProvider();
        var made = time.GetUtcNow();
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderPaid>("paid", "billing", (_, context, _) =>
        {
            context.Publish("orders", new OrderPaid("output"));
            context.Schedule("orders", new OrderPaid("later output"), TimeSpan.FromMinutes(1));
            return Task.CompletedTask;
        }), time: time);
        var scope = host.Publisher.NewCommit("orders");
        scope.Publish("orders", new OrderPaid("commit"));
        scope.Schedule("orders", new OrderPaid("later commit"), TimeSpan.FromMinutes(1));
        await scope.CommitAsync();
        await host.Publisher.PublishAsync("orders", new OrderPaid("later"), new() { Delay = TimeSpan.FromMinutes(1) });
        await host.Publisher.PublishAsync("paid", new OrderPaid("o1"));
        await host.ReadAsync("orders", 2);
        await host.Publisher.PublishAsync("orders", new OrderPaid("now"));
        time.Advance(TimeSpan.FromMinutes(1));

        var entries = await host.ReadAsync("orders", 6);
        Assert.All(entries, entry => Assert.Equal(made, new MessageHeaders(entry.Id, entry.Fields).Time));
        var saying = entries.Where(entry => entry.Fields.TryGet("time"u8, out _)).Select(entry => entry.Fields.GetText("data"u8)!).ToList();
        Assert.Equal(3, saying.Count);
        Assert.All(saying, data => Assert.Contains("later", data, StringComparison.Ordinal));
    }

    [Fact]
    public async Task Loop_that_publishes_lets_others_have_its_thread_of_the_pool_now_and_then()
    {
        await using var host = await ConsumerHost.StartAsync(_ => { });
        var thread = new Posts();
        await Task.Run(() =>
        {
            SynchronizationContext.SetSynchronizationContext(thread);
            try
            {
                // Whatever was published on this thread before.
                Assert.False(Publish(1_000).IsCompleted);
                for (var turn = 0; turn < 3; turn++)
                {
                    Assert.True(Publish(999).IsCompletedSuccessfully);
                    var last = host.Publisher.PublishAsync("orders", new OrderPaid("o"));
                    Assert.False(last.IsCompleted);
                    thread.RunAll();
                    Assert.True(last.IsCompletedSuccessfully);
                }
            }
            finally
            {
                SynchronizationContext.SetSynchronizationContext(null);
            }
        });

        ValueTask<IReadOnlyList<EntryId>> Publish(int count) =>
            host.Publisher.PublishManyAsync("orders", Enumerable.Repeat(new OrderPaid("o"), count).ToList());
    }

    [Fact]
    public async Task Message_id_is_a_new_uuid_of_version_7()
    {
        await using var host = await ConsumerHost.StartAsync(_ => { });

        await host.Publisher.PublishManyAsync<OrderPaid>("orders", [new("o1"), new("o2")]);
        var ids = (await host.ReadAsync("orders", 2)).Select(entry => Guid.Parse(entry.Fields.GetText("id"u8)!)).ToList();

        Assert.All(ids, id => Assert.Equal(7, id.Version));
        Assert.NotEqual(ids[0], ids[1]);
    }

    [Fact]
    public async Task Delayed_message_appears_when_its_time_has_come()
    {
        var time = new ManualTimeProvider();
        await using var host = await ConsumerHost.StartAsync(_ => { }, time: time);

        var id = await host.Publisher.PublishAsync("orders", new OrderPaid("o1"), new() { Delay = TimeSpan.FromHours(1) });
        time.Advance(TimeSpan.FromMinutes(59));
        Assert.Equal(EntryId.Zero, id);
        Assert.Null(await host.Store.GetStreamInfoAsync("orders"));
        time.Advance(TimeSpan.FromMinutes(1));

        Assert.Single(await host.ReadAsync("orders"));
    }

    [Theory]
    [InlineData("Tenant")]
    [InlineData("tenant-id")]
    [InlineData("")]
    [InlineData("data")]
    [InlineData("sourceid")]
    public async Task Header_that_is_not_allowed_is_refused_and_leaves_no_trace(string name)
    {
        await using var host = await ConsumerHost.StartAsync(_ => { });
        var options = new PublishOptions { Headers = new Dictionary<string, string> { [name] = "x" } };

        await Assert.ThrowsAsync<ArgumentException>(() => host.Publisher.PublishAsync("orders", new OrderPaid("o1"), options).AsTask());
        await host.Publisher.PublishAsync("orders", new OrderPaid("o2"), new() { MessageId = "m2" });

        Assert.Equal("m2", (await host.ReadAsync("orders"))[0].Fields.First().ValueText);
    }

    [Fact]
    public async Task Message_without_a_declared_name_is_refused()
    {
        await using var host = await ConsumerHost.StartAsync(_ => { });

        var error = await Assert.ThrowsAsync<InvalidOperationException>(
            () => host.Publisher.PublishAsync("orders", new Counter(1)).AsTask());

        Assert.Contains("[Message", error.Message);
    }

    [Fact]
    public async Task Commit_applies_messages_and_state_together_or_not_at_all()
    {
        await using var host = await ConsumerHost.StartAsync(_ => { });
        var first = host.Publisher.NewCommit("orders");
        first.State.Create("o1", new Counter(1));
        first.Publish("orders", new OrderPaid("o1"));
        var second = host.Publisher.NewCommit("orders");
        second.State.Create("o1", new Counter(2));
        second.Publish("orders", new OrderPaid("o2"));

        var applied = await first.CommitAsync();
        var conflicted = await second.CommitAsync();

        Assert.True(applied.IsApplied);
        Assert.Equal(applied.Ids, (await host.ReadAsync("orders")).Select(entry => entry.Id));
        Assert.Equal(new StateKey("orders", "o1"), Assert.IsType<CommitCondition.State>(conflicted.Conflict).Key);
        Assert.Equal(1, (await host.Store.GetStreamInfoAsync("orders"))!.Length);
        await Assert.ThrowsAsync<InvalidOperationException>(() => second.CommitAsync().AsTask());
    }

    [Fact]
    public async Task State_that_was_read_is_only_written_when_unchanged_and_otherwise_always()
    {
        await using var host = await ConsumerHost.StartAsync(_ => { });
        await PutAsync(1);
        var reader = host.Publisher.NewCommit("orders");
        Assert.Equal(new Counter(1), await reader.State.GetAsync<Counter>("count"));
        var deleter = host.Publisher.NewCommit("orders");
        Assert.Null(await deleter.State.GetAsync<Counter>("other"));
        deleter.State.Put("other", new Counter(7));
        Assert.Equal(new Counter(7), await deleter.State.GetAsync<Counter>("other"));
        deleter.State.Delete("count");

        await PutAsync(2);
        reader.State.Put("count", new Counter(3));

        Assert.NotNull((await reader.CommitAsync()).Conflict);
        Assert.True((await deleter.CommitAsync()).IsApplied);
        Assert.Null(await host.Store.GetStateAsync(new("orders", "count")));

        async Task PutAsync(int value)
        {
            var commit = host.Publisher.NewCommit("orders");
            commit.State.Put("count", new Counter(value));
            Assert.True((await commit.CommitAsync()).IsApplied);
        }
    }

    /// <summary>What goes on later.</summary>
    private sealed class Posts : SynchronizationContext
    {
        private readonly Queue<(SendOrPostCallback Callback, object? State)> _posts = [];

        public override void Post(SendOrPostCallback d, object? state) => _posts.Enqueue((d, state));

        public void RunAll()
        {
            while (_posts.TryDequeue(out var post))
                post.Callback(post.State);
        }
    }
}
