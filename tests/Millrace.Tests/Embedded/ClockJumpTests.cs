using Millrace.Embedded;
using Millrace.Streams;
using Millrace.Tests.Journal;

namespace Millrace.Tests.Embedded;

/// <summary>The embedded store under a wall clock that goes back, jumps ahead or stands still.</summary>
public sealed class ClockJumpTests(ITestOutputHelper output) : IAsyncLifetime
{
    private static readonly TimeSpan Second = TimeSpan.FromSeconds(1);
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);
    private static readonly TimeSpan Hour = TimeSpan.FromHours(1);
    private static readonly TimeSpan Day = TimeSpan.FromDays(1);
    private static readonly EntryFields Fields = EntryFields.Create(("v", "x"));
    private static readonly StateKey Document = new("s", "doc");

    private readonly JournalDirectory _directory = new();
    private readonly ManualTime _time = new();
    private EmbeddedStreamStore _store = null!;

    private long WallMs => _time.GetUtcNow().ToUnixTimeMilliseconds();

    public ValueTask InitializeAsync()
    {
        _store = new(new() { Directory = _directory.Path }, _time);
        return ValueTask.CompletedTask;
    }

    public async ValueTask DisposeAsync()
    {
        await _store.DisposeAsync();
        _directory.Dispose();
    }

    [Fact]
    public async Task Ids_increase_whatever_the_clock_does_also_over_a_restart()
    {
        List<EntryId> ids = [await _store.AppendAsync("s", Fields), await _store.AppendAsync("s", Fields)];
        _time.Jump(-Hour);
        ids.Add(await _store.AppendAsync("s", Fields));
        _time.Move(Second);
        ids.Add(await _store.AppendAsync("s", Fields));
        await RestartAsync();
        ids.Add(await _store.AppendAsync("s", Fields));
        ids.Add(await _store.AppendAsync("new", Fields));
        _time.Move(Second, TimeSpan.Zero);
        ids.Add(await _store.AppendAsync("s", Fields));
        _time.Move(Second, Day);
        ids.Add(await _store.AppendAsync("s", Fields));
        Assert.Equal((ulong)WallMs, ids[^1].Milliseconds);
        _time.Jump(-Day);
        await RestartAsync();
        ids.Add(await _store.AppendAsync("s", Fields));
        ids.Add(await _store.AppendAsync("other", Fields));

        Assert.All(ids.Zip(ids.Skip(1)), pair => Assert.True(pair.First.Milliseconds <= pair.Second.Milliseconds));
        Assert.Equal(8, ids.Where((_, i) => i is not 5 and not 9).Distinct().Count());
        Assert.Equal(ids.Where((_, i) => i is not 5 and not 9), (await _store.RangeAsync("s", new())).Select(entry => entry.Id));
    }

    [Fact]
    public async Task Jump_makes_nothing_claimable_also_after_a_restart()
    {
        var ids = await DeliverAsync(300);
        _time.Move(TimeSpan.FromSeconds(10), Day);

        Assert.Empty(await ClaimAsync(ids, idle: TimeSpan.FromSeconds(30)));
        Assert.All(await _store.PendingAsync("s", "g", new() { Count = 1_000 }), entry => Assert.Equal(10, entry.IdleTime.TotalSeconds));
        Assert.Equal(10, (await _store.GetConsumersAsync("s", "g")).Single(consumer => consumer.Name == "c").IdleTime.TotalSeconds);

        await RestartAsync();
        _time.Move(TimeSpan.FromSeconds(19.999));
        Assert.Empty(await ClaimAsync(ids, idle: TimeSpan.FromSeconds(30)));
        _time.Move(TimeSpan.FromMilliseconds(1));
        Assert.Equal(300, (await ClaimAsync(ids, idle: TimeSpan.FromSeconds(30))).Count);
    }

    [Fact]
    public async Task Jump_counts_for_entries_of_any_kind()
    {
        var ids = await DeliverAsync(4);
        await _store.ClaimAsync("s", "g", new() { Consumer = "d", Ids = [ids[1]], MinIdleTime = TimeSpan.Zero });
        await _store.AckAsync("s", "g", [ids[0]]);
        await _store.DeleteAsync("s", [ids[2]]);

        // Years do not fit the packed form of a time of delivery.
        foreach (var jump in (TimeSpan[])[Day * 4_000, Second, Day * 4_000])
        {
            _time.Jump(jump);
            _time.Move(Second);
        }

        var pending = await _store.PendingAsync("s", "g", new());
        Assert.Equal([("d", 3.0), ("c", 3.0), ("c", 3.0)], pending.Select(entry => (entry.Consumer, entry.IdleTime.TotalSeconds)));
    }

    /// <summary>F18: a day of hourly steps, each with a jump of the clock.</summary>
    [Fact]
    public async Task Day_of_jumps_causes_no_claim()
    {
        var (random, ahead, back) = (new Random(18), 0, 0);
        var ids = await DeliverAsync(50);
        for (var hour = 0; hour < 24; hour++)
        {
            // The lease is five minutes of the store's time, which a clock that was set back makes slower by an eighth at most.
            _time.Jump(TimeSpan.FromSeconds(random.Next(-3_600, 7_200)));
            if (WallMs > StoreMs() + 300_000)
                ahead++;
            else if (WallMs < StoreMs())
                back++;
            for (var minute = 0; minute < 60; minute++)
            {
                _time.Move(Minute);
                Assert.Empty(await ClaimAsync(ids, idle: TimeSpan.FromMinutes(5)));
                var pending = await _store.PendingAsync("s", "g", new());
                Assert.All(pending, entry => Assert.InRange(entry.IdleTime, Minute * (7 / 8.0), Minute));
                Assert.Equal(50, (await _store.ExtendAsync("s", "g", "c", [.. ids.Select(id => new HeldEntry(id, 1))])).Count);
            }
        }

        output.WriteLine($"{ahead} jumps of the wall clock fired that went further ahead than the lease, and {back} that left it behind.");
        Assert.True(ahead > 5 && back > 5);
    }

    [Theory]
    [InlineData(-3_600)]
    [InlineData(86_400)]
    public async Task Waiting_read_ends_when_its_time_is_over_whatever_the_clock_says(int jumpSeconds)
    {
        await _store.CreateGroupAsync("s", "g", GroupStart.Beginning);
        var reading = _store.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = ["s"], Block = TimeSpan.FromSeconds(10) }).AsTask();

        _time.Jump(TimeSpan.FromSeconds(jumpSeconds));
        _time.Move(TimeSpan.FromSeconds(9.999));
        Assert.False(reading.IsCompleted);
        _time.Move(TimeSpan.FromMilliseconds(1));

        Assert.Empty(await reading);
    }

    [Fact]
    public async Task Schedule_fires_by_the_wall_clock_within_a_minute_of_a_jump()
    {
        await ScheduleAsync(Hour);
        _time.Jump(Hour);

        _time.Move(Minute);

        // The timer did it: nobody called the store.
        Assert.Equal(1, _store.EngineNeedsLock.FindStream("s")?.Entries.Count);
    }

    [Fact]
    public async Task Schedule_waits_neither_less_nor_an_hour_more_when_the_clock_goes_back()
    {
        await ScheduleAsync(Minute * 7);
        _time.Jump(-Hour);

        _time.Move(Minute * 7);
        Assert.Null(await _store.GetStreamInfoAsync("s"));
        _time.Move(Minute);

        Assert.Equal(1, (await _store.GetStreamInfoAsync("s"))?.Length);
    }

    [Fact]
    public async Task Timer_fires_again_and_again_until_a_slow_clock_has_got_there()
    {
        await ScheduleAsync(Second * 7);
        _time.Jump(-Hour);

        // Nobody calls the store: each timer goes by the monotonic clock, and the last of them is the one that is right.
        for (var ms = 0; ms < 8_000; ms++)
            _time.Move(TimeSpan.FromMilliseconds(1));

        Assert.Equal(1, _store.EngineNeedsLock.FindStream("s")?.Entries.Count);
    }

    [Theory]
    [InlineData(0, 60_000)]
    [InlineData(-3_600, 68_572)]
    [InlineData(86_400, 1)]
    public async Task Document_lives_until_the_clock_says_so_and_never_less_than_no_time(int jumpSeconds, int livesMs)
    {
        var put = new CommitChange.PutState(Document, new byte[] { 1 }, Minute);
        Assert.True((await _store.CommitAsync(new Commit { Changes = [put] })).IsApplied);

        _time.Jump(TimeSpan.FromSeconds(jumpSeconds));
        _time.Move(TimeSpan.FromMilliseconds(livesMs - 1));
        Assert.NotNull(await _store.GetStateAsync(Document));
        _time.Move(TimeSpan.FromMilliseconds(1));

        Assert.Null(await _store.GetStateAsync(Document));
    }

    [Fact]
    public async Task Time_passes_while_the_wall_clock_stands_still()
    {
        var ids = await DeliverAsync(1);
        await ScheduleAsync(Minute * 7);

        _time.Move(Minute * 8, TimeSpan.Zero);

        Assert.Equal(ids, (await ClaimAsync(ids, idle: Minute * 7)).Select(entry => entry.Id));
        Assert.Equal(2, (await _store.GetStreamInfoAsync("s"))?.Length);
    }

    [Fact]
    public async Task Restart_after_the_clock_went_back_goes_on_from_what_the_journal_tells()
    {
        var ids = await DeliverAsync(1);
        var newest = WallMs;
        _time.Jump(-Hour);
        await RestartAsync();

        Assert.Equal(TimeSpan.Zero, Assert.Single(await _store.PendingAsync("s", "g", new())).IdleTime);
        _time.Move(Second * 8);
        Assert.Equal(Second * 7, Assert.Single(await _store.PendingAsync("s", "g", new())).IdleTime);
        Assert.Equal(new EntryId((ulong)newest + 7_000, 0), await _store.AppendAsync("new", Fields));
        Assert.Equal(ids[0].Milliseconds, (ulong)newest);
    }

    /// <summary>The time of the store, which has not seen yet what happened within a millisecond.</summary>
    private long StoreMs()
    {
        var nowMs = _store.BeginTurn();
        _store.ExitTurn();
        return nowMs;
    }

    private async Task RestartAsync()
    {
        await _store.DisposeAsync();
        await InitializeAsync();
        await _store.OpenAsync();
    }

    private async Task<IReadOnlyList<EntryId>> DeliverAsync(int count)
    {
        await _store.CreateGroupAsync("s", "g", GroupStart.Beginning);
        var ids = await _store.AppendManyAsync("s", [.. Enumerable.Repeat(Fields, count)]);
        await _store.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = ["s"], Count = count });
        return ids;
    }

    private async Task ScheduleAsync(TimeSpan delay) =>
        Assert.True((await _store.CommitAsync(new Commit { Changes = [new CommitChange.Schedule("s", Fields, delay)] })).IsApplied);

    private async Task<IReadOnlyList<DeliveredEntry>> ClaimAsync(IReadOnlyList<EntryId> ids, TimeSpan idle) =>
        (await _store.ClaimAsync("s", "g", new() { Consumer = "other", Ids = ids, MinIdleTime = idle })).Entries;
}
