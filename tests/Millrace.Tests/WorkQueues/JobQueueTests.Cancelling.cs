using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.WorkQueues;

namespace Millrace.Tests.WorkQueues;

/// <summary>Cancelling, and unique keys.</summary>
public abstract partial class JobQueueTests
{
    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Job_that_has_not_begun_never_runs_once_it_is_cancelled(bool isDelayed)
    {
        var queue = await ClientAsync();
        var job = await queue.EnqueueAsync(new Resize(1), new() { Delay = isDelayed ? TimeSpan.FromMilliseconds(300) : null });

        Assert.Equal(CancelOutcome.Cancelled, await job.CancelAsync());
        Assert.Equal(CancelOutcome.AlreadyCancelled, await job.CancelAsync());
        Assert.Equal(CancelOutcome.NotFound, await queue.Find("nobody").CancelAsync());
        await Assert.ThrowsAsync<JobCancelledException>(() => job.WaitAsync(Patience).AsTask());

        await WorkerAsync(configure: options => options.Concurrency = 1);
        await (await queue.EnqueueAsync(new Resize(2), new() { Delay = isDelayed ? TimeSpan.FromMilliseconds(300) : null })).WaitAsync(Patience);
        await _hosts[^1].WhenSettledAsync(_queue, _queue);
        Assert.Equal([2], _ran);
        Assert.Equal(JobState.Cancelled, (await job.GetStatusAsync())!.State);
    }

    [Fact]
    public async Task Running_job_is_cancelled_from_another_process_and_none_of_its_effects_is_written()
    {
        var begun = new TaskCompletionSource();
        await WorkerAsync(async (job, context, cancellationToken) =>
        {
            context.State.Put("effect", "made");
            begun.SetResult();
            await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
        });
        var queue = await ClientAsync();
        var job = await queue.EnqueueAsync(new Resize(1));
        await begun.Task;

        Assert.Equal(CancelOutcome.Requested, await job.CancelAsync());
        var cancelled = await Assert.ThrowsAsync<JobCancelledException>(() => job.WaitAsync(Patience).AsTask());

        Assert.Equal((JobState.Cancelled, 1), (cancelled.Status.State, cancelled.Status.Attempts));
        Assert.Null(await _store!.GetStateAsync(new(_queue, "effect")));
        Assert.Empty(_ran);
        Assert.Equal(CancelOutcome.AlreadyCancelled, await job.CancelAsync());
    }

    [Fact]
    public async Task Handler_that_returns_although_its_job_was_cancelled_has_succeeded_and_later_it_is_too_late()
    {
        var begun = new TaskCompletionSource();
        var goOn = new TaskCompletionSource();
        await WorkerAsync(async (_, _, _) =>
        {
            begun.SetResult();
            await goOn.Task;
        });
        var job = await (await ClientAsync()).EnqueueAsync(new Resize(1));
        await begun.Task;
        Assert.Equal((CancelOutcome.Requested, CancelOutcome.AlreadyRequested), (await job.CancelAsync(), await job.CancelAsync()));
        Assert.True((await job.GetStatusAsync())!.IsCancelRequested);
        goOn.SetResult();

        Assert.Equal(new Size(1, 2), await job.ResultAsync<Size>(Patience));
        Assert.Equal(CancelOutcome.TooLate, await job.CancelAsync());
        Assert.False((await job.GetStatusAsync())!.IsCancelRequested);
    }

    [Fact]
    public async Task Job_that_waits_for_its_next_attempt_is_cancelled_at_once()
    {
        var queue = await WorkerAsync(
            (_, _, _) => throw new InvalidOperationException(), options => options.RetryRules.Add(new()
            {
                Exception = typeof(InvalidOperationException).FullName!,
                BaseDelay = TimeSpan.FromHours(10),
                MaxDelay = TimeSpan.FromHours(20),
            }));
        var job = await queue.EnqueueAsync(new Resize(1));
        await Eventually.TrueAsync("the first attempt fails", async () => (await job.GetStatusAsync())!.Errors.Count == 1);

        Assert.Equal(JobState.Delayed, (await job.GetStatusAsync())!.State);
        Assert.Equal(CancelOutcome.Cancelled, await job.CancelAsync());
    }

    [Fact]
    public async Task Cancel_whose_note_is_lost_reaches_the_job_all_the_same()
    {
        var begun = new TaskCompletionSource();
        var worker = await WorkerAsync(async (_, _, cancellationToken) =>
        {
            begun.SetResult();
            await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
        });
        var job = await worker.EnqueueAsync(new Resize(1));
        await begun.Task;

        // As a canceller whose note was dropped before the worker read it: nothing but the request.
        await _store!.CommitAsync(new Commit { Changes = [JobDocumentsForTests.CancelRequest(job.Reference)] });

        await Assert.ThrowsAsync<JobCancelledException>(() => job.WaitAsync(Patience).AsTask());
    }

