using Millrace.Embedded;
using Millrace.Streams;

namespace Millrace.Tests.Embedded;

public sealed class BlockedReadTests : IAsyncDisposable
{
    private static readonly TimeSpan Minute = TimeSpan.FromMinutes(1);

    private readonly ManualTime _time = new();
    private readonly EmbeddedStreamStore _store;

    public BlockedReadTests() => _store = new(new(), _time);

    public ValueTask DisposeAsync() => _store.DisposeAsync();

    [Fact]
    public async Task Wait_ends_empty_when_its_time_is_over_and_not_before()
    {
        await CreateGroupAsync("s");
        var (group, tail) = (ReadAsync("s", "c"), _store.ReadAsync([new("s", EntryId.Zero)], 10, Minute).AsTask());
        _time.Move(Minute - TimeSpan.FromMilliseconds(1));
        Assert.False(group.IsCompleted || tail.IsCompleted);

        _time.Move(TimeSpan.FromMilliseconds(1));

        Assert.Empty(await group);
        Assert.Empty(await tail);
        Assert.Equal(0, _time.SetTimers);
    }

    [Fact]
    public async Task Idle_store_has_no_timer_but_those_of_its_waits()
    {
        await CreateGroupAsync("s");
        Assert.Equal(0, _time.SetTimers);
        var reading = ReadAsync("s", "c");
        Assert.Equal(1, _time.SetTimers);

        await AppendAsync("s");

        Assert.Single(await reading);
        Assert.Equal(0, _time.SetTimers);
    }

    [Fact]
    public async Task Cancellation_before_delivery_throws_and_the_entry_goes_to_the_next_reader()
    {
        await CreateGroupAsync("s");
        using var cancellation = new CancellationTokenSource();
        var (first, second) = (ReadAsync("s", "c", cancellation.Token), ReadAsync("s", "d"));

        await cancellation.CancelAsync();
        await AppendAsync("s");

        Assert.Equal(cancellation.Token, (await Assert.ThrowsAnyAsync<OperationCanceledException>(() => first)).CancellationToken);
        Assert.Single(await second);
        Assert.Equal("d", Assert.Single(await PendingAsync("s")).Consumer);
    }

    [Fact]
    public async Task Cancellation_after_delivery_returns_the_entries()
    {
        await CreateGroupAsync("s");
        using var cancellation = new CancellationTokenSource();
        var reading = ReadAsync("s", "c", cancellation.Token);

        await AppendAsync("s");
        await cancellation.CancelAsync();

        Assert.Single(await reading);
    }

    [Fact]
    public async Task Cancellation_racing_with_delivery_never_loses_an_entry()
    {
        await CreateGroupAsync("s");
        for (var round = 0; round < 500; round++)
        {
            using var cancellation = new CancellationTokenSource();
            var reading = ReadAsync("s", "c", cancellation.Token);
            await Task.WhenAll(Task.Run(cancellation.Cancel), Task.Run(() => AppendAsync("s")));

            EntryId[] returned = [];
            try
            {
                returned = [.. (await reading).SelectMany(batch => batch.Entries).Select(entry => entry.Id)];
            }
            catch (OperationCanceledException)
            {
                // Then the entry must not have been delivered, which the next line checks.
            }

            Assert.Equal(returned, (await PendingAsync("s")).Select(entry => entry.Id));
            if (returned.Length == 0)
                returned = [.. (await ReadAsync("s", "c")).SelectMany(batch => batch.Entries).Select(entry => entry.Id)];
            Assert.Equal(1, await _store.AckAsync("s", "g", returned));
        }
    }

    [Fact]
    public async Task Reader_of_several_streams_that_was_served_waits_on_none_of_them()
    {
        await CreateGroupAsync("a");
        await CreateGroupAsync("b");
        var reading = _store.ReadGroupAsync(new() { Group = "g", Consumer = "c", Streams = ["a", "b", "a"], Block = Minute }).AsTask();

        await AppendAsync("b");
        await AppendAsync("a");

        Assert.Equal("b", Assert.Single(await reading).Stream);
        Assert.Empty(await PendingAsync("a"));
    }

