using System.Collections.Concurrent;
using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Consuming.Ordered;

/// <summary>The head of a key that waits for its next attempt, by a clock that only the test moves.</summary>
public sealed class ParkedHeadTests : IAsyncLifetime
{
    // Shorter than any wait for a store that failed, and long enough to be a timer as a rule.
    private static readonly TimeSpan _retry = TimeSpan.FromMilliseconds(9);
    private static readonly TimeSpan _storeAgain = TimeSpan.FromMilliseconds(60);

    private readonly ManualTimeProvider _time = new();
    private readonly EmbeddedStreamStore _store;

    public ParkedHeadTests() => _store = new(new(), _time);

    public ValueTask InitializeAsync() => ValueTask.CompletedTask;

    public ValueTask DisposeAsync() => _store.DisposeAsync();

    /// <summary>The resume went through at last, and brought back what was known of the head before: a delivery that had ended counted as a death.</summary>
    [Fact]
    public async Task Resume_that_goes_through_after_the_head_was_tried_and_parked_anew_changes_nothing()
    {
        var (commitsToFail, failing) = (0, true);
        var gate = new TaskCompletionSource();
        var gated = int.MaxValue;
        ConcurrentQueue<(int Attempt, long Deliveries)> runs = [];
        await using var host = await ConsumerHost.StartAsync(
            m => m.AddConsumer<OrderCreated>("orders", "billing", async (_, context, _) =>
            {
                runs.Enqueue((context.Attempt, context.DeliveryCount));
                if (context.Attempt == Volatile.Read(ref gated))
                    await gate.Task;
                if (Volatile.Read(ref failing))
                    throw new InvalidOperationException("no money");
            }, o => (o.OrderedBy, o.MaxAttempts, o.RetryBaseDelay, o.RetryMaxDelay) = (nameof(OrderCreated.OrderId), 1_000, _retry, _retry)),
            FaultyStore.Wrap(_store, (_, arguments) => arguments[0] is IReadOnlyList<Commit> commits && IsResume(commits) &&
                Interlocked.Decrement(ref commitsToFail) >= 0
                    ? FaultyStore.Fault.Before
                    : FaultyStore.Fault.None),
            _time);
        await host.Publisher.PublishAsync("orders", new OrderCreated("a", 1));
        await _time.WaitForTimerAsync(TimeSpan.FromMilliseconds(1), _retry);

        // The commit of the resume fails, and before it is sent again the head is tried, fails, and is resumed: by the timer and by the note.
        Volatile.Write(ref gated, runs.Count + 2);
        Volatile.Write(ref commitsToFail, 1);
        Assert.True(await new ParkedKeys(_store).Of("orders", "billing").ResumeAsync("a", "ann"));
        await _time.WaitForTimerAsync(_retry + TimeSpan.FromMilliseconds(1), _storeAgain);
        _time.Advance(_retry);
        await Eventually.TrueAsync("it is tried twice", () => new(runs.Count >= gated));
        _time.Advance(_storeAgain);
        gate.SetResult();
        await Eventually.TrueAsync("it is tried a few times more", () =>
        {
            _time.Advance(_retry);
            return new(runs.Count >= gated + 3);
        });
        Volatile.Write(ref failing, false);
        await Eventually.TrueAsync("it is settled", async () =>
        {
            _time.Advance(_retry);
            return await _store.GetGroupsAsync("orders") is [{ PendingCount: 0 }];
        });

        Assert.Equal(Enumerable.Range(1, runs.Count).Select(attempt => (attempt, 1L)), runs);

        // While nothing is settled no other commit deletes anything.
        static bool IsResume(IReadOnlyList<Commit> commits) => commits.Any(commit => commit.Changes.Any(change => change is CommitChange.Delete));
    }
}
