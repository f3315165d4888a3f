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
        ReleaseTwo(journal);

        var first = Append(journal);
        Assert.False(first.IsCompleted);
        Assert.Equal(2, _syncs);
        Assert.True(Append(journal).IsCompletedSuccessfully);
        await first;
        Assert.Equal(3, _syncs);
    }

    [Fact]
    public async Task Caller_whose_companion_stays_away_is_written_all_the_same()
    {
        await using var journal = Open();
        ReleaseTwo(journal);

        var first = Append(journal);
        Assert.False(first.IsCompleted);
        _background.Dequeue()();
        await first;
        Assert.Equal(3, _syncs);
    }

    [Fact]
    public async Task Caller_after_a_wait_in_vain_writes_at_once()
    {
        await using var journal = Open();
        ReleaseTwo(journal);

        _background.Dequeue()();
        Assert.True(Append(journal).IsCompletedSuccessfully);
        Assert.Equal(3, _syncs);
    }

    [Fact]
    public async Task Close_does_not_wait_for_those_who_are_to_come()
    {
        var journal = Open();
        ReleaseTwo(journal);

        var first = Append(journal);
        await journal.DisposeAsync();
        await first;
        _background.Dequeue()();
    }

    private StreamJournal Open()
    {
        var journal = _directory.Open(SyncPolicy.Always, options: new() { Background = _background.Enqueue }, device: _device);
        _syncs = 0;
        return journal;
    }

    /// <summary>One caller writes; two come meanwhile and are written together, so that both are awaited by the next write.</summary>
    private void ReleaseTwo(StreamJournal journal)
    {
        Task[] released = [];
        _duringSync = () => released = [Append(journal), Append(journal)];
        Assert.True(Append(journal).IsCompletedSuccessfully);
        Assert.DoesNotContain(released, static call => call.IsCompleted);
        _background.Dequeue()();
        Assert.Equal(2, released.Length);
        Assert.All(released, static call => Assert.True(call.IsCompletedSuccessfully));
        Assert.Equal(2, _syncs);
    }

    private static Task Append(StreamJournal journal) => journal.WhenDurableAsync(journal.Append("record"u8)).AsTask();
}
