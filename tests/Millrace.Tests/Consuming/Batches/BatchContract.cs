using System.Collections.Concurrent;
using System.Diagnostics.Metrics;
using System.Text.Json;
using Microsoft.Extensions.DependencyInjection;
using Microsoft.Extensions.Hosting;
using Millrace.Hosting;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Monitoring;

namespace Millrace.Tests.Consuming.Batches;

/// <summary>Handlers of many messages at once, the same on every store.</summary>
public abstract class BatchContract
{
    private const string Group = "billing";

    // Only as long as a batch that never fills, and a test that fails, would take.
    private static readonly TimeSpan LongWait = TimeSpan.FromMinutes(1);

    private readonly string _stream = $"orders-{Guid.NewGuid():N}";
    private readonly ConcurrentQueue<string[]> _batches = new();

    protected abstract IStreamStore Store { get; }

    [Fact]
    public async Task Full_batches_run_at_once_each_in_the_order_of_the_stream_and_are_settled()
    {
        await using var host = await StartAsync(
            (_, _, _) => Task.CompletedTask, o => (o.BatchSize, o.BatchWait, o.Concurrency) = (4, LongWait, 1));

        await PublishAsync(host, 8);
        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal([4, 4], _batches.Select(batch => batch.Length));
        Assert.All(_batches, batch => Assert.Equal(batch.Order(), batch));
        Assert.Equal(8, _batches.SelectMany(batch => batch).Distinct().Count());
    }

    [Fact]
    public async Task Batch_that_does_not_fill_runs_when_its_first_message_has_waited()
    {
        await using var host = await StartAsync((_, _, _) => Task.CompletedTask, o => o.BatchWait = TimeSpan.FromMilliseconds(20));

        await PublishAsync(host, 3);
        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal(3, _batches.Sum(batch => batch.Length));
    }

    [Fact]
    public async Task Single_messages_can_fail_and_be_rejected_while_the_others_are_acknowledged()
    {
        await using var host = await StartAsync((orders, batch, _) =>
        {
            for (var i = 0; i < orders.Count; i++)
            {
                if (orders[i].OrderId == "o1" && batch.Items[i].Attempt == 1)
                    batch.Fail(i, new TimeoutException("later"));
                else if (orders[i].OrderId == "o2")
                    batch.Reject(i, "bad");
                else
                    batch.Items[i].Publish($"{_stream}-done", new OrderPaid($"{orders[i].OrderId} {batch.Items[i].Attempt}"));
            }

            return Task.CompletedTask;
        }, o => (o.BatchSize, o.BatchWait) = (4, TimeSpan.FromMilliseconds(50)));

        await PublishAsync(host, 4);
        var done = await host.ReadAsync($"{_stream}-done", 3);
        var dead = await host.ReadAsync(StreamNames.DeadLetters(_stream, Group));

        Assert.Equal(
            ["{\"orderId\":\"o0 1\"}", "{\"orderId\":\"o1 2\"}", "{\"orderId\":\"o3 1\"}"],
            done.Select(entry => entry.Fields.GetText("data"u8)!).Order());
        Assert.Equal(("bad", "{\"orderId\":\"o2\",\"total\":2}"), (dead[0].Fields.GetText("deadreason"u8), dead[0].Fields.GetText("data"u8)));
    }

    [Fact]
    public async Task Exception_fails_every_message_that_was_not_marked()
    {
        await using var host = await StartAsync((orders, batch, _) =>
        {
            for (var i = 0; i < orders.Count; i++)
            {
                batch.Items[i].Publish($"{_stream}-done", new OrderPaid($"{orders[i].OrderId} {batch.Items[i].Attempt}"));
                if (orders[i].OrderId == "o0")
                    batch.Succeed(i);
            }

            return batch.Items[0].Attempt == 1 ? throw new InvalidOperationException("mid-way") : Task.CompletedTask;
        }, o => (o.BatchSize, o.BatchWait) = (3, TimeSpan.FromSeconds(1)));

        await PublishAsync(host, 3);
        var done = await host.ReadAsync($"{_stream}-done", 3);

        Assert.Equal(
            ["{\"orderId\":\"o0 1\"}", "{\"orderId\":\"o1 2\"}", "{\"orderId\":\"o2 2\"}"],
            done.Select(entry => entry.Fields.GetText("data"u8)!).Order());
    }

