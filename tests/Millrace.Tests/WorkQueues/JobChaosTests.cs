using Microsoft.Extensions.DependencyInjection;
using Millrace.Tests.Chaos;
using Millrace.Tests.Fixtures;
using Millrace.WorkQueues;

namespace Millrace.Tests.WorkQueues;

/// <summary>
/// The jobs of a queue while everything goes wrong that <see cref="PatternChaos"/> knows: many hours in virtual time on the embedded store, seconds on a
/// server. On each a tenth of the slice, from the seed <c>MILLRACE_JOBS_SEED</c> or a new one.
/// </summary>
public sealed class JobChaosTests
{
    private const string Queue = "work";
    private const int VirtualJobs = 250;
    private const int Jobs = 120;
    private const int MaxSteps = 2_000;

    public static TheoryData<string> Places => PatternChaos.Places;

    [Theory]
    [MemberData(nameof(Places))]
    public Task Every_job_ends_once_in_its_order_and_no_two_with_one_key_at_once_whatever_dies(string place) =>
        Slice.RunAsync("MILLRACE_JOBS_SEED", 0.1, seed => RunAsync(place, seed));

    private static async Task RunAsync(string place, int seed)
    {
        PatternChaos? running = null;
        var (count, pace, lease) = place == PatternChaos.Embedded
            ? (VirtualJobs, TimeSpan.FromSeconds(5), TimeSpan.FromSeconds(30))
            : (Jobs, TimeSpan.FromMilliseconds(5), TimeSpan.FromSeconds(1));
        var jobs = new JobChaos(Queue, seed) { Pace = pace };
        await using var chaos = await PatternChaos.StartAsync(
            place,
            seed,
            millrace => millrace.AddMessage<Resize>().AddJob<Resize, Size>(
                Queue,
                (job, context, token) => jobs.HandleAsync(job, context, running!.Time, token),
                options =>
                {
                    (options.MaxAttempts, options.RetryBaseDelay, options.RetryMaxDelay) = (3, 4 * pace, 60 * pace);
                    (options.MaxDeliveries, options.Lease) = (1_000, lease);
                }),
            desk => desk.AddJobQueue(Queue).AddMessage<Resize>());
        running = chaos;
        chaos.Begin();
        var begun = chaos.Time.GetUtcNow();
        List<Job> all = [];
        for (var number = 0; number < count; number++)
        {
            await jobs.EnqueueAsync(() => QueueOf(chaos), chaos.InsistAsync, number, all);
            if (chaos.Random.Next(6) == 0)
                await chaos.FinishAsync(jobs.CancelAsync(QueueOf(chaos).Find(all[^chaos.Random.Next(1, Math.Min(all.Count, 8) + 1)].Id)));
            await chaos.StepAsync(StepOf(chaos.Random));
        }

        await chaos.HealAsync();
        TestContext.Current.TestOutputHelper?.WriteLine($"  {chaos.Time.GetUtcNow() - begun} passed");
        var ended = new Dictionary<string, JobState>();
        await chaos.UntilAsync(() => FindUnendedAsync(QueueOf(chaos), all, ended), MaxSteps, TimeSpan.FromSeconds(20));
        for (var step = 0; step < 20; step++)
            await chaos.StepAsync(TimeSpan.FromMinutes(1));
        await jobs.CheckAsync(chaos.Store, [.. all.Select(job => QueueOf(chaos).Find(job.Id))], [.. all.Select(job => ended[job.Id])], $"seed {seed}");
    }

    private static JobQueue QueueOf(PatternChaos chaos) => chaos.Desk.Host.Services.GetRequiredKeyedService<JobQueue>(Queue);

    private static async Task<string?> FindUnendedAsync(JobQueue queue, List<Job> all, Dictionary<string, JobState> ended)
    {
        foreach (var job in all.Where(job => !ended.ContainsKey(job.Id)))
        {
            var status = await queue.Find(job.Id).GetStatusAsync();
            if (status?.State is not ((JobState.Succeeded or JobState.Failed or JobState.Cancelled) and var state))
                return $"the end of job {job.Id}, {all.Count - ended.Count} of {all.Count} are left: {status}";
            ended.Add(job.Id, state);
        }

        return null;
    }

    /// <summary>As long as handlers and delays take as a rule; now and then so long that leases are over.</summary>
    private static TimeSpan StepOf(Random random) =>
        random.Next(10) == 0 ? TimeSpan.FromMinutes(random.Next(1, 30)) : TimeSpan.FromMilliseconds(random.Next(50, 30_000));
}
