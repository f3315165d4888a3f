using System.Collections.Concurrent;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Testing;
using Millrace.Tests.Fixtures;
using Millrace.WorkQueues;

namespace Millrace.Tests.WorkQueues;

/// <summary>Jobs over days of virtual time: what recurs, what is delayed, what expires.</summary>
public sealed class VirtualJobTests
{
    private const string Queue = "reports";

    private readonly ConcurrentQueue<int> _ran = new();

    /// <summary>The moments are the jobs' numbers, so that each says which firing it is.</summary>
    [Fact]
    public async Task Recurring_job_runs_once_for_every_moment_also_when_its_process_is_killed_again_and_again()
    {
        await using var host = await StartAsync(millrace => millrace.AddRecurringJob(
            "minutely", Queue, Recurrence.Cron("* * * * *"), due => new Resize((int)due.ToUnixTimeSeconds()), new() { Retention = TimeSpan.FromDays(30) }),
            (job, context, _) =>
            {
                context.State.Put($"effect-{job.Number}", new Size(1, 1));
                context.Message.Publish("effects", job);
                return Task.CompletedTask;
            });
        var start = host.Time.GetUtcNow();
        for (var i = 0; i < 12; i++)
        {
            await host.AdvanceAsync(TimeSpan.FromMinutes(4) + TimeSpan.FromSeconds(7 * i));
            await host.KillAsync();
            if (i % 3 == 0)
                host.Time.Advance(TimeSpan.FromMinutes(3)); // Nobody is there, and the firings are made up for.
            await host.RestartAsync();
        }

        await host.AdvanceAsync(TimeSpan.FromSeconds(59));
        var effects = await host.Store.RangeAsync("effects", new());
        var first = start.AddSeconds(60 - start.Second).ToUnixTimeSeconds();
        var expected = Enumerable.Range(0, (int)((host.Time.GetUtcNow().ToUnixTimeSeconds() - first) / 60) + 1).Select(i => (int)first + (60 * i)).ToList();
        var codec = host.Services.GetRequiredService<MessageCodec>();
        Assert.Equal(expected, effects.Select(entry => ((Resize)codec.Decode(entry.Id, entry.Fields)).Number).Order());
        Assert.True(expected.Count > 50);
        var last = await Jobs(host).Find($"minutely@{DateTimeOffset.FromUnixTimeSeconds(expected[^1]).UtcDateTime:O}").GetStatusAsync();
        Assert.Equal(JobState.Succeeded, last!.State);
    }

    [Fact]
    public async Task Firing_that_finds_the_one_before_under_way_is_passed_over()
    {
        var goOn = new TaskCompletionSource();
        await using var host = await StartAsync(
            millrace => millrace.AddRecurringJob(
                "slow", Queue, Recurrence.Every(TimeSpan.FromMinutes(1)), due => new Resize(due.Minute), new() { UniqueKey = "slow" }),
            (_, _, _) => goOn.Task);

        await host.AdvanceAsync(TimeSpan.FromMinutes(1), whileHandlersRun: true);
        await BecomesAsync(host, IdOf(1), JobState.Running);
        await host.AdvanceAsync(TimeSpan.FromMinutes(1), whileHandlersRun: true);
        await BecomesAsync(host, IdOf(2), JobState.Cancelled);
        goOn.SetResult();
        await BecomesAsync(host, IdOf(1), JobState.Succeeded);
        await host.AdvanceAsync(TimeSpan.FromMinutes(1));

        await BecomesAsync(host, IdOf(3), JobState.Succeeded);
        Assert.Equal([1, 3], _ran);

        string IdOf(int minute) => $"slow@{host.Options.Start.AddMinutes(minute).UtcDateTime:O}";
    }

    [Fact]
    public async Task Key_that_is_kept_until_the_job_is_forgotten_stays_as_long_as_the_job_that_another_waits_for()
    {
        await using var host = await StartAsync(handler: (_, _, _) => throw new MessageRejectedException("no"));
        var unique = new JobOptions { UniqueKey = "k", UniqueUntil = UniqueUntil.Forgotten };
        var failed = await Jobs(host).EnqueueAsync(new Resize(1), unique);
        await BecomesAsync(host, failed.Id, JobState.Failed);
        await Jobs(host).EnqueueAsync(new Resize(2), new() { After = [failed.Reference], OnParentFailure = ParentFailure.Stay });

        await host.AdvanceAsync(TimeSpan.FromDays(8));
        var same = await Jobs(host).EnqueueAsync(new Resize(3), unique);

        Assert.Equal((failed.Id, false), (same.Id, same.IsNew));
    }