    [Fact]
    public async Task Second_enqueue_of_a_unique_key_gives_the_first_job_until_that_has_ended()
    {
        var goOn = new TaskCompletionSource();
        var queue = await WorkerAsync((_, _, _) => goOn.Task);
        var first = await queue.EnqueueAsync(new Resize(1), new() { UniqueKey = "k" });
        var second = await queue.EnqueueAsync(new Resize(2), new() { UniqueKey = "k" });
        var other = await queue.EnqueueAsync(new Resize(3), new() { UniqueKey = "other" });
        goOn.SetResult();
        await first.WaitAsync(Patience);
        var third = await queue.EnqueueAsync(new Resize(4), new() { UniqueKey = "k" });
        await third.WaitAsync(Patience);
        await other.WaitAsync(Patience);

        Assert.Equal((first.Id, false), (second.Id, second.IsNew));
        Assert.True(third.IsNew && other.IsNew);
        Assert.Equal([1, 3, 4], _ran.Order());
    }

    [Fact]
    public async Task Key_until_the_start_is_free_once_the_job_begins_and_is_not_taken_from_the_next_by_its_second_attempt()
    {
        var attempts = 0;
        var begun = new TaskCompletionSource();
        var goOn = new TaskCompletionSource();
        var queue = await WorkerAsync(
            async (job, context, _) =>
            {
                if (job.Number != 1 || Interlocked.Increment(ref attempts) > 1)
                    return;
                begun.SetResult();
                await goOn.Task;
                throw new InvalidOperationException();
            },
            options => (options.Concurrency, options.RetryBaseDelay) = (1, TimeSpan.Zero));
        var unique = new JobOptions { UniqueKey = "k", UniqueUntil = UniqueUntil.Started };
        var first = await queue.EnqueueAsync(new Resize(1), unique);
        await begun.Task;
        var second = await queue.EnqueueAsync(new Resize(2), unique);
        var third = await queue.EnqueueAsync(new Resize(3), unique);
        goOn.SetResult();
        await first.WaitAsync(Patience);
        await second.WaitAsync(Patience);

        Assert.True(second.IsNew);
        Assert.Equal((second.Id, false), (third.Id, third.IsNew));
        Assert.Equal([1, 2], _ran.Order());
    }

    [Fact]
    public async Task Key_kept_until_the_job_is_forgotten_or_for_a_window_outlives_the_job()
    {
        var queue = await WorkerAsync();
        foreach (var options in new JobOptions[]
                 {
                     new() { UniqueKey = "kept", UniqueUntil = UniqueUntil.Forgotten },
                     new() { UniqueKey = "window", UniqueWindow = TimeSpan.FromMinutes(5) },
                 })
        {
            var first = await queue.EnqueueAsync(new Resize(1), options);
            await first.WaitAsync(Patience);
            var second = await queue.EnqueueAsync(new Resize(2), options);
            Assert.Equal((first.Id, false), (second.Id, second.IsNew));
        }

        var brief = new JobOptions { UniqueKey = "brief", UniqueWindow = TimeSpan.FromMilliseconds(200) };
        var before = await queue.EnqueueAsync(new Resize(3), brief);
        await Eventually.TrueAsync("the window is over", async () => (await queue.EnqueueAsync(new Resize(3), brief)).IsNew);
        Assert.Equal(JobState.Succeeded, (await before.WaitAsync(Patience)).State);
    }

    [Fact]
    public async Task Of_many_who_enqueue_a_key_at_once_one_does()
    {
        JobQueue[] clients = [await ClientAsync(), await ClientAsync(), await ClientAsync(), await ClientAsync()];
        for (var round = 0; round < 20; round++)
        {
            var options = new JobOptions { UniqueKey = $"key {round}" };
            var jobs = await Task.WhenAll(clients.Select(client => Task.Run(async () => await client.EnqueueAsync(new Resize(round), options))));
            Assert.Single(jobs, job => job.IsNew);
            Assert.Single(jobs.Select(job => job.Id).Distinct());
        }

        await WorkerAsync();
        await Eventually.TrueAsync("all ran", () => new(_ran.Count >= 20));
        await _hosts[^1].WhenSettledAsync(_queue, _queue);
        Assert.Equal(Enumerable.Range(0, 20), _ran.Order());
    }

    [Fact]
    public async Task Redriven_job_takes_its_key_again_unless_another_has_it()
    {
        var fails = true;
        var goOn = new TaskCompletionSource();
        var queue = await WorkerAsync(
            (job, _, _) => job.Number == 1 && fails ? throw new MessageRejectedException("not now") : job.Number == 2 ? goOn.Task : Task.CompletedTask);
        var options = new JobOptions { UniqueKey = "k" };
        var failed = await queue.EnqueueAsync(new Resize(1), options);
        await Assert.ThrowsAsync<JobFailedException>(() => failed.WaitAsync(Patience).AsTask());
        var other = await queue.EnqueueAsync(new Resize(2), options);
        Assert.True(other.IsNew);
        fails = false;

        await queue.RedriveAsync(failed.Id, new() { By = "tests" });
        var letters = new Millrace.DeadLetters(_store!).Of(_queue, _queue);
        await Eventually.TrueAsync("it is refused", async () => await letters.ListAsync(DeadLetterFilter.All).AnyAsync());
        Assert.Equal(JobState.Failed, (await failed.GetStatusAsync())!.State);
        goOn.SetResult();
        await other.WaitAsync(Patience);
        Assert.Equal(RedriveOutcome.Redriven, await queue.RedriveAsync(failed.Id, new() { By = "tests" }));
        await Eventually.TrueAsync("it succeeds", async () => (await failed.GetStatusAsync())!.State == JobState.Succeeded);
    }
}