    [Fact]
    public async Task Readers_are_served_by_one_append_of_many_until_it_is_used_up()
    {
        await CreateGroupAsync("s");
        var readers = Enumerable.Range(0, 3).Select(i => ReadAsync("s", $"c{i}", count: 2)).ToArray();

        await _store.AppendManyAsync("s", [.. Enumerable.Range(0, 3).Select(i => EntryFields.Create(("v", $"{i}")))]);

        Assert.Equal(2, Assert.Single(await readers[0]).Entries.Count);
        Assert.Single(Assert.Single(await readers[1]).Entries);
        Assert.False(readers[2].IsCompleted);
    }

    [Fact]
    public async Task Schedule_that_comes_due_wakes_the_reader_by_one_timer()
    {
        await CreateGroupAsync("s");
        await _store.CommitAsync(new Commit { Changes = [new CommitChange.Schedule("s", Fields, TimeSpan.FromSeconds(5))] });
        var reading = ReadAsync("s", "c");
        Assert.Equal(2, _time.SetTimers);

        _time.Move(TimeSpan.FromSeconds(5));

        Assert.Single(await reading);
        Assert.Equal(0, _time.SetTimers);
    }

    [Fact]
    public async Task Schedule_waits_on_when_the_clock_goes_back()
    {
        await _store.CommitAsync(new Commit { Changes = [new CommitChange.Schedule("s", Fields, TimeSpan.FromSeconds(5))] });

        _time.Move(TimeSpan.FromSeconds(-100));
        _time.Move(TimeSpan.FromSeconds(104));
        Assert.Null(await _store.GetStreamInfoAsync("s"));
        _time.Move(TimeSpan.FromSeconds(1));

        Assert.Equal(1, (await _store.GetStreamInfoAsync("s"))?.Length);
    }

    [Fact]
    public async Task Close_fails_those_who_wait_and_every_later_call()
    {
        await CreateGroupAsync("s");
        var (group, tail) = (ReadAsync("s", "c"), _store.ReadAsync([new("s", EntryId.Zero)], 10, Minute).AsTask());

        await _store.DisposeAsync();

        Assert.Equal(StreamErrorCode.Closed, (await Assert.ThrowsAsync<StreamException>(() => group)).Code);
        Assert.Equal(StreamErrorCode.Closed, (await Assert.ThrowsAsync<StreamException>(() => tail)).Code);
        Assert.Equal(StreamErrorCode.Closed, (await Assert.ThrowsAsync<StreamException>(() => AppendAsync("s"))).Code);
        Assert.Equal(StreamErrorCode.Closed, (await Assert.ThrowsAsync<StreamException>(() => ReadAsync("s", "c"))).Code);
        Assert.Equal(StreamErrorCode.Closed, (await Assert.ThrowsAsync<StreamException>(() => _store.OpenAsync().AsTask())).Code);
        Assert.Equal(0, _time.SetTimers);
    }

    private static EntryFields Fields => EntryFields.Create(("v", "x"));

    private async Task CreateGroupAsync(string stream) => await _store.CreateGroupAsync(stream, "g", GroupStart.Beginning);

    private async Task AppendAsync(string stream) => await _store.AppendAsync(stream, Fields);

    private async Task<IReadOnlyList<PendingEntry>> PendingAsync(string stream) => await _store.PendingAsync(stream, "g", new());

    private async Task<IReadOnlyList<StreamBatch<DeliveredEntry>>> ReadAsync(
        string stream, string consumer, CancellationToken cancellationToken = default, int count = 100) =>
        await _store.ReadGroupAsync(
            new() { Group = "g", Consumer = consumer, Streams = [stream], Count = count, Block = Minute }, cancellationToken);
}
