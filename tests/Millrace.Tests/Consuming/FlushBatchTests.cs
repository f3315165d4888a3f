using System.Collections.Concurrent;
using Millrace.Consuming;

namespace Millrace.Tests.Consuming;

public sealed class FlushBatchTests
{
    [Fact]
    public async Task Item_that_is_alone_is_flushed_before_its_caller_goes_on()
    {
        var flushed = new List<int>();
        var batch = new FlushBatch<int>(items =>
        {
            flushed.AddRange(items);
            return Task.CompletedTask;
        });

        batch.Add(1);

        Assert.Equal([1], flushed);
        await batch.WhenIdleAsync();
    }

    [Fact]
    public async Task What_arrives_during_a_flush_leaves_together_afterwards()
    {
        var first = new TaskCompletionSource();
        var flushed = new ConcurrentQueue<int[]>();
        var batch = new FlushBatch<int>(items =>
        {
            flushed.Enqueue([.. items]);
            return flushed.Count == 1 ? first.Task : Task.CompletedTask;
        });

        for (var i = 0; i < 500; i++)
            batch.Add(i, isFirstOfMany: i > 0);
        Assert.False(batch.WhenIdleAsync().IsCompleted);
        first.SetResult();
        await batch.WhenIdleAsync();

        Assert.Equal([1, 499], flushed.Select(items => items.Length));
    }

    [Theory]
    [InlineData(false)]
    [InlineData(true)]
    public async Task Items_of_many_threads_are_flushed_once_each_and_never_side_by_side(bool isAsync)
    {
        var flushed = new List<int>();
        var running = 0;
        var batch = new FlushBatch<int>(async items =>
        {
            Assert.Equal(1, Interlocked.Increment(ref running));
            if (isAsync)
                await Task.Yield();
            flushed.AddRange(items);
            Interlocked.Decrement(ref running);
        });

        await Task.WhenAll(Enumerable.Range(0, 8).Select(thread => Task.Run(
            () =>
            {
                for (var i = 0; i < 1_000; i++)
                    batch.Add((1_000 * thread) + i, isFirstOfMany: i % 3 > 0);
            },
            TestContext.Current.CancellationToken)));
        await batch.WhenIdleAsync();

        Assert.Equal(Enumerable.Range(0, 8_000), flushed.Order());
    }
}
