using Microsoft.Extensions.DependencyInjection;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.WorkQueues;

namespace Millrace.Tests.WorkQueues;

/// <summary>Several jobs in one commit, and what a queue shares with nobody.</summary>
public abstract partial class JobQueueTests
{
    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    public async Task Jobs_of_one_commit_see_each_other(bool atOnce)
    {
        var queue = await WorkerAsync();
        var parent = await queue.EnqueueAsync(new Resize(0), new() { Delay = TimeSpan.FromSeconds(1) });
        var commit = _hosts[^1].Publisher.NewCommit(_queue);
        List<Job> children = [];
        Func<Task<Job>>[] enqueues =
        [
            .. Enumerable.Range(1, 10).Select<int, Func<Task<Job>>>(number => () =>
                queue.EnqueueAsync(commit, new Resize(number), new() { After = [parent.Reference] }).AsTask()),
            () => queue.EnqueueAsync(commit, new Resize(11), new() { UniqueKey = "k" }).AsTask(),
            () => queue.EnqueueAsync(commit, new Resize(11), new() { UniqueKey = "k" }).AsTask(),
            () => queue.EnqueueAsync(commit, new Resize(12), new() { Id = "twelve" }).AsTask(),
            () => queue.EnqueueAsync(commit, new Resize(12), new() { Id = "twelve" }).AsTask(),
        ];
        if (atOnce)
        {
            children.AddRange(await Task.WhenAll(enqueues.Select(enqueue => Task.Run(enqueue))));
        }
        else
        {
            foreach (var enqueue in enqueues)
                children.Add(await enqueue());
        }

        Assert.True((await commit.CommitAsync()).IsApplied);
        await Task.WhenAll(children.Select(child => child.WaitAsync(Patience).AsTask()));

        Assert.Equal(12, children.Count(child => child.IsNew));
        Assert.Equal((children[10].Id, children[12].Id), (children[11].Id, children[13].Id));
        Assert.Equal(Enumerable.Range(0, 13), _ran.Order());
    }

    [Fact]
    public async Task Job_is_told_that_what_it_enqueues_with_its_end_need_not_wait_for_it()
    {
        JobQueue? queue = null;
        queue = await WorkerAsync(
            async (_, context, cancellationToken) =>
                await queue!.EnqueueAsync(context.Message, new Resize(2), new() { After = [context.Job.Reference] }, cancellationToken),
            options => options.MaxAttempts = 1);
        var parent = await queue.EnqueueAsync(new Resize(1));

        var failed = await Assert.ThrowsAsync<JobFailedException>(() => parent.WaitAsync(Patience).AsTask());

        Assert.Contains("leave it out of After", Assert.Single(failed.Status.Errors).Error, StringComparison.Ordinal);
    }

    /// <summary>It used to be acknowledged as another group's, and waited for ever.</summary>
    [Fact]
    public async Task Job_of_a_class_that_the_worker_has_no_handler_for_fails_and_can_be_redriven()
    {
        var queue = await WorkerAsync();
        var job = await queue.EnqueueAsync(new ChildMade("c"), new() { UniqueKey = "k" });

        var failed = await Assert.ThrowsAsync<JobFailedException>(() => job.WaitAsync(Patience).AsTask());
        Assert.Equal(DeadLetterReasons.UnknownType, failed.Status.FailureReason);
        await _hosts[^1].StopAsync();
        await WorkerAsync(configureMore: millrace => millrace.AddJob<ChildMade>(_queue, (_, _, _) => Task.CompletedTask));

        Assert.Equal(RedriveOutcome.Redriven, await queue.RedriveAsync(job.Id, new() { By = "tests" }));
        await Eventually.TrueAsync("it succeeds", async () => (await job.GetStatusAsync())!.State == JobState.Succeeded);
    }

    [Fact]
    public async Task Queue_with_lanes_or_order_or_that_passes_entries_over_does_not_start()
    {
        await RefusesAsync(options => options.DeduplicationWindow = TimeSpan.FromHours(1));
        await RefusesAsync(options => options.Undecodable = UndecodablePolicy.Ignore);
        await RefusesAsync(options => options.OrderedBy = nameof(Resize.Number));
        await RefusesAsync(null, millrace => millrace.AddLanes(_queue, lanes => lanes.Add("express", 2)));

        async Task RefusesAsync(Action<ConsumerOptions>? configure, Action<MillraceBuilder>? more = null)
        {
            var refused = await Assert.ThrowsAsync<MillraceConfigurationException>(() => WorkerAsync(null, configure, more));
            Assert.Contains("it owns its stream", refused.Message, StringComparison.Ordinal);
        }
    }

