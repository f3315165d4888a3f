using System.Diagnostics;
using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.Embedded;

public sealed class AllocationTests
{
    private const int Entries = 10_000;
    private const int Batch = 50;

    /// <summary>The blocks of 10,000 entries with their place in the list: 5 bytes an entry beside its value, and little for each block.</summary>
    private const long Blocks = Entries * (100 + 9);

    private static readonly TimeSpan MaxTime = TimeSpan.FromSeconds(30);

    private readonly EntryFields _fields = EntryFields.Create(("f", new('x', 100)));

    [Fact]
    public async Task Append_in_memory_allocates_nothing_but_the_block()
    {
        await using var store = new EmbeddedStreamStore(new());

        Assert.InRange(await LeastAllocatedAsync(store, () => AppendAsync(store), Blocks), Entries * 100, Blocks);
    }

    [Fact]
    public async Task Appends_together_allocate_one_small_list_beside_the_blocks()
    {
        await using var store = new EmbeddedStreamStore(new());
        var batch = Enumerable.Repeat(_fields, Batch).ToArray();
        const long WithLists = Blocks + (Entries / Batch * 48);

        Assert.InRange(await LeastAllocatedAsync(store, () => AppendManyAsync(store, batch), WithLists), Entries * 100, WithLists);
    }

    /// <summary>Of many rounds the one that allocates least: code that is not optimized yet boxes where none is written, on a busy machine for long.</summary>
    private static async Task<long> LeastAllocatedAsync(EmbeddedStreamStore store, Func<Task> round, long enough)
    {
        const int RoundsPerStream = 100;
        var least = long.MaxValue;
        var started = Stopwatch.GetTimestamp();
        for (var i = 1; least > enough && Stopwatch.GetElapsedTime(started) < MaxTime; i++)
        {
            var before = GC.GetAllocatedBytesForCurrentThread();
            await round();
            least = Math.Min(least, GC.GetAllocatedBytesForCurrentThread() - before);
            if (i % RoundsPerStream == 0)
                await store.DeleteStreamAsync("s");
        }

        return least;
    }

    private async Task AppendAsync(EmbeddedStreamStore store)
    {
        for (var i = 0; i < Entries; i++)
            await store.AppendAsync("s", _fields);
    }

    private static async Task AppendManyAsync(EmbeddedStreamStore store, EntryFields[] batch)
    {
        for (var i = 0; i < Entries; i += batch.Length)
            await store.AppendManyAsync("s", batch);
    }
}
