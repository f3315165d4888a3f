using System.Collections.Concurrent;
using System.Net;
using Microsoft.Extensions.DependencyInjection;
using Millrace.Redis;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.WorkQueues;

namespace Millrace.Tests.WorkQueues;

/// <summary>Workers that die, lines that break, answers that are lost: every job ends once, and so do its effects.</summary>
public abstract partial class JobQueueTests
{
    private const int ChaosWorkers = 3;

    /// <summary>
    /// It had read the job as failed, which a redriven one is too, and marked it as running for ever.
    /// </summary>
    [Fact]
    public async Task Worker_that_begins_a_job_after_its_lease_leaves_it_as_it_ended()
    {
        var isHeld = true;
        var held = 0;
        using var goOn = new ManualResetEventSlim();
        var line = FaultyStore.Wrap(_store!, (member, arguments) =>
        {
            if (!Volatile.Read(ref isHeld))
                return FaultyStore.Fault.None;
            if (JobDocumentsForTests.AreRead(member, arguments))
            {
                Interlocked.Increment(ref held);
                goOn.Wait(Patience);
            }

            return member == nameof(IStreamStore.ExtendAsync) ? FaultyStore.Fault.Before : FaultyStore.Fault.None;
        });
        await WorkerAsync(Fail, Configure, store: line);
        var queue = await ClientAsync();
        var job = await queue.EnqueueAsync(new Resize(1));
        await Eventually.TrueAsync("the slow worker looks at the job", () => new(Volatile.Read(ref held) > 0));
        await WorkerAsync(Fail, Configure);
        await Assert.ThrowsAsync<JobFailedException>(() => job.WaitAsync(Patience).AsTask());
        await _hosts[^1].StopAsync();

        Volatile.Write(ref isHeld, false);
        goOn.Set();
        var next = await queue.EnqueueAsync(new Resize(2)); // Begun after the first, by the slow worker.
        await Assert.ThrowsAsync<JobFailedException>(() => next.WaitAsync(Patience).AsTask());

        Assert.Equal(JobState.Failed, (await job.GetStatusAsync())!.State);

        static Task Fail(Resize job, JobContext context, CancellationToken cancellationToken) => throw new MessageRejectedException("no");

        static void Configure(ConsumerOptions options) => options.Lease = TimeSpan.FromSeconds(1);
    }

    [Fact]
    public async Task Every_job_ends_once_with_its_effects_whatever_dies_meanwhile()
    {
        var seed = Slice.SeedOf("MILLRACE_JOBS_SEED");
        var chaos = new JobChaos(_queue, seed);
        await using var proxy = endpoint is null ? null : CuttingProxy.Start(IPEndPoint.Parse(await endpoint()).Port);
        var random = new Random(seed);
        var workers = new (ConsumerHost Host, IStreamStore Line)[ChaosWorkers];
        for (var i = 0; i < workers.Length; i++)
            workers[i] = await StartAsync(i);

        var waiter = await ClientAsync();
        var bad = await ClientAsync(FaultyStore.Wrap(_store!, member => chaos.Fault(member, hurts: 15)));
        List<Job> jobs = [];
        List<Task<JobState>> waits = [];
        var end = TimeProvider.System.GetTimestamp();
        for (var number = 0; TimeProvider.System.GetElapsedTime(end) < Slice.Of(0.1) && number < 2_000; number++)
        {
            if (await chaos.EnqueueAsync(() => bad, JobChaos.InsistAsync, number, jobs) is { } job)
                waits.Add(EndAsync(waiter.Find(job.Id)));
            if (random.Next(40) == 0)
                await _store!.CommitAsync(new Commit { Changes = [new CommitChange.PutState(new(_queue, "beat"), default)] });
            if (random.Next(25) == 0)
                proxy?.Cut();
            if (jobs.Count > 0 && random.Next(12) == 0)
                await chaos.CancelAsync(bad.Find(jobs[random.Next(jobs.Count)].Id));
            if (random.Next(50) == 0)
            {
                var victim = random.Next(workers.Length);
                await workers[victim].Host.AbortAsync();
                await workers[victim].Host.DisposeAsync();
                workers[victim] = await StartAsync(victim, workers[victim].Line);
                chaos.Deaths++;
            }
        }

        // Whatever the dice said, one is cancelled.
        var last = await waiter.EnqueueAsync(new Resize(-1), new() { Id = "job--1", Delay = TimeSpan.FromHours(1) });
        chaos.Add(last);
        jobs.Add(last);
        waits.Add(EndAsync(last));
        chaos.IsOver = true;
        Assert.Equal(CancelOutcome.Cancelled, await last.CancelAsync());
        var states = await Task.WhenAll(waits);
        foreach (var (host, _) in workers)
            await host.WhenSettledAsync(_queue, _queue);
        await chaos.CheckAsync(_store!, jobs, states, $"seed {seed}");
        Assert.True(chaos.Lost > 0, $"seed {seed}: no call was lost");
        foreach (var (host, line) in workers)
        {
            await host.DisposeAsync();
            if (!ReferenceEquals(line, _store))
                await line.DisposeAsync();
        }

        async Task<(ConsumerHost Host, IStreamStore Line)> StartAsync(int index, IStreamStore? line = null)
        {
            line ??= proxy is null ? _store! : new RedisStreamStore(RedisOptions.Parse($"127.0.0.1:{proxy.Port}"));
            var host = await ConsumerHost.StartAsync(
                millrace => millrace.AddMessage<Resize>().AddJob<Resize, Size>(
                    _queue,
                    (job, context, token) => chaos.HandleAsync(job, context, TimeProvider.System, token),
                    options =>
                    {
                        (options.MaxAttempts, options.RetryBaseDelay, options.RetryMaxDelay) = (3, TimeSpan.FromMilliseconds(5), TimeSpan.FromMilliseconds(20));
                        (options.MaxDeliveries, options.Lease) = (1_000, TimeSpan.FromSeconds(2));
                    }),
                FaultyStore.Wrap(line, member => chaos.Fault(member, hurts: 3)),
                instance: $"worker-{index}");
            return (host, line);
        }
    }

    private static async Task<JobState> EndAsync(Job job)
    {
        try
        {
            return (await job.WaitAsync(TimeSpan.FromMinutes(3))).State;
        }
        catch (JobFailedException)
        {
            return JobState.Failed;
        }
        catch (JobCancelledException)
        {
            return JobState.Cancelled;
        }
    }
}
