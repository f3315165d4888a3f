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

    [Fact]
    public async Task Every_job_ends_once_with_its_effects_whatever_dies_meanwhile()
    {
        var seed = int.TryParse(Environment.GetEnvironmentVariable("MILLRACE_JOBS_SEED"), out var given) ? given : Random.Shared.Next();
        TestContext.Current.TestOutputHelper?.WriteLine($"MILLRACE_JOBS_SEED={seed}");
        var seconds = int.TryParse(Environment.GetEnvironmentVariable("MILLRACE_SLICE_SECONDS"), out var slice) ? Math.Min(slice, 10) : 5;
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
        for (var number = 0; TimeProvider.System.GetElapsedTime(end) < TimeSpan.FromSeconds(seconds) && number < 2_000; number++)
        {
            if (await chaos.EnqueueAsync(bad, number, jobs) is { } job)
            {
                jobs.Add(job);
                waits.Add(EndAsync(waiter.Find(job.Id)));
            }

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
                millrace => millrace.AddMessage<Resize>().AddJob<Resize, Size>(_queue, chaos.HandleAsync, options =>
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

/// <summary>What the jobs of a run are, from a seed, and what must hold of them afterwards.</summary>
internal sealed class JobChaos(string queue, int seed)
{
    private readonly Random _faults = new(seed + 1);
    private readonly Random _plans = new(seed + 2);
    private readonly ConcurrentDictionary<string, int> _numbers = new();
    private readonly ConcurrentDictionary<string, JobReference[]> _parents = new();
    private readonly ConcurrentDictionary<string, CancelOutcome> _cancelled = new();
    private readonly ConcurrentBag<string> _violations = [];
    private int _lost;

    public bool IsOver { get; set; }

    public int Deaths { get; set; }

    public FaultyStore.Fault Fault(string member, int hurts)
    {
        if (IsOver)
            return FaultyStore.Fault.None;
        int roll;
        lock (_faults)
            roll = _faults.Next(100);
        if (roll >= hurts)
            return FaultyStore.Fault.None;
        Interlocked.Increment(ref _lost);
        return member switch
        {
            nameof(IStreamStore.CommitAsync) => roll % 3 == 0 ? FaultyStore.Fault.Before : FaultyStore.Fault.After,
            nameof(IStreamStore.GetStatesAsync) or nameof(IStreamStore.ReadAsync) or nameof(IStreamStore.ExtendAsync) => FaultyStore.Fault.Before,
            nameof(IStreamStore.ReadGroupAsync) => roll % 3 == 0 ? FaultyStore.Fault.After : FaultyStore.Fault.None,
            _ => FaultyStore.Fault.None,
        };
    }

    /// <summary>Enqueues a job, again under its ID until the line lets it through.</summary>
    public async Task<Job?> EnqueueAsync(JobQueue client, int number, List<Job> before)
    {
        var options = new JobOptions { Id = $"job-{number}" };
        if (_plans.Next(3) == 0)
            options = options with { Delay = TimeSpan.FromMilliseconds(_plans.Next(60)) };
        if (_plans.Next(4) == 0)
            options = options with { UniqueKey = $"key-{_plans.Next(5)}" };
        if (before.Count > 0 && _plans.Next(2) == 0)
        {
            options = options with
            {
                After = [.. Enumerable.Range(0, _plans.Next(1, 4)).Select(_ => before[^_plans.Next(1, Math.Min(before.Count, 12) + 1)].Reference)],
                OnParentFailure = _plans.Next(2) == 0 ? ParentFailure.Run : ParentFailure.Fail,
            };
        }

        while (true)
        {
            try
            {
                var job = await client.EnqueueAsync(new Resize(number), options);
                if (job.Id != options.Id)
                    return null; // Another one has the key.
                _numbers[job.Id] = number;
                _parents[job.Id] = [.. options.After];
                return job;
            }
            catch (StreamException)
            {
                // As a caller does who is not told: again, under the same ID.
            }
        }
    }

    public void Add(Job job)
    {
        _numbers[job.Id] = -1;
        _parents[job.Id] = [];
    }

    public async Task CancelAsync(Job job)
    {
        try
        {
            var outcome = await job.CancelAsync();
            _cancelled.AddOrUpdate(job.Id, outcome, (_, first) => first == CancelOutcome.Cancelled ? first : outcome);
        }
        catch (StreamException)
        {
            // Nobody knows, and both ends are right.
        }
    }

    /// <summary>An effect in the store that would show a second one, and what fails now and then.</summary>
    public async Task<Size> HandleAsync(Resize job, JobContext context, CancellationToken cancellationToken)
    {
        var count = await context.State.GetAsync<Size>($"effect-{job.Number}", cancellationToken);
        context.State.Put($"effect-{job.Number}", new Size((count?.Width ?? 0) + 1, 0));
        context.Message.Publish(StreamNames.Derive(queue, "effects"), job);
        context.Report(job.Number % 100);
        if (job.Number % 5 == 0)
            await Task.Delay(TimeSpan.FromMilliseconds(job.Number % 40), TimeProvider.System, cancellationToken);
        if (job.Number % 11 == 0 || (job.Number % 7 == 0 && context.Attempt < 3))
            throw new InvalidOperationException("as planned");
        return new(job.Number, 0);
    }

    public async Task CheckAsync(IStreamStore store, List<Job> jobs, JobState[] states, string run)
    {
        var effects = (await store.RangeAsync(StreamNames.Derive(queue, "effects"), new() { Count = 10_000 }))
            .ToLookup(entry => entry.Fields.GetText("causationid"u8)!, entry => entry.Id);
        var letters = (await store.RangeAsync(StreamNames.DeadLetters(queue, queue), new() { Count = 10_000 }))
            .Select(entry => entry.Fields.GetText("id"u8)!).ToList();
        for (var i = 0; i < jobs.Count; i++)
        {
            var (id, state) = (jobs[i].Id, states[i]);
            var status = await jobs[i].GetStatusAsync();
            Expect(status?.State == state, $"{id} ended as {state} and is {status?.State}");
            Expect(effects[id].Count() == (state == JobState.Succeeded ? 1 : 0), $"{id} is {state} and has {effects[id].Count()} effects");
            var counted = await store.GetStateAsync(new(queue, $"effect-{_numbers[id]}"));
            Expect(counted is null == (state != JobState.Succeeded), $"{id} is {state} and has counted {counted}");
            Expect(letters.Count(letter => letter == id) == (state == JobState.Failed && status!.Attempts > 0 ? 1 : 0), $"{id} is {state}, and dead otherwise");
            Expect(!_cancelled.TryGetValue(id, out var told) || told != CancelOutcome.Cancelled || state == JobState.Cancelled,
                $"{id} was cancelled and is {state}");
            foreach (var parent in _parents[id].Where(_ => state == JobState.Succeeded))
            {
                var parentState = states[jobs.FindIndex(job => job.Id == parent.Id)];
                Expect(parentState != JobState.Succeeded || effects[parent.Id].First() < effects[id].First(), $"{id} ran before {parent.Id}");
            }
        }

        Assert.True(_violations.IsEmpty, $"{run}:\n{string.Join('\n', _violations.Take(20))}");
        var counts = string.Join(", ", states.GroupBy(state => state).Select(group => $"{group.Count()} {group.Key}"));
        TestContext.Current.TestOutputHelper?.WriteLine($"{jobs.Count} jobs: {counts}; {Deaths} deaths of workers, {_lost} calls hurt.");
        Assert.True(states.Distinct().Count() == 3 && _lost > 0, $"{run}: nothing was tested: {counts}; {_lost} calls hurt.");
    }

    private void Expect(bool holds, string otherwise)
    {
        if (!holds)
            _violations.Add(otherwise);
    }
}
