using Microsoft.Extensions.DependencyInjection;
using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Fixtures;
using Millrace.Tests.Journal;
using Millrace.WorkQueues;

namespace Millrace.Tests.WorkQueues;

/// <summary>Jobs of an embedded store whose disk is full.</summary>
public sealed class FullDiskJobTests(ITestOutputHelper output)
{
    /// <summary>It was told that the store takes no writes, and so that nothing was changed: enqueued again without its ID, it was there twice.</summary>
    [Fact]
    public async Task Job_that_meets_a_full_disk_is_in_doubt_and_there_once_when_it_is_enqueued_again_under_its_name()
    {
        var time = new ManualTimeProvider();
        using var directory = new JournalDirectory();
        var device = new FaultDevice(directory.Path);
        await using var store = new EmbeddedStreamStore(new(), time, logger: null, () => device);
        await using var host = await ConsumerHost.StartAsync(static m => m.AddMessage<Resize>().AddJobQueue("reports"), store, time);
        var queue = host.Host.Services.GetRequiredKeyedService<JobQueue>("reports");
        var options = new JobOptions { Id = "resize-1" };

        device.FillUpAt(store, options.Id);
        var enqueuing = queue.EnqueueAsync(new Resize(1), options).AsTask();
        await Eventually.TrueAsync("it has asked again often enough", () =>
        {
            time.Advance(TimeSpan.FromMilliseconds(50));
            return new(enqueuing.IsCompleted);
        });
        Assert.Equal(StreamErrorCode.OutcomeUnknown, (await Assert.ThrowsAsync<StreamException>(() => enqueuing)).Code);

        device.Fault = static (_, _) => null;
        time.Advance(TimeSpan.FromSeconds(1));
        Assert.False((await queue.EnqueueAsync(new Resize(1), options)).IsNew);
        Assert.Equal(1, (await store.GetStreamInfoAsync("reports"))!.EntriesAdded);
        output.WriteLine($"{device.Fired} faults fired");
        Assert.True(device.Fired > 0);
    }
}
