using Microsoft.Extensions.DependencyInjection;
using Millrace.Tests.Fixtures;
using Millrace.WorkQueues;

namespace Millrace.Tests.WorkQueues;

/// <summary>Jobs that run after others.</summary>
public abstract partial class JobQueueTests
{
    [Fact]
    public async Task Job_runs_after_all_it_is_to_run_after_also_of_another_queue()
    {
        var other = $"{{{_queue}}}:other";
        var goOn = new TaskCompletionSource();
        var queue = await WorkerAsync(
            (job, _, _) => job.Number == 1 ? goOn.Task : Task.CompletedTask,
            configureMore: millrace => millrace.AddJob<Resize>(other, (job, _, _) =>
            {
                _ran.Enqueue(job.Number);
                return Task.CompletedTask;
            }));
        var elsewhere = _hosts[^1].Host.Services.GetRequiredKeyedService<JobQueue>(other);
        var first = await queue.EnqueueAsync(new Resize(1));
        var second = await elsewhere.EnqueueAsync(new Resize(2));
        var ended = await queue.EnqueueAsync(new Resize(3));
        await second.WaitAsync(Patience);
        await ended.WaitAsync(Patience);

        var child = await elsewhere.EnqueueAsync(new Resize(4), new() { After = [first.Reference, second.Reference, ended.Reference] });
        var grandchild = await queue.EnqueueAsync(new Resize(5), new() { After = [child.Reference, first.Reference], Delay = TimeSpan.FromMilliseconds(100) });
        var blocked = await child.GetStatusAsync();
        Assert.Equal((JobState.Blocked, first.Reference), (blocked!.State, Assert.Single(blocked.BlockedBy)));
        goOn.SetResult();
        await grandchild.WaitAsync(Patience);

        Assert.Equal([1, 4, 5], _ran.Where(number => number is 1 or 4 or 5));
        await Assert.ThrowsAsync<JobNotFoundException>(() =>
            queue.EnqueueAsync(new Resize(6), new() { After = [new(_queue, "nobody")] }).AsTask());
    }

    [Fact]
    public async Task Failure_of_a_parent_fails_the_chain_behind_it_lets_run_or_leaves_blocked_as_configured()
    {
        var isOut = true;
        var queue = await WorkerAsync((job, _, _) => job.Number == 1 && isOut ? throw new MessageRejectedException("no") : Task.CompletedTask);
        var parent = await queue.EnqueueAsync(new Resize(1), new() { Delay = TimeSpan.FromMilliseconds(300) });
        var failing = await queue.EnqueueAsync(new Resize(2), new() { After = [parent.Reference] });
        var behind = await queue.EnqueueAsync(new Resize(3), new() { After = [failing.Reference] });
        var running = await queue.EnqueueAsync(new Resize(4), new() { After = [parent.Reference], OnParentFailure = ParentFailure.Run });
        var staying = await queue.EnqueueAsync(new Resize(5), new() { After = [parent.Reference], OnParentFailure = ParentFailure.Stay });

        var failed = await Assert.ThrowsAsync<JobFailedException>(() => behind.WaitAsync(Patience).AsTask());
        await running.WaitAsync(Patience);
        Assert.Contains(failing.Id, failed.Status.FailureReason, StringComparison.Ordinal);
        Assert.Equal((JobState.Failed, JobState.Failed, JobState.Blocked), (
            (await parent.GetStatusAsync())!.State, (await failing.GetStatusAsync())!.State, (await staying.GetStatusAsync())!.State));

        // What comes after the failure finds the same.
        var lateFailing = await queue.EnqueueAsync(new Resize(6), new() { After = [parent.Reference] });
        var lateStaying = await queue.EnqueueAsync(new Resize(7), new() { After = [parent.Reference], OnParentFailure = ParentFailure.Stay });
        await Assert.ThrowsAsync<JobFailedException>(() => lateFailing.WaitAsync(Patience).AsTask());
        isOut = false;
        await queue.RedriveAsync(parent.Id, new() { By = "tests" });
        await staying.WaitAsync(Patience);
        await lateStaying.WaitAsync(Patience);
        Assert.Equal([1, 4, 5, 7], _ran.Order());
    }

    [Fact]
    public async Task Cancelled_parent_counts_as_failed_and_a_cancelled_child_is_passed_over()
    {
        var queue = await ClientAsync();
        var parent = await queue.EnqueueAsync(new Resize(1));
        var failing = await queue.EnqueueAsync(new Resize(2), new() { After = [parent.Reference] });
        var running = await queue.EnqueueAsync(new Resize(3), new() { After = [parent.Reference], OnParentFailure = ParentFailure.Run });
        var cancelled = await queue.EnqueueAsync(new Resize(4), new() { After = [parent.Reference], OnParentFailure = ParentFailure.Run });

        Assert.Equal(CancelOutcome.Cancelled, await cancelled.CancelAsync());
        Assert.Equal(CancelOutcome.Cancelled, await parent.CancelAsync());
        await WorkerAsync();
        await running.WaitAsync(Patience);
        await Assert.ThrowsAsync<JobFailedException>(() => failing.WaitAsync(Patience).AsTask());
        await _hosts[^1].WhenSettledAsync(_queue, _queue);

        Assert.Equal([3], _ran);
    }

    /// <summary>The child is enqueued at the very moment at which the parent ends: either finds the other.</summary>
    [Fact]
    public async Task No_child_is_forgotten_when_its_parents_end_while_it_is_enqueued()
    {
        var queue = await WorkerAsync(configure: options => options.Concurrency = 8);
        var client = await ClientAsync();
        List<Job> children = [];
        for (var round = 0; round < 50; round++)
        {
            var parents = await queue.EnqueueManyAsync([new Resize(-1), new Resize(-2), new Resize(-3)]);
            var made = await Task.WhenAll(Enumerable.Range(0, 3).Select(child => Task.Run(async () =>
                await client.EnqueueAsync(new Resize((3 * round) + child), new() { After = [.. parents.Select(parent => parent.Reference)] }))));
            children.AddRange(made);
        }

        await Task.WhenAll(children.Select(child => child.WaitAsync(Patience).AsTask()));

        Assert.Equal(Enumerable.Range(0, 150), _ran.Where(number => number >= 0).Order());
    }

    [Fact]
    public async Task More_jobs_than_can_wait_for_one_are_refused()
    {
        var queue = await ClientAsync();
        var parent = await queue.EnqueueAsync(new Resize(-1));
        var after = new JobOptions { After = [parent.Reference] };
        for (var i = 0; i < JobOptions.MaxChildren; i++)
            await queue.EnqueueAsync(new Resize(i), after);
        await Assert.ThrowsAsync<InvalidOperationException>(() => queue.EnqueueAsync(new Resize(0), after).AsTask());

        await WorkerAsync();
        await Eventually.TrueAsync("all run", () => new(_ran.Count == JobOptions.MaxChildren + 1));
    }
}
