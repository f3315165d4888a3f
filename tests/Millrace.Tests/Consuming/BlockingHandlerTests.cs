using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming;

public sealed class BlockingHandlerTests
{
    /// <summary>A single delivery starts on the thread that read it; the reader must have left that thread.</summary>
    [Fact]
    public async Task Handler_that_blocks_its_thread_holds_up_no_reading()
    {
        using var secondRuns = new ManualResetEventSlim();
        var firstRuns = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        var secondCame = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        var runs = 0;
        await using var host = await ConsumerHost.StartAsync(m => m.AddConsumer<OrderCreated>("orders", "billing", (_, _, _) =>
        {
            if (Interlocked.Increment(ref runs) > 1)
            {
                secondRuns.Set();
                return Task.CompletedTask;
            }

            firstRuns.SetResult();
            secondCame.SetResult(secondRuns.Wait(Eventually.Deadline));
            return Task.CompletedTask;
        }, o => o.Concurrency = 2));

        await host.Publisher.PublishAsync("orders", new OrderCreated("1", 1));
        await firstRuns.Task.WaitAsync(Eventually.Deadline);
        await host.Publisher.PublishAsync("orders", new OrderCreated("2", 1));

        Assert.True(await secondCame.Task);
    }
}
