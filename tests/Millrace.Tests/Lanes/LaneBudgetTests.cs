using Millrace.Consuming;
using Millrace.Tests.Fixtures;

namespace Millrace.Tests.Lanes;

public sealed class LaneBudgetTests
{
    private readonly ManualTimeProvider _time = new();

    [Theory]
    [InlineData(1)]
    [InlineData(7)]
    public async Task Lanes_that_all_wait_get_their_weights(int places)
    {
        int[] weights = [8, 4, 1];
        var budget = new LaneBudget(places, weights, TimeSpan.FromHours(1), _time);

        var granted = await RunAsync(budget, places, [1_000, 1_000, 1_000], 1_300);

        Assert.All(weights.Zip(granted), lane => Assert.InRange(lane.Second, lane.First * 97, lane.First * 103));
    }

    /// <summary>A lane whose line is empty for a moment, because what comes next is being read, has its share all the same.</summary>
    [Fact]
    public async Task Places_wait_for_messages_on_their_way_and_no_longer()
    {
        var budget = new LaneBudget(1, [1, 1], TimeSpan.FromHours(1), _time);
        budget.Expect(0, isMore: true);
        Assert.True(await budget.EnterAsync(1, CancellationToken.None)); // The lanes are level.
        var other = Wait(budget, 1, 2);
        budget.Leave();

        Assert.True(budget.EnterAsync(0, CancellationToken.None).IsCompletedSuccessfully);
        budget.Leave(); // They are level again.
        Assert.Equal("1", string.Join(' ', await BegunAsync(1, other)));
        budget.Leave();
        Assert.True(budget.EnterAsync(0, CancellationToken.None).IsCompletedSuccessfully);
        budget.Leave();
        Assert.Equal("2", string.Join(' ', await BegunAsync(2, other)));
        budget.Leave();
        var last = budget.EnterAsync(1, CancellationToken.None);
        Assert.False(last.IsCompleted);
        budget.Expect(0, isMore: false);

        Assert.True(await last);
    }

    /// <summary>A lane that is full reads nothing until it has settled something, and a store that refuses its commits keeps it from that.</summary>
    [Fact]
    public async Task Places_wait_a_tenth_of_a_second_for_messages_that_do_not_come()
    {
        var budget = new LaneBudget(2, [1, 1], TimeSpan.FromHours(1), _time);
        budget.Expect(0, isMore: true);
        Assert.True(await budget.EnterAsync(1, CancellationToken.None));
        var others = Wait(budget, 1, 4);
        _time.Advance(TimeSpan.FromMilliseconds(99));
        budget.Leave();
        Assert.All(others, one => Assert.False(one.IsCompleted));

        _time.Advance(TimeSpan.FromMilliseconds(1));
        Assert.Equal("2", string.Join(' ', await BegunAsync(2, others)));
        budget.Leave();
        Assert.Equal("3", string.Join(' ', await BegunAsync(3, others)));

        // It has its share when it goes on.
        var late = budget.EnterAsync(0, CancellationToken.None).AsTask();
        budget.Leave();
        Assert.True(await late.WaitAsync(Eventually.Deadline));
        Assert.False(others[3].IsCompleted);
    }

    [Fact]
    public async Task Places_wait_anew_after_each_message_that_came()
    {
        var budget = new LaneBudget(1, [1, 1], TimeSpan.FromHours(1), _time);
        budget.Expect(0, isMore: true);
        Assert.True(await budget.EnterAsync(1, CancellationToken.None));
        var others = Wait(budget, 1, 2);
        budget.Leave();
        _time.Advance(TimeSpan.FromMilliseconds(60));
        Assert.True(await budget.EnterAsync(0, CancellationToken.None));
        budget.Leave();
        Assert.Equal("1", string.Join(' ', await BegunAsync(1, others)));
        budget.Leave();

        _time.Advance(TimeSpan.FromMilliseconds(99));
        Assert.False(others[1].IsCompleted);
        _time.Advance(TimeSpan.FromMilliseconds(1));

        Assert.True(await others[1].WaitAsync(Eventually.Deadline));
    }

    /// <summary>What a lane did not use is gone: it has no claim to more when it comes back.</summary>
    [Fact]
    public async Task Lane_that_had_nothing_saves_nothing_up()
    {
        var budget = new LaneBudget(1, [1, 1], TimeSpan.FromHours(1), _time);
        await RunAsync(budget, 1, [500, 0], 500);

        var granted = await RunAsync(budget, 1, [500, 500], 100);

        Assert.All(granted, count => Assert.InRange(count, 49, 51));
    }

