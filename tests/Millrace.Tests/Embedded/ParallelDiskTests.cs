using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Journal;

namespace Millrace.Tests.Embedded;

public sealed class ParallelDiskTests : IDisposable
{
    private const int Entries = 100_000;

    private readonly JournalDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    /// <summary>A reader that wakes looks at the last record without the lock; it must never see one that is not in the journal.</summary>
    [Fact]
    public async Task Readers_that_wake_amid_writes_wait_for_records_that_exist()
    {
        await using var store = new EmbeddedStreamStore(new() { Directory = _directory.Path, Sync = SyncPolicy.Never });
        await store.OpenAsync();
        var readers = Enumerable.Range(0, 4).Select(_ => Task.Run(() => ReadAllAsync(store))).ToArray();
        var writers = Enumerable.Range(0, 2).Select(_ => Task.Run(() => WriteAsync(store, Entries / 2))).ToArray();

        await Task.WhenAll(writers).WaitAsync(TimeSpan.FromMinutes(1));
        var counts = await Task.WhenAll(readers).WaitAsync(TimeSpan.FromMinutes(1));

        Assert.All(counts, count => Assert.Equal(Entries, count));
    }

    private static async Task WriteAsync(EmbeddedStreamStore store, int count)
    {
        for (var i = 0; i < count; i++)
            await store.AppendAsync("s", EntryFields.Create(("n", "x")));
    }

    private static async Task<int> ReadAllAsync(EmbeddedStreamStore store)
    {
        var last = EntryId.Zero;
        for (var count = 0; ;)
        {
            var batches = await store.ReadAsync([new("s", last)], 100, TimeSpan.FromSeconds(30));
            if (batches is not [var batch])
                return count;
            count += batch.Entries.Count;
            last = batch.Entries[^1].Id;
            if (count == Entries)
                return count;
        }
    }
}
