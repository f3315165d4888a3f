using System.Diagnostics;
using Millrace.Tests.Fixtures;
using Millrace.WorkQueues;

namespace Millrace.Tests.WorkQueues;

/// <summary>A rate over all processes, and jobs that wait for their turn.</summary>
public abstract partial class JobQueueTests
{
    [Fact]
    public async Task Jobs_of_two_processes_together_stay_within_the_rate_and_each_runs_once()
    {
        // 20 in 500 ms: windows of two tokens and 50 ms. 40 jobs need 20 windows; of those the first and the last are not whole.
        const int jobs = 40;
        void Limit(ConsumerOptions options) => (options.RateLimit, options.RatePeriod) = (20, TimeSpan.FromMilliseconds(500));
        var queue = await ClientAsync();
        var enqueued = await queue.EnqueueManyAsync([.. Enumerable.Range(0, jobs).Select(number => new Resize(number))]);
        var watch = new Stopwatch();
        watch.Start();

        await WorkerAsync(configure: Limit);
        await WorkerAsync(configure: Limit);
        await Task.WhenAll(enqueued.Select(job => job.ResultAsync<Size>(Patience).AsTask()));

        Assert.InRange(watch.Elapsed, TimeSpan.FromMilliseconds(18 * 50), Patience);
        Assert.Equal(Enumerable.Range(0, jobs), _ran.Order());
    }

    [Fact]
    public async Task Job_that_waits_for_its_turn_does_not_spend_its_time_limit()
    {
        // One token in each window of 500 ms, and all jobs are there before the first: the last one waits for four windows.
        var limit = TimeSpan.FromSeconds(1);
        var queue = await ClientAsync();
        var jobs = await queue.EnqueueManyAsync([.. Enumerable.Range(0, 5).Select(number => new Resize(number))], new() { TimeLimit = limit });

        await WorkerAsync(
            (_, _, cancellationToken) =>
            {
                cancellationToken.ThrowIfCancellationRequested();
                return Task.CompletedTask;
            },
            options => (options.RateLimit, options.RatePeriod, options.MaxAttempts) = (1, TimeSpan.FromMilliseconds(500), 1));
        var ended = await Task.WhenAll(jobs.Select(job => job.WaitAsync(Patience).AsTask()));

        Assert.All(ended, job => Assert.Equal((JobState.Succeeded, 1), (job.State, job.Attempts)));
        Assert.True(ended.Max(job => job.StartedAt - job.EnqueuedAt) > limit, "No job waited for longer than its time limit.");
    }

    [Fact]
    public async Task Job_that_waits_for_its_turn_is_not_running_and_is_cancelled_at_once()
    {
        var queue = await WorkerAsync(configure: options => (options.RateLimit, options.RatePeriod) = (1, TimeSpan.FromDays(1)));
        await (await queue.EnqueueAsync(new Resize(1))).WaitAsync(Patience);
        var job = await queue.EnqueueAsync(new Resize(2));
        await Eventually.TrueAsync("the second is a worker's", async () => (await _store!.PendingSummaryAsync(_queue, _queue)).Count == 1);

        var waiting = await job.GetStatusAsync();
        Assert.Equal((JobState.Waiting, 0, null), (waiting!.State, waiting.Attempts, waiting.StartedAt));
        Assert.Equal(CancelOutcome.Cancelled, await job.CancelAsync());
        var cancelled = await Assert.ThrowsAsync<JobCancelledException>(() => job.WaitAsync(Patience).AsTask());

        Assert.Null(cancelled.Status.StartedAt);
        await _hosts[^1].StopAsync();
        Assert.Equal([1], _ran);
    }
}
