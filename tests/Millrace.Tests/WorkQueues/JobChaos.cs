using System.Collections.Concurrent;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.WorkQueues;

namespace Millrace.Tests.WorkQueues;

/// <summary>What the jobs of a run are, from a seed, and what must hold of them afterwards.</summary>
internal sealed class JobChaos(string queue, int seed)
{
    private readonly Random _faults = new(seed + 1);
    private readonly Random _plans = new(seed + 2);
    private readonly ConcurrentDictionary<string, int> _numbers = new();
    private readonly ConcurrentDictionary<string, JobReference[]> _parents = new();
    private readonly ConcurrentDictionary<string, CancelOutcome> _cancelled = new();
    private readonly Dictionary<string, string> _holders = [];
    private readonly ConcurrentBag<string> _violations = [];
    private int _lost;

    public bool IsOver { get; set; }

    public int Deaths { get; set; }

    public int Lost => Volatile.Read(ref _lost);

    /// <summary>The unit of what jobs and their delays take.</summary>
    public TimeSpan Pace { get; init; } = TimeSpan.FromMilliseconds(1);

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

    /// <summary>Again and again, until the store says that it is done.</summary>
    public static async Task InsistAsync(Func<Task> act)
    {
        while (true)
        {
            try
            {
                await act();
                return;
            }
            catch (StreamException)
            {
                // As a caller does who is not told.
            }
        }
    }

    /// <summary>Enqueues a job under an ID of its own, and adds it to the others, unless another one has its key.</summary>
    /// <param name="client">The queue, which may be another one after its process died.</param>
    /// <param name="insistAsync">Tries until it is known to be done.</param>
    /// <param name="number">Its number.</param>
    /// <param name="before">The others.</param>
    public async Task<Job?> EnqueueAsync(Func<JobQueue> client, Func<Func<Task>, Task> insistAsync, int number, List<Job> before)
    {
        var options = Plan(number, before);
        Job? job = null;
        await insistAsync(async () => job = await client().EnqueueAsync(new Resize(number), options));
        if (job!.Id != options.Id)
            return null;
        if (options.UniqueKey is { } key)
        {
            // What has ended stays so: one that has not now had not when its key was taken, either.
            if (_holders.TryGetValue(key, out var holder))
            {
                await insistAsync(async () => Expect(
                    (await client().Find(holder).GetStatusAsync())?.State is JobState.Succeeded or JobState.Failed or JobState.Cancelled,
                    $"{job.Id} got the key of {holder}, which has not ended"));
            }

            _holders[key] = job.Id;
        }

        _numbers[job.Id] = number;
        _parents[job.Id] = [.. options.After];
        before.Add(job);
        return job;
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
    public async Task<Size> HandleAsync(Resize job, JobContext context, TimeProvider time, CancellationToken cancellationToken)
    {
        var count = await context.State.GetAsync<Size>($"effect-{job.Number}", cancellationToken);
        context.State.Put($"effect-{job.Number}", new Size((count?.Width ?? 0) + 1, 0));
        context.Message.Publish(StreamNames.Derive(queue, "effects"), job);
        context.Report(job.Number % 100);
        if (job.Number % 5 == 0)
            await Task.Delay(job.Number % 40 * Pace, time, cancellationToken);
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
        TestContext.Current.TestOutputHelper?.WriteLine($"{jobs.Count} jobs: {counts}; {Deaths} deaths of workers, {_lost} calls lost.");
        Assert.True(states.Distinct().Count() == 3, $"{run}: not every end was tested: {counts}");
    }

    private JobOptions Plan(int number, List<Job> before)
    {
        // None may be forgotten before it is looked at, however clocks jump.
        var options = new JobOptions { Id = $"job-{number}", Retention = TimeSpan.FromDays(30) };
        if (_plans.Next(3) == 0)
            options = options with { Delay = _plans.Next(60) * Pace };
        if (_plans.Next(4) == 0)
            options = options with { UniqueKey = $"key-{_plans.Next(5)}" };
        if (before.Count == 0 || _plans.Next(2) > 0)
            return options;
        return options with
        {
            After = [.. Enumerable.Range(0, _plans.Next(1, 4)).Select(_ => before[^_plans.Next(1, Math.Min(before.Count, 12) + 1)].Reference)],
            OnParentFailure = _plans.Next(2) == 0 ? ParentFailure.Run : ParentFailure.Fail,
        };
    }

    private void Expect(bool holds, string otherwise)
    {
        if (!holds)
            _violations.Add(otherwise);
    }
}
