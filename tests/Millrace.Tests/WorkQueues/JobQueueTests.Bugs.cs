using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.WorkQueues;

namespace Millrace.Tests.WorkQueues;

/// <summary>What chaos found.</summary>
public abstract partial class JobQueueTests
{
    /// <summary>The worker took what it had meant to write for what was written, and wrote later that the job had succeeded.</summary>
    [Fact]
    public async Task Job_that_is_cancelled_between_the_look_and_the_start_of_a_worker_stays_cancelled()
    {
        var client = await ClientAsync();
        var job = await client.EnqueueAsync(new Resize(1));
        var looks = 0;
        await WorkerAsync(store: FaultyStore.Wrap(_store!, member =>
        {
            // The worker has read the job, and is about to mark it as running.
            if (member == nameof(IStreamStore.GetStatesAsync))
                Interlocked.Increment(ref looks);
            else if (member == nameof(IStreamStore.CommitAsync) && Volatile.Read(ref looks) > 0 && IsWaiting())
                Assert.Equal(CancelOutcome.Cancelled, job.CancelAsync().AsTask().Result);
            return FaultyStore.Fault.None;
        }));

        await Assert.ThrowsAsync<JobCancelledException>(() => job.WaitAsync(Patience).AsTask());
        await _hosts[^1].WhenSettledAsync(_queue, _queue);

        Assert.Equal(JobState.Cancelled, (await job.GetStatusAsync())!.State);
        Assert.Empty(_ran);

        bool IsWaiting() => job.GetStatusAsync().AsTask().Result!.State == JobState.Waiting;
    }
}