    [Fact]
    public async Task Job_that_was_cancelled_and_forgotten_does_not_run_when_its_delay_is_over()
    {
        await using var host = await StartAsync();
        var job = await Jobs(host).EnqueueAsync(new Resize(1), new() { Delay = TimeSpan.FromDays(3), Retention = TimeSpan.FromHours(1) });
        var other = await Jobs(host).EnqueueAsync(new Resize(2), new() { Delay = TimeSpan.FromDays(3) });
        Assert.Equal(CancelOutcome.Cancelled, await job.CancelAsync());

        await host.AdvanceAsync(TimeSpan.FromDays(1));
        Assert.Null(await job.GetStatusAsync());
        Assert.Equal(JobState.Delayed, (await other.GetStatusAsync())!.State);
        await host.AdvanceAsync(TimeSpan.FromDays(3) - TimeSpan.FromHours(23.5));

        Assert.Equal([2], _ran);
        await host.AdvanceAsync(TimeSpan.FromHours(2));
        Assert.Null(await other.GetStatusAsync()); // Its result is forgotten an hour after it ended.
    }

    [Fact]
    public async Task Job_that_kills_its_process_each_time_ends_as_failed_with_the_reason()
    {
        using var begun = new SemaphoreSlim(0);
        await using var host = await StartAsync(
            handler: async (_, _, cancellationToken) =>
            {
                begun.Release();
                await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
            },
            configure: options => options.MaxDeliveries = 2);
        var job = await Jobs(host).EnqueueAsync(new Resize(1));
        for (var i = 0; i < 2; i++)
        {
            await BecomesAsync(host, job.Id, JobState.Running);
            await begun.WaitAsync(Eventually.Deadline, TestContext.Current.CancellationToken);
            await host.KillAsync();
            await host.RestartAsync();
        }

        await BecomesAsync(host, job.Id, JobState.Failed);
        var status = await Jobs(host).Find(job.Id).GetStatusAsync();
        Assert.Equal((JobState.Failed, DeadLetterReasons.DeliveryLimit), (status!.State, status.FailureReason));
    }

    [Fact]
    public async Task Job_waits_out_its_retries_and_its_time_limit_in_virtual_time()
    {
        await using var host = await StartAsync(handler: async (_, context, cancellationToken) =>
        {
            if (context.Attempt == 1)
                await Task.Delay(Timeout.InfiniteTimeSpan, cancellationToken);
        }, configure: options => (options.RetryBaseDelay, options.RetryMaxDelay) = (TimeSpan.FromMinutes(10), TimeSpan.FromMinutes(10)));
        var job = await Jobs(host).EnqueueAsync(new Resize(1), new() { TimeLimit = TimeSpan.FromMinutes(5) });

        await BecomesAsync(host, job.Id, JobState.Running);
        await BecomesAsync(host, job.Id, JobState.Succeeded, TimeSpan.FromMinutes(1));

        var status = await job.GetStatusAsync();
        Assert.Equal((JobState.Succeeded, 2), (status!.State, status.Attempts));
        Assert.StartsWith("TimeoutException", Assert.Single(status.Errors).Error, StringComparison.Ordinal);
    }

    /// <summary>Waits by the real clock, and lets the virtual one go on where time has to pass.</summary>
    private static Task BecomesAsync(MillraceTestHost host, string id, JobState state, TimeSpan step = default) =>
        Eventually.TrueAsync($"{id} becomes {state}", async () =>
        {
            if (step > TimeSpan.Zero)
                await host.AdvanceAsync(step, whileHandlersRun: true);
            return (await Jobs(host).Find(id).GetStatusAsync())?.State == state;
        });

    private static JobQueue Jobs(MillraceTestHost host) => host.Services.GetRequiredKeyedService<JobQueue>(Queue);

    private Task<MillraceTestHost> StartAsync(
        Action<MillraceBuilder>? more = null,
        Func<Resize, JobContext, CancellationToken, Task>? handler = null,
        Action<ConsumerOptions>? configure = null) => MillraceTestHost.StartAsync(millrace =>
        {
            millrace.AddJob<Resize>(Queue, async (job, context, cancellationToken) =>
            {
                await (handler?.Invoke(job, context, cancellationToken) ?? Task.CompletedTask);
                _ran.Enqueue(job.Number);
            }, configure);
            more?.Invoke(millrace);
        });
}