    [Fact]
    public async Task Messages_of_a_batch_that_write_one_document_conflict_and_no_count_is_lost()
    {
        await using var host = await StartAsync(async (_, batch, _) =>
        {
            foreach (var item in batch.Items)
            {
                var counter = await item.State.GetAsync<Counter>("count") ?? new(0);
                item.State.Put("count", new Counter(counter.Value + 1));
            }
        }, o => (o.BatchSize, o.BatchWait) = (5, TimeSpan.FromMilliseconds(20)));

        await PublishAsync(host, 5);

        await Eventually.TrueAsync("all five are counted", async () =>
            await Store.GetStateAsync(new(_stream, "count")) is { } state &&
            JsonDocument.Parse(state.Payload).RootElement.GetProperty("value").GetInt32() == 5);
        await host.WhenSettledAsync(_stream, Group);
    }

    [Fact]
    public async Task Messages_of_a_batch_whose_process_died_run_alone()
    {
        var running = new TaskCompletionSource();
        await using (var killed = await StartAsync((_, _, _) =>
        {
            running.SetResult();
            return Task.Delay(Timeout.Infinite);
        }, o => (o.BatchSize, o.BatchWait) = (3, LongWait)))
        {
            await PublishAsync(killed, 3);
            await running.Task.WaitAsync(Eventually.Deadline);
            await killed.AbortAsync();
        }

        _batches.Clear();
        await using var host = await StartAsync((_, _, _) => Task.CompletedTask, o => (o.BatchSize, o.BatchWait) = (3, LongWait));
        await host.WhenSettledAsync(_stream, Group);

        Assert.Equal([1, 1, 1], _batches.Select(batch => batch.Length));
    }

    [Fact]
    public async Task Batch_that_gathers_runs_when_the_process_stops()
    {
        await using var host = await StartAsync((_, _, _) => Task.CompletedTask, o => (o.BatchSize, o.BatchWait) = (10, LongWait));
        await PublishAsync(host, 2);
        var worker = host.Host.Services.GetRequiredService<MillraceService>().Workers.Single();
        await Eventually.TrueAsync("both have begun, and wait for others", () => new(worker.Load.Running == 2));

        await host.StopAsync();

        Assert.Equal(["o0", "o1"], _batches.SelectMany(batch => batch).Order());
        Assert.Equal(0, (await Store.PendingSummaryAsync(_stream, Group)).Count);
        Assert.Equal(0, (await Store.GetStreamInfoAsync(StreamNames.Again(_stream, Group)))!.EntriesAdded);
    }

    [Fact]
    public async Task Batch_that_takes_too_long_is_cancelled_and_its_messages_tried_again()
    {
        await using var host = await StartAsync(
            (_, batch, token) => batch.Items[0].Attempt == 1 ? Task.Delay(Timeout.Infinite, token) : Task.CompletedTask,
            o => (o.BatchSize, o.BatchWait, o.HandlerTimeout) = (2, LongWait, TimeSpan.FromMilliseconds(50)));

        await PublishAsync(host, 2);
        await Eventually.TrueAsync("both were handled at last", () =>
            ValueTask.FromResult(_batches.Skip(1).Sum(batch => batch.Length) == 2));
    }

    [Fact]
    public async Task Batch_that_gathers_is_handed_back_on_a_pause_and_does_not_begin()
    {
        var begun = 0;
        await using var host = await StartAsync((_, _, _) =>
        {
            Interlocked.Increment(ref begun);
            return Task.CompletedTask;
        }, o => (o.BatchSize, o.BatchWait) = (10, LongWait));
        await PublishAsync(host, 3);
        await Eventually.TrueAsync("all are delivered", async () => await Store.GetGroupsAsync(_stream) is [{ PendingCount: 3 }]);

        Pause(host);
        await using var other = await StartAsync((_, _, _) => Task.CompletedTask, o => o.BatchWait = TimeSpan.FromMilliseconds(20), "other");
        await Eventually.TrueAsync("the other process handles them", () => ValueTask.FromResult(_batches.Sum(batch => batch.Length) == 3));

        Assert.Equal(0, begun);
        await host.WhenSettledAsync(_stream, Group);
    }

