using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Embedded;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Clients;
using Millrace.Tests.Fixtures;
using Millrace.WorkQueues;

namespace Millrace.Tests.WorkQueues;

/// <summary>What job queues promise, the same on every store.</summary>
/// <param name="endpoint">Where the server is, or <see langword="null"/>: the embedded store.</param>
public abstract partial class JobQueueTests(Func<Task<string>>? endpoint) : IAsyncLifetime
{
    private static readonly TimeSpan Patience = Eventually.Deadline;

    private readonly string _queue = $"work-{Guid.NewGuid():N}";
    private readonly ConcurrentQueue<int> _ran = new();
    private readonly List<ConsumerHost> _hosts = [];
    private IStreamStore? _store;

    public sealed class OnEmbedded() : JobQueueTests(null);

    public sealed class OnRedis(SharedRedis redis) : JobQueueTests(async () => (await redis.StartedAsync()).Endpoint);

    public sealed class OnServer(SharedMillrace millrace) : JobQueueTests(async () => $"127.0.0.1:{(await millrace.StartedAsync()).Endpoint.Port}");

    public async ValueTask InitializeAsync() =>
        _store = endpoint is null ? new EmbeddedStreamStore(new()) : new RedisStreamStore(RedisOptions.Parse(await endpoint()));

    public async ValueTask DisposeAsync()
    {
        foreach (var host in _hosts)
            await host.DisposeAsync();
        await _store!.DisposeAsync();
    }

    [Fact]
    public async Task Result_is_awaited_in_another_process_than_the_one_that_enqueued_and_the_one_that_worked()
    {
        var here = await ClientAsync();
        var there = await ClientAsync();
        var job = await here.EnqueueAsync(new Resize(3));
        var waiting = there.Find(job.Id).ResultAsync<Size>(Patience).AsTask();
        await WorkerAsync();

        var result = await waiting;
        var status = await job.GetStatusAsync();

        Assert.Equal((new Size(3, 6), true), (result, job.IsNew));
        Assert.Equal((JobState.Succeeded, 1, 0), (status!.State, status.Attempts, status.Errors.Count));
        Assert.True(status.EnqueuedAt <= status.StartedAt && status.StartedAt <= status.EndedAt);
        Assert.Equal(new Size(3, 6), await there.Find(job.Id).ResultAsync<Size>(TimeSpan.FromSeconds(30))); // Also when it has ended long ago.
    }

    [Fact]
    public async Task Result_is_awaited_without_a_limit_until_it_is_there_or_the_caller_gives_up()
    {
        var queue = await ClientAsync();
        var job = await queue.EnqueueAsync(new Resize(3));
        using var stop = new CancellationTokenSource();
        var given = job.ResultAsync<Size>(stop.Token).AsTask();
        var waiting = job.ResultAsync<Size>().AsTask();

        await stop.CancelAsync();
        await Assert.ThrowsAnyAsync<OperationCanceledException>(() => given);
        Assert.False(waiting.IsCompleted);
        await WorkerAsync();

        Assert.Equal(new Size(3, 6), await waiting.WaitAsync(Patience));
    }

    [Fact]
    public async Task Hundred_waiters_of_a_hundred_jobs_all_wake()
    {
        await WorkerAsync();
        var queue = await ClientAsync();
        var jobs = await queue.EnqueueManyAsync([.. Enumerable.Range(0, 100).Select(number => new Resize(number))]);

        var results = await Task.WhenAll(jobs.Select(job => job.ResultAsync<Size>(Patience).AsTask()));

        Assert.Equal(Enumerable.Range(0, 100), results.Select(size => size.Width));
        await Eventually.TrueAsync("the queue's stream is empty", async () => (await _store!.GetStreamInfoAsync(_queue))!.Length == 0);
    }

    [Fact]
    public async Task Waiting_ends_with_a_clear_error_when_the_job_takes_longer_or_is_unknown()
    {
        var queue = await ClientAsync();
        var job = await queue.EnqueueAsync(new Resize(1));

        var timeout = await Assert.ThrowsAsync<TimeoutException>(() => job.WaitAsync(TimeSpan.FromMilliseconds(50)).AsTask());
        await Assert.ThrowsAsync<JobNotFoundException>(() => queue.Find("nobody").WaitAsync(Patience).AsTask());

        Assert.Contains(job.Id, timeout.Message, StringComparison.Ordinal);
        Assert.Equal(JobState.Waiting, (await job.GetStatusAsync())!.State);
    }

