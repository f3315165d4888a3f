using Millrace.EventSourcing;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.EventSourcing;

/// <summary>Many writers on lines that fail, from the seed <c>MILLRACE_EVENTS_SEED</c> or a new one.</summary>
public abstract partial class EventStoreTests
{
    /// <summary>
    /// Every writer has a process and a line of its own, on which calls are lost before or after they are applied; a command is repeated until it is
    /// known to be decided. Meanwhile the stream is trimmed to its snapshots again and again.
    /// </summary>
    [Fact]
    public async Task Sixteen_writers_on_bad_lines_decide_every_command_once_while_the_stream_is_trimmed()
    {
        const int writers = 16;
        const int each = 15;
        var seed = Slice.SeedOf("MILLRACE_EVENTS_SEED");
        var category = $"c{Guid.NewGuid():N}";
        var stream = $"{category}-1";
        using var end = new CancellationTokenSource();
        var trimming = Task.Run(async () =>
        {
            while (!end.IsCancellationRequested)
            {
                await Events.TrimToSnapshotAsync(stream);
                await Task.Yield();
            }
        });

        var unknown = 0;
        await Task.WhenAll(Enumerable.Range(0, writers).Select(writer => Task.Run(async () =>
        {
            var random = new Random(seed + writer);
            await using var host = await HostAsync(FaultyStore.Wrap(_store!, member => Fault(random, member)), o => o.AddCategory(category));
            for (var i = 0; i < each; i++)
            {
                var command = new PointsCommand.Earn((writer * each) + i + 1);
                while (!await TryAsync(EventsOf(host), command))
                    Interlocked.Increment(ref unknown);
            }
        })));
        await end.CancelAsync();
        await trimming;

        var all = await Events.ReadCategoryAsync(category).ToListAsync();
        Assert.Equal(Enumerable.Range(1, writers * each), all.Select(one => ((PointsEarned)one.Event).Amount).Order());
        Assert.Equal(Enumerable.Range(1, writers * each).Select(version => (long)version), all.Select(one => one.Version));
        Assert.Equal(all.Sum(one => ((PointsEarned)one.Event).Amount), (await Events.LoadAsync(stream, Snapshotting.Fold)).State.Balance);
        Assert.True(unknown > 0, $"seed {seed}: no line failed");

        async Task<bool> TryAsync(EventStore events, PointsCommand.Earn command)
        {
            try
            {
                await events.DecideAsync(stream, Snapshotting, command, new() { CommandId = $"c{command.Amount}" });
                return true;
            }
            catch (StreamException)
            {
                return false;
            }
        }

        static FaultyStore.Fault Fault(Random random, string member)
        {
            // Called by one writer at a time, but not always from the same thread.
            lock (random)
            {
                return random.Next(100) switch
                {
                    < 5 when member is nameof(IStreamStore.CommitAsync) or nameof(IStreamStore.RangeAsync) => FaultyStore.Fault.Before,
                    < 20 when member is nameof(IStreamStore.CommitAsync) => FaultyStore.Fault.After,
                    _ => FaultyStore.Fault.None,
                };
            }
        }
    }
}