    [Fact]
    public async Task Batches_that_wait_for_their_turn_are_handed_back_on_a_pause()
    {
        await LeavePendingAsync(3);
        var (started, finish) = (new TaskCompletionSource(), new TaskCompletionSource());
        await using var host = await StartAsync((_, _, _) =>
        {
            started.TrySetResult();
            return finish.Task;
        }, o => (o.BatchSize, o.Concurrency, o.HandlerTimeout) = (3, 1, LongWait));
        await started.Task.WaitAsync(Eventually.Deadline);
        await PublishUntilReadAsync(host, "o3"); // It reads when it has taken over what was left; the rest of that would wait for the lease.

        Pause(host);
        await using var other = await StartAsync((_, _, _) => Task.CompletedTask, o => o.BatchWait = TimeSpan.FromMilliseconds(20), "other");
        await Eventually.TrueAsync("the other process handles three", () => ValueTask.FromResult(_batches.Sum(batch => batch.Length) == 4));

        finish.SetResult();
        await host.WhenSettledAsync(_stream, Group);
        Assert.Equal(["o0", "o1", "o2", "o3"], _batches.SelectMany(batch => batch).Order());
    }

    /// <summary>They were only told of the first time that the gate closed, and may have survived that: it was open again, or the process stops.</summary>
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Batches_that_wait_for_their_turn_are_handed_back_on_a_pause_after_an_earlier_one_or_a_stop(bool isStopping)
    {
        await LeavePendingAsync(3);
        var (started, finish) = (new TaskCompletionSource<CancellationToken>(), new TaskCompletionSource());
        await using var host = await StartAsync((_, _, token) =>
        {
            started.TrySetResult(token);
            return finish.Task;
        }, o => (o.BatchSize, o.Concurrency, o.HandlerTimeout) = (3, 1, LongWait));
        var running = await started.Task.WaitAsync(Eventually.Deadline);
        await PublishUntilReadAsync(host, "o3");

        var stopping = Task.CompletedTask;
        if (isStopping)
        {
            stopping = host.StopAsync();
            await Eventually.TrueAsync("o3 is handed back", async () => (await Store.PendingSummaryAsync(_stream, Group)).Count == 3);
        }
        else
        {
            var control = Control(host);
            Assert.True(control.Pause(_stream, Group) && control.Resume(_stream, Group)); // Before what waits has looked.
            await PublishUntilReadAsync(host, "o4"); // By a read that began after the pause.
        }

        Pause(host);
        await using var other = await StartAsync((_, _, _) => Task.CompletedTask, o => o.BatchWait = TimeSpan.FromMilliseconds(20), "other");
        var count = isStopping ? 4 : 5;
        await Eventually.TrueAsync("the other process handles all but one", () => ValueTask.FromResult(_batches.Sum(batch => batch.Length) == count));

        Assert.False(running.IsCancellationRequested); // Not as late as at the end of a drain.
        finish.SetResult();
        await stopping;
        await host.WhenSettledAsync(_stream, Group);
        Assert.Equal(Enumerable.Range(0, count).Select(i => $"o{i}"), _batches.SelectMany(batch => batch).Order());
    }