    [Fact]
    public async Task Job_that_fails_for_good_tells_the_errors_of_its_attempts_and_runs_again_when_it_is_redriven()
    {
        var fails = true;
        var queue = await WorkerAsync(
            (_, _, _) => fails ? throw new InvalidOperationException("no paper") : Task.CompletedTask,
            options => (options.MaxAttempts, options.RetryBaseDelay) = (3, TimeSpan.FromMilliseconds(1)));
        var job = await queue.EnqueueAsync(new Resize(1));

        var failed = await Assert.ThrowsAsync<JobFailedException>(() => job.WaitAsync(Patience).AsTask());
        Assert.Equal([1, 2, 3], failed.Status.Errors.Select(error => error.Attempt));
        Assert.All(failed.Status.Errors, error => Assert.Contains("no paper", error.Error, StringComparison.Ordinal));

        fails = false;
        Assert.Equal(RedriveOutcome.Redriven, await queue.RedriveAsync(job.Id, new() { By = "tests" }));
        await Eventually.TrueAsync("the redriven job succeeds", async () => (await job.GetStatusAsync())!.State == JobState.Succeeded);
        Assert.Equal(RedriveOutcome.Gone, await queue.RedriveAsync(job.Id, new() { By = "tests" }));
    }

    [Fact]
    public async Task Job_that_outlasts_its_time_limit_counts_as_failed()
    {
        var queue = await WorkerAsync(
            (_, _, cancellationToken) => Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken), options => options.MaxAttempts = 1);

        var job = await queue.EnqueueAsync(new Resize(1), new() { TimeLimit = TimeSpan.FromMilliseconds(50) });

