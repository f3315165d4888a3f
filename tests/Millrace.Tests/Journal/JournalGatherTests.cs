using Millrace.Embedded;
using Millrace.Embedded.Journal;

namespace Millrace.Tests.Journal;

/// <summary>Who shares a sync under Always. Everything runs on the test's thread, in its order.</summary>
public sealed class JournalGatherTests : IDisposable
{
    private readonly JournalDirectory _directory = new();
    private readonly Queue<Action> _background = [];
    private readonly FaultDevice _device;
    private Action? _duringSync;
    private int _syncs;

    public JournalGatherTests() => _device = new(_directory.Path)
    {
        Fault = (call, _) =>
        {
            if (call == "SyncData")
            {
                _syncs++;
                var during = _duringSync;
                _duringSync = null;
                during?.Invoke();
            }

            return null;
        },
    };

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Callers_that_one_sync_released_share_the_next_one()
    {
        await using var journal = Open();
        var callers = WriteTwo(journal, AppendAgain, AppendAgain);

        Tell();
        Assert.Equal(3, _syncs);
        await RunAllAsync(callers);
        Assert.Equal(3, _syncs);

        Task AppendAgain() => AppendAsync(journal);
    }

    [Fact]
    public async Task Caller_whose_companion_stays_away_is_written_when_that_has_gone_on()
    {
        await using var journal = Open();
        var callers = WriteTwo(journal, () => AppendAsync(journal), () => Task.CompletedTask);

        Tell();
        Assert.Equal(3, _syncs);
        await RunAllAsync(callers);
    }

    [Fact]
    public async Task Caller_whose_companion_computes_for_long_is_written_after_a_while()
    {
        await using var journal = Open();
        using var computing = new ManualResetEventSlim();
        using var computed = new ManualResetEventSlim();
        var callers = WriteTwo(
            journal,
            () => AppendAsync(journal),
            () =>
            {
                computing.Set();
                computed.Wait();
                return Task.CompletedTask;
            });

        var telling = Task.Run(Take());
        computing.Wait(TestContext.Current.CancellationToken);
        Take()(); // Watches.
        Assert.Equal(3, _syncs);
        computed.Set();
        await telling;
        await RunAllAsync(callers);
    }

    /// <summary>Two callers by turns: the one writes for the other, who is then the only one to be told. Nobody watched over that once.</summary>
    [Fact]
    public async Task Only_one_told_that_computes_for_long_keeps_nobody_waiting()
    {
        await using var journal = Open();
        using var computing = new ManualResetEventSlim();
        using var computed = new ManualResetEventSlim();
        var callers = WriteTwo(
            journal,
            async () =>
            {
                await AppendAsync(journal);
                computing.Set();
                computed.Wait();
            },
            async () =>
            {
                await AppendAsync(journal);
                await AppendAsync(journal);
            });

        Tell(); // The first waits, the second writes for both and waits again.
        Take()(); // Has nothing to watch any more.
        var telling = Task.Run(Take());
        computing.Wait(TestContext.Current.CancellationToken);
        Take()(); // Watches.
        Assert.Equal(4, _syncs);
        computed.Set();
        await telling;
        await RunAllAsync(callers);
    }

    [Fact]
    public async Task Caller_that_blocks_until_its_companion_goes_on_ends_well()
    {
        await using var journal = Open();
        using var blocked = new ManualResetEventSlim();
        using var told = new ManualResetEventSlim();
        var callers = WriteTwo(
            journal,
            () =>
            {
                blocked.Set();
                told.Wait();
                return Task.CompletedTask;
            },
            () =>
            {
                told.Set();
                return Task.CompletedTask;
            });

        var telling = Task.Run(Take());
        blocked.Wait(TestContext.Current.CancellationToken);
        Take()(); // Watches, and tells the other one.
        await telling;
        await RunAllAsync(callers);
    }

    [Fact]
    public async Task Caller_after_a_wait_in_vain_writes_at_once()
    {
        await using var journal = Open();
        var callers = WriteTwo(journal, () => Task.CompletedTask, () => Task.CompletedTask);

        await RunAllAsync(callers);
        Assert.True(AppendAsync(journal).IsCompletedSuccessfully);
        Assert.Equal(3, _syncs);
    }

    [Fact]
    public async Task Close_does_not_wait_for_those_who_are_to_come()
    {
        var journal = Open();
        var callers = WriteTwo(journal, () => AppendAsync(journal), () => journal.DisposeAsync().AsTask());

        await RunAllAsync(callers);
    }

    private StreamJournal Open()
    {
        var journal = _directory.Open(SyncPolicy.Always, options: new() { Background = _background.Enqueue }, device: _device);
        _syncs = 0;
        return journal;
    }

    /// <summary>One caller writes; two come meanwhile and are written together, so that both are awaited by the next write. They are to be told.</summary>
    private Task[] WriteTwo(StreamJournal journal, Func<Task> thenFirst, Func<Task> thenSecond)
    {
        Task[] callers = [];
        _duringSync = () => callers = [CallAsync(thenFirst), CallAsync(thenSecond)];
        Assert.True(AppendAsync(journal).IsCompletedSuccessfully);
        Take()();
        Assert.Equal(2, _syncs);
        Assert.Equal(2, callers.Length);
        Assert.DoesNotContain(callers, static caller => caller.IsCompleted);
        return callers;

        async Task CallAsync(Func<Task> then)
        {
            await AppendAsync(journal);
            await then();
        }
    }

    private Action Take() => _background.Dequeue();

    private void Tell() => Take()();

    private async Task RunAllAsync(Task[] callers)
    {
        while (_background.TryDequeue(out var work))
            work();
        Assert.All(callers, static caller => Assert.True(caller.IsCompletedSuccessfully));
        await Task.WhenAll(callers);
    }

    private static async Task AppendAsync(StreamJournal journal) => await journal.WhenDurableAsync(journal.Append("record"u8));
}