    [Fact]
    public async Task Message_that_a_breaker_tries_and_that_waits_for_its_turn_is_handed_back_on_a_pause()
    {
        await LeavePendingAsync(4);
        using var third = new ManualResetEventSlim();
        var finish = new TaskCompletionSource();
        var (begun, failed) = (0, 0);

        // Two fail, and the third has the only place before the second is counted, which opens the breaker: what is tried then has to wait.
        await using var host = await StartAsync(
            (_, _, _) =>
            {
                if (Interlocked.Increment(ref begun) < 3)
                    throw new TimeoutException("down");
                third.Set();
                return finish.Task;
            },
            o =>
            {
                (o.BatchSize, o.Concurrency, o.HandlerTimeout, o.BreakerFailures) = (4, 1, LongWait, 2);
                o.BreakerPause = o.BreakerMaxPause = TimeSpan.FromMilliseconds(20);
            },
            measured: () =>
            {
                if (Interlocked.Increment(ref failed) == 2)
                    third.Wait(Eventually.Deadline);
            });
        await Eventually.TrueAsync("one message is tried", () => ValueTask.FromResult(Control(host).Consumers[0].Detail == "one message is tried"));

        Pause(host);
        var handled = new ConcurrentQueue<string>();
        await using var other = await StartAsync(
            (orders, _, _) =>
            {
                foreach (var order in orders)
                    handled.Enqueue(order.OrderId);
                return Task.CompletedTask;
            },
            o => o.BatchWait = TimeSpan.FromMilliseconds(20),
            "other");
        await Eventually.TrueAsync("the other process handles all but one", () => ValueTask.FromResult(handled.Distinct().Count() == 3));

        Assert.Equal(3, begun);
        finish.SetResult();
        await host.WhenSettledAsync(_stream, Group);
        Assert.Equal(3, handled.Count);
    }

    /// <summary>The message that is tried closes the gate for all others, and begins all the same.</summary>
    [Fact]
    public async Task Messages_of_an_outage_are_handled_in_batches_after_it()
    {
        const int messages = 20;
        var isDown = true;
        var handled = new ConcurrentQueue<string>();
        await using var host = await StartAsync(
            (orders, _, _) =>
            {
                if (Volatile.Read(ref isDown))
                    throw new TimeoutException("down");
                foreach (var order in orders)
                    handled.Enqueue(order.OrderId);
                return Task.CompletedTask;
            },
            o =>
            {
                (o.BatchSize, o.BatchWait, o.BreakerFailures, o.MaxAttempts) = (4, TimeSpan.FromMilliseconds(20), 4, 3);
                (o.BreakerPause, o.BreakerMaxPause) = (TimeSpan.FromMilliseconds(2), TimeSpan.FromMilliseconds(4));
            });
        await PublishAsync(host, messages);

        // More tries than any message has attempts, however they fall.
        await Eventually.TrueAsync("messages were tried again and again", () =>
            ValueTask.FromResult(_batches.Sum(batch => batch.Length) > 3 * messages));

        Volatile.Write(ref isDown, false);
        await Eventually.TrueAsync("all are handled", () => ValueTask.FromResult(handled.Distinct().Count() == messages));
        Assert.Null(await Store.GetStreamInfoAsync(StreamNames.DeadLetters(_stream, Group)));
    }

    [Fact]
    public async Task Breaker_opens_after_as_many_calls_as_are_set_however_many_messages_fail_with_each()
    {
        var calls = 0;
        var finish = new TaskCompletionSource();
        await using var host = await StartAsync(
            (_, _, _) => Interlocked.Increment(ref calls) <= 4 ? throw new TimeoutException("down") : finish.Task,
            o => (o.BatchSize, o.Concurrency, o.BreakerFailures, o.BreakerPause) = (8, 1, 4, LongWait));
        await PublishAsync(host, 64);

        await Eventually.TrueAsync("the breaker is open", () => ValueTask.FromResult(Control(host).Consumers[0].State == WorkerState.Tripped));

        Assert.InRange(Volatile.Read(ref calls), 4, 5);
        finish.SetResult();
    }