    [Fact]
    public async Task Lane_that_waits_too_long_is_next_whatever_its_weight()
    {
        var budget = new LaneBudget(1, [1_000, 1], TimeSpan.FromSeconds(10), _time);
        Assert.True(await budget.EnterAsync(0, CancellationToken.None));
        var low = Wait(budget, 1, 2);
        _time.Advance(TimeSpan.FromSeconds(1));
        var high = Wait(budget, 0, 10);
        budget.Leave(); // The first of each lane are level.
        budget.Leave();
        Assert.Equal("1 1", string.Join(' ', await BegunAsync(2, low, high)));

        // What counts is how long the message has been the first of its lane.
        _time.Advance(TimeSpan.FromSeconds(9));
        budget.Leave();
        Assert.Equal("2 1", string.Join(' ', await BegunAsync(3, high, low)));
        _time.Advance(TimeSpan.FromSeconds(1));
        budget.Leave();

        Assert.Equal("2 2", string.Join(' ', await BegunAsync(4, low, high)));
    }

    /// <summary>A backlog is older than any wait for as long as it lasts: its lane gets a place each time it has waited, and not all of them.</summary>
    [Fact]
    public async Task Old_backlog_gets_one_place_in_each_longest_wait()
    {
        const int seconds = 600;
        const int perSecond = 10;
        var budget = new LaneBudget(1, [1_000, 1], TimeSpan.FromSeconds(10), _time);
        Assert.True(await budget.EnterAsync(0, CancellationToken.None));
        var lanes = new[] { Wait(budget, 0, seconds * perSecond), Wait(budget, 1, seconds * perSecond) };
        for (var second = 0; second < seconds; second++)
        {
            _time.Advance(TimeSpan.FromSeconds(1));
            for (var i = 0; i < perSecond; i++)
                budget.Leave();
        }

        var begun = await BegunAsync(seconds * perSecond, lanes);

        Assert.InRange(begun[1], 58, 62);
    }

    /// <summary>Handlers so slow that all lanes always wait too long: what goes by age is bounded, for many lanes together.</summary>
    [Fact]
    public async Task Age_takes_one_place_in_twenty_at_most()
    {
        const int places = 2_000;
        var budget = new LaneBudget(1, [1_000, 1, 1, 1], TimeSpan.FromSeconds(10), _time);
        Assert.True(await budget.EnterAsync(0, CancellationToken.None));
        var lanes = new[] { Wait(budget, 0, places), Wait(budget, 1, places), Wait(budget, 2, places), Wait(budget, 3, places) };
        for (var i = 0; i < places; i++)
        {
            _time.Advance(TimeSpan.FromMinutes(1));
            budget.Leave();
        }

        var begun = await BegunAsync(places, lanes);

        Assert.InRange(begun[0], places * 0.94, places * 0.96);
        Assert.All(begun.Skip(1), count => Assert.InRange(count, 31, 36));
    }

    [Fact]
    public async Task Waiter_that_is_told_to_stop_takes_no_place_with_it()
    {
        var budget = new LaneBudget(1, [1, 1], TimeSpan.FromHours(1), _time);
        Assert.True(await budget.EnterAsync(0, CancellationToken.None));
        using var stop = new CancellationTokenSource();
        var stopped = budget.EnterAsync(0, stop.Token).AsTask();
        var other = budget.EnterAsync(1, CancellationToken.None).AsTask();

        await stop.CancelAsync();
        Assert.False(await stopped);
        budget.Leave();

        Assert.True(await other);
        budget.Leave();
        Assert.True(await budget.EnterAsync(0, CancellationToken.None));
    }

    /// <summary>Lanes with so many messages waiting; answers how many of each began when so many did.</summary>
    private static async Task<int[]> RunAsync(LaneBudget budget, int places, int[] waiting, int total)
    {
        for (var i = 0; i < places; i++)
            Assert.True(await budget.EnterAsync(0, CancellationToken.None));
        var lanes = waiting.Select((count, lane) => Wait(budget, lane, count)).ToArray();

        for (var i = 0; i < total; i++)
            budget.Leave();
        var begun = await BegunAsync(total, lanes);

        for (var i = total; i < waiting.Sum() + places; i++)
            budget.Leave();
        Assert.All(await Task.WhenAll(lanes.SelectMany(lane => lane)), Assert.True);
        return begun;
    }

    private static Task<bool>[] Wait(LaneBudget budget, int lane, int count) =>
        [.. Enumerable.Range(0, count).Select(_ => budget.EnterAsync(lane, CancellationToken.None).AsTask())];

    /// <summary>How many began of each lane, once so many did: what comes after a grant runs on another thread.</summary>
    private static async Task<int[]> BegunAsync(int total, params Task<bool>[][] lanes)
    {
        int[] begun = [];
        await Eventually.TrueAsync($"{total} began", () =>
        {
            begun = [.. lanes.Select(lane => lane.Count(task => task.IsCompleted))];
            return new(begun.Sum() == total);
        });
        return begun;
    }
}