    /// <summary>The state was read after the redrive, and what was said of it was old by then.</summary>
    [Fact]
    public async Task Job_that_fails_again_before_its_redrive_is_answered_is_not_said_to_wait()
    {
        var isMine = new AsyncLocal<bool>();
        using var goOn = new ManualResetEventSlim();
        var isRedriven = false;
        var slow = await ClientAsync(FaultyStore.Wrap(_store!, member =>
        {
            if (isMine.Value && isRedriven)
                goOn.Wait(Patience);
            isRedriven |= isMine.Value && member == nameof(IStreamStore.CommitAsync);
            return FaultyStore.Fault.None;
        }));
        var queue = await WorkerAsync((_, _, _) => throw new InvalidOperationException("no"), options => options.MaxAttempts = 1);
        var job = await queue.EnqueueAsync(new Resize(1));
        await Assert.ThrowsAsync<JobFailedException>(() => job.WaitAsync(Patience).AsTask());

        var redriving = Task.Run(async () =>
        {
            isMine.Value = true;
            return await slow.RedriveAsync(job.Id, new() { By = "tests" });
        });
        await Eventually.TrueAsync("it failed again", async () => await job.GetStatusAsync() is { State: JobState.Failed, Errors.Count: 2 });
        goOn.Set();

        Assert.Equal(RedriveOutcome.Redriven, await redriving);
        Assert.Equal(JobState.Failed, (await job.GetStatusAsync())!.State);
    }

    [Fact]
    public async Task Queue_is_empty_after_jobs_that_a_process_handed_back_when_it_stopped()
    {
        var (begun, goOn) = (new TaskCompletionSource(), new TaskCompletionSource());
        await WorkerAsync(
            (_, _, _) =>
            {
                begun.TrySetResult();
                return goOn.Task;
            },
            options => (options.Concurrency, options.Prefetch) = (1, 10));
        var stopping = _hosts[^1];
        var client = await ClientAsync();
        var jobs = await client.EnqueueManyAsync([.. Enumerable.Range(0, 5).Select(number => new Resize(number))]);
        await Eventually.TrueAsync("all are held", async () => await _store!.GetGroupsAsync(_queue) is [{ PendingCount: 5 }]);

        // Held is not begun: a process that stopped in between would hand all five back.
        await begun.Task.WaitAsync(Patience);

        var stopped = stopping.StopAsync();
        await Eventually.TrueAsync("four are handed back", async () => await _store!.GetGroupsAsync(_queue) is [{ PendingCount: 1 }]);
        goOn.SetResult();
        await stopped;
        await WorkerAsync();
        await Task.WhenAll(jobs.Select(job => job.WaitAsync(Patience).AsTask()));

        Assert.Equal([0, 1, 2, 3, 4], _ran.Order());
        await Eventually.TrueAsync("the queue is empty", async () => (await _store!.GetStreamInfoAsync(_queue))!.Length == 0);
    }

    [Fact]
    public async Task Options_of_a_recurring_job_hold_in_a_process_that_does_not_add_it()
    {
        var begun = new TaskCompletionSource<JobContext>();
        await WorkerAsync(
            async (_, context, cancellationToken) =>
            {
                begun.TrySetResult(context);
                await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
            },
            options => options.MaxAttempts = 1);
        var options = new JobOptions { TimeLimit = TimeSpan.FromMilliseconds(50), CorrelationId = "talk", UniqueKey = "often" };
        var queue = await StartAsync(
            millrace => millrace.AddRecurringJob("often", _queue, Recurrence.Every(TimeSpan.FromSeconds(1)), _ => new Resize(1), options), null);

        var context = await begun.Task.WaitAsync(Patience);
        var job = queue.Find(context.Job.Id);
        await Assert.ThrowsAsync<JobFailedException>(() => job.WaitAsync(Patience).AsTask());

        Assert.StartsWith("often@", job.Id, StringComparison.Ordinal);
        Assert.Equal("talk", context.Message.CorrelationId);
        Assert.Contains("time limit of 00:00:00.05", Assert.Single((await job.GetStatusAsync())!.Errors).Error, StringComparison.Ordinal);
    }

    [Fact]
    public async Task Redriven_job_does_not_take_the_key_from_another_that_got_it_when_the_store_had_lost_it()
    {
        var goOn = new TaskCompletionSource();
        var isFailing = true;
        var queue = await WorkerAsync(
            (job, _, _) => job.Number == 1 && Volatile.Read(ref isFailing) ? throw new InvalidOperationException("no") : goOn.Task,
            options => (options.MaxAttempts, options.Concurrency) = (1, 4));
        var unique = new JobOptions { UniqueKey = "k", UniqueUntil = UniqueUntil.Forgotten };
        var first = await queue.EnqueueAsync(new Resize(1), unique);
        await Assert.ThrowsAsync<JobFailedException>(() => first.WaitAsync(Patience).AsTask());
        await _store!.CommitAsync(new Commit { Changes = [new CommitChange.DeleteState(new(_queue, "millrace/job-key/k"))] });
        var second = await queue.EnqueueAsync(new Resize(2), unique);
        Assert.True(second.IsNew);

        Volatile.Write(ref isFailing, false);
        Assert.Equal(RedriveOutcome.Redriven, await queue.RedriveAsync(first.Id, new() { By = "tests" }));
        await Eventually.TrueAsync("it failed again", async () => (await first.GetStatusAsync())!.FailureReason?.Contains("unique key") == true);

        Assert.Equal(second.Id, (await queue.EnqueueAsync(new Resize(3), unique)).Id);
        goOn.SetResult();
        await second.WaitAsync(Patience);
        Assert.Equal([2], _ran);
    }
}