    /// <summary>Its call fails all that are in it, which is one failure: it uses up its attempts as a message by itself does.</summary>
    [Fact]
    public async Task Bad_message_that_fails_its_batches_goes_to_the_dead_letters_and_opens_no_breaker()
    {
        await using var host = await StartAsync(
            (orders, _, _) => orders.Any(order => order.OrderId == "bad") ? throw new InvalidOperationException("bad") : Task.CompletedTask,
            o =>
            {
                (o.BatchSize, o.BatchWait, o.BreakerFailures, o.MaxAttempts) = (8, TimeSpan.FromMilliseconds(20), 4, 3);
                (o.BreakerPause, o.BreakerMaxPause) = (TimeSpan.FromMilliseconds(2), TimeSpan.FromMilliseconds(4));
            });
        using var recorder = new MeterRecorder(host, name => name == "millrace.breaker.trips");
        await host.Publisher.PublishManyAsync(
            _stream, [new("bad", 1), .. Enumerable.Range(0, 7).Select(i => new OrderCreated($"o{i}", i))]);

        await Eventually.TrueAsync("the bad one is a dead letter", async () =>
        {
            await PublishAsync(host, 8); // Good ones go on.
            return (await Store.RangeAsync(StreamNames.DeadLetters(_stream, Group), new()))
                .Any(entry => entry.Fields.GetText("data"u8)!.Contains("bad", StringComparison.Ordinal));
        });

        Assert.Empty(recorder.Of("millrace.breaker.trips"));
    }

    private static ConsumerControl Control(ConsumerHost host) => host.Host.Services.GetRequiredService<ConsumerControl>();

    private void Pause(ConsumerHost host) => Assert.True(Control(host).Pause(_stream, Group));

    /// <summary>Messages of a process that died, so that each runs alone, and all but one wait for the one that runs.</summary>
    private async Task LeavePendingAsync(int count)
    {
        await Store.CreateGroupAsync(_stream, Group, GroupStart.Beginning);
        await Store.AppendManyAsync(_stream, [.. Enumerable.Range(0, count).Select(i => EntryFields.Create(
            ("type", "order.created"), ("schemaversion", "2"), ("data", $"{{\"orderId\":\"o{i}\"}}")))]);
        await Store.ReadGroupAsync(new() { Group = Group, Consumer = "local", Streams = [_stream], Count = count });
    }

    private async Task PublishUntilReadAsync(ConsumerHost host, string id)
    {
        await host.Publisher.PublishAsync(_stream, new OrderCreated(id, 1));
        await Eventually.TrueAsync("it is read", async () => await Store.GetGroupsAsync(_stream) is [{ Lag: 0 }]);
    }

    private async Task PublishAsync(ConsumerHost host, int count) =>
        await host.Publisher.PublishManyAsync(_stream, Enumerable.Range(0, count).Select(i => new OrderCreated($"o{i}", i)).ToList());

    private Task<ConsumerHost> StartAsync(
        Func<IReadOnlyList<OrderCreated>, BatchContext, CancellationToken, Task> handle,
        Action<ConsumerOptions> configure,
        string instance = "local",
        Action? measured = null) => ConsumerHost.StartAsync(
        m =>
        {
            if (measured is not null)
                m.Services.AddHostedService(services => new FailureMeter(services.GetRequiredService<IMeterFactory>(), measured));
            m.AddMessage<OrderPaid>().AddBatchConsumer<OrderCreated>(
                _stream,
                Group,
                async (orders, batch, token) =>
                {
                    Assert.Equal(orders.Count, batch.Items.Count);
                    _batches.Enqueue([.. orders.Select(order => order.OrderId)]);
                    await handle(orders, batch, token);
                },
                o =>
                {
                    o.RetryBaseDelay = TimeSpan.FromMilliseconds(1);
                    configure(o);
                });
        },
        Store,
        instance: instance);

    /// <summary>Calls back for each message of one host that failed, before the failure is counted by the breaker.</summary>
    private sealed class FailureMeter(IMeterFactory scope, Action measured) : IHostedService
    {
        private readonly MeterListener _listener = new();

        public Task StartAsync(CancellationToken cancellationToken)
        {
            _listener.InstrumentPublished = (instrument, listener) =>
            {
                if (instrument.Meter.Scope == scope && instrument.Name == "messaging.process.duration")
                    listener.EnableMeasurementEvents(instrument);
            };
            _listener.SetMeasurementEventCallback<double>((_, _, tags, _) =>
            {
                if (tags.ToArray().Any(tag => tag.Key == "error.type"))
                    measured();
            });
            _listener.Start();
            return Task.CompletedTask;
        }

        public Task StopAsync(CancellationToken cancellationToken)
        {
            _listener.Dispose();
            return Task.CompletedTask;
        }
    }
}