        var failed = await Assert.ThrowsAsync<JobFailedException>(() => job.WaitAsync(Patience).AsTask());
        Assert.Contains("TimeoutException", Assert.Single(failed.Status.Errors).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Progress_is_seen_while_the_job_runs_and_kept_when_it_has_ended()
    {
        var goOn = new TaskCompletionSource();
        await WorkerAsync(async (_, context, _) =>
        {
            for (var i = 0; i < 1_000; i++)
                context.Report(i / 10.0, $"step {i}");
            await goOn.Task;
            context.Report(100, "done");
        });
        var job = await (await ClientAsync()).EnqueueAsync(new Resize(1));

        List<JobStatus> seen = [];
        await foreach (var status in job.WatchAsync(TestContext.Current.CancellationToken))
        {
            seen.Add(status);
            if (status.Progress is { Text: "step 999" })
                goOn.TrySetResult();
        }

        Assert.Contains(seen, status => status is { State: JobState.Running, Progress: { Percent: 99.9, Text: "step 999" } });
        Assert.Equal((JobState.Succeeded, new JobProgress(100, "done")), (seen[^1].State, seen[^1].Progress));
        Assert.True(seen.Count < 20, $"{seen.Count} states were told of 1,001 reports.");
    }

    [Fact]
    public async Task Delayed_job_waits_and_says_until_when()
    {
        var queue = await WorkerAsync();
        var job = await queue.EnqueueAsync(new Resize(1), new() { Delay = TimeSpan.FromSeconds(1) });

        var before = await job.GetStatusAsync();
        var after = await job.WaitAsync(Patience);

        Assert.Equal(JobState.Delayed, before!.State);
        Assert.InRange((before.DueAt - before.EnqueuedAt)!.Value, TimeSpan.FromSeconds(0.9), Patience);
        Assert.True(after.StartedAt >= before.DueAt - TimeSpan.FromMilliseconds(100), $"{after.StartedAt} is before {before.DueAt}");
    }

    /// <summary>A read without an answer passed for an enqueuing without one, and who acts on a new job did so twice.</summary>
    [Fact]
    public async Task Job_that_was_there_is_not_new_although_a_read_of_it_had_no_answer()
    {
        var lost = 0;
        var bad = await ClientAsync(FaultyStore.Wrap(_store!, (member, arguments) =>
            member == nameof(IStreamStore.GetStatesAsync) && arguments[0] is IReadOnlyList<StateKey> keys &&
            keys.Any(key => key.Name.EndsWith("/one", StringComparison.Ordinal)) && Interlocked.Increment(ref lost) == 1
                ? FaultyStore.Fault.Behind
                : FaultyStore.Fault.None));
        var options = new JobOptions { Id = "one" };
        Assert.True((await (await ClientAsync()).EnqueueAsync(new Resize(1), options)).IsNew);

        var again = await bad.EnqueueAsync(new Resize(1), options);

        Assert.Equal(("one", false), (again.Id, again.IsNew));
        Assert.Equal(2, lost);
    }

    [Fact]
    public async Task Enqueue_whose_answer_is_lost_is_made_once()
    {
        var lost = 0;
        var bad = await ClientAsync(FaultyStore.Wrap(_store!, member =>
            member == nameof(IStreamStore.CommitAsync) && Interlocked.Increment(ref lost) <= 2 ? FaultyStore.Fault.After : FaultyStore.Fault.None));

        var job = await bad.EnqueueAsync(new Resize(1), new() { UniqueKey = "one" });
        var again = await bad.EnqueueAsync(new Resize(1), new() { Id = job.Id });

        Assert.Equal((true, false, job.Id), (job.IsNew, again.IsNew, again.Id));
        Assert.Equal(1, (await _store!.GetStreamInfoAsync(_queue))!.Length);
        Assert.True(lost > 1);
    }

    [Fact]
    public async Task Job_enqueued_in_a_handlers_commit_is_there_once_however_often_the_handler_runs()
    {
        var runs = 0;
        var parents = $"parents-{Guid.NewGuid():N}";
        var queue = await WorkerAsync(configureMore: millrace => millrace.AddJob<Resize>($"{{{_queue}}}:{parents}", async (job, context, cancellationToken) =>
        {
            var child = await _hosts[^1].Host.Services.GetRequiredKeyedService<JobQueue>(_queue)
                .EnqueueAsync(context.Message, new Resize(job.Number + 1), new() { UniqueKey = "child" }, cancellationToken);
            context.Message.Publish($"{{{_queue}}}:children", new ChildMade(child.Id));
            if (Interlocked.Increment(ref runs) == 1)
                throw new CommitConflictException(CommitCondition.NoStream(parents));
        }));
        var parent = await _hosts[^1].Host.Services.GetRequiredKeyedService<JobQueue>($"{{{_queue}}}:{parents}").EnqueueAsync(new Resize(1));

        await parent.WaitAsync(Patience);
        var made = await _hosts[^1].ReadAsync($"{{{_queue}}}:children");
        var child = queue.Find(_hosts[^1].Host.Services.GetRequiredService<MessageCodec>().Decode(made[0].Id, made[0].Fields) is ChildMade one ? one.Id : "");

        Assert.Equal(new Size(2, 4), await child.ResultAsync<Size>(Patience));
        Assert.Equal(2, runs);
        Assert.Equal([2], _ran);
    }

    [Fact]
    public async Task Many_jobs_whose_answer_is_lost_are_each_enqueued_once()
    {
        var lost = 0;
        var bad = await ClientAsync(FaultyStore.Wrap(_store!, member =>
            member == nameof(IStreamStore.CommitAsync) && Interlocked.Increment(ref lost) == 1 ? FaultyStore.Fault.After : FaultyStore.Fault.None));

        var jobs = await bad.EnqueueManyAsync([.. Enumerable.Range(0, 20).Select(number => new Resize(number))]);

        Assert.All(jobs, job => Assert.True(job.IsNew));
        Assert.Equal((20, 20), (jobs.Select(job => job.Id).Distinct().Count(), (await _store!.GetStreamInfoAsync(_queue))!.Length));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Job_of_a_commit_is_enqueued_with_the_rest_of_it_or_not_at_all(bool isApplied)
    {
        var queue = await WorkerAsync();
        var commit = _hosts[^1].Publisher.NewCommit(_queue);
        var job = await queue.EnqueueAsync(commit, new Resize(1), new() { UniqueKey = "k" });
        Assert.Null(await job.GetStatusAsync());
        if (!isApplied)
            commit.Require(CommitCondition.EntryExists(_queue, new(1, 1)));

        Assert.Equal(isApplied, (await commit.CommitAsync()).IsApplied);

        if (isApplied)
            Assert.Equal(new Size(1, 2), await job.ResultAsync<Size>(Patience));
        else
            Assert.True((await queue.EnqueueAsync(new Resize(2), new() { UniqueKey = "k" })).IsNew);
    }

    [Fact]
    public async Task Handler_of_a_class_is_made_anew_for_each_attempt()
    {
        var made = new MadeHandlers();
        var host = await ConsumerHost.StartAsync(
            millrace =>
            {
                millrace.Services.AddSingleton(made);
                millrace.AddJob<ResizeHandler, Resize, Size>(
                    _queue,
                    (handler, job, context, cancellationToken) => handler.HandleAsync(job, context, cancellationToken),
                    options => options.RetryBaseDelay = TimeSpan.Zero);
            },
            _store);
        _hosts.Add(host);

        var job = await host.Host.Services.GetRequiredKeyedService<JobQueue>(_queue).EnqueueAsync(new Resize(5));

        Assert.Equal(new Size(5, 2), await job.ResultAsync<Size>(Patience));
        Assert.Equal(2, made.Count);
    }

    [Fact]
    public async Task Message_that_was_published_and_not_enqueued_runs_as_a_job_of_its_message_id()
    {
        var queue = await WorkerAsync();
        await _hosts[^1].Publisher.PublishAsync(_queue, new Resize(4), new() { MessageId = "foreign" });

        await Eventually.TrueAsync("the job is known", async () => await queue.Find("foreign").GetStatusAsync() is not null);

        Assert.Equal(new Size(4, 8), await queue.Find("foreign").ResultAsync<Size>(Patience));
    }

    /// <summary>A process that only enqueues and waits.</summary>
    private async Task<JobQueue> ClientAsync(IStreamStore? store = null) => await StartAsync(millrace => millrace.AddJobQueue(_queue), store);

    /// <summary>A process that works. Its handler notes the number of the job, and returns a size.</summary>
    private Task<JobQueue> WorkerAsync(
        Func<Resize, JobContext, CancellationToken, Task>? handler = null,
        Action<ConsumerOptions>? configure = null,
        Action<MillraceBuilder>? configureMore = null,
        IStreamStore? store = null) => StartAsync(
            millrace =>
            {
                millrace.AddJob<Resize, Size>(
                    _queue,
                    async (job, context, cancellationToken) =>
                    {
                        await (handler?.Invoke(job, context, cancellationToken) ?? Task.CompletedTask);
                        _ran.Enqueue(job.Number);
                        return new(job.Number, 2 * job.Number);
                    },
                    configure);
                configureMore?.Invoke(millrace);
            },
            store);

    private async Task<JobQueue> StartAsync(Action<MillraceBuilder> configure, IStreamStore? store)
    {
        var host = await ConsumerHost.StartAsync(
            millrace => configure(millrace.AddMessage<Resize>().AddMessage<ChildMade>()), store ?? _store, instance: $"p{_hosts.Count}");
        _hosts.Add(host);
        return host.Host.Services.GetRequiredKeyedService<JobQueue>(_queue);
    }
}

[Message("resize")]
public sealed record Resize(int Number);

[Message("child.made")]
public sealed record ChildMade(string Id);

public sealed record Size(int Width, int Height);

public sealed class MadeHandlers
{
    public int Count;
}

public sealed class ResizeHandler
{
    public ResizeHandler(MadeHandlers made) => Interlocked.Increment(ref made.Count);

    public Task<Size> HandleAsync(Resize job, JobContext context, CancellationToken cancellationToken) => context.Attempt == 1
        ? throw new InvalidOperationException("once")
        : Task.FromResult(new Size(job.Number, context.Attempt));
}
