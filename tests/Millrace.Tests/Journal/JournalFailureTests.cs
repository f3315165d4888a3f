using System.Runtime.InteropServices;
using Millrace.Embedded;
using Millrace.Embedded.Journal;
using Millrace.Embedded.Storage;
using Millrace.Streams;

namespace Millrace.Tests.Journal;

/// <summary>
/// Real failures of real system calls, without root and without tools: the journal's open descriptor is replaced by a device. Everything written
/// to <c>/dev/full</c> fails with "no space left", and cannot be cut off either; <c>/dev/null</c> takes every write and
/// refuses fdatasync, which is the failure that the runtime's own flush swallows.
/// </summary>
public sealed class JournalFailureTests : IDisposable
{
    private readonly JournalDirectory _directory = new();

    public void Dispose() => _directory.Dispose();

    [Fact]
    public async Task Full_disk_that_cannot_be_cut_off_latches_the_journal_and_what_was_acknowledged_stays()
    {
        var journal = _directory.Open();
        await journal.WhenDurableAsync(journal.Append("kept"u8));
        ReplaceDescriptor(_directory.SegmentPath, "/dev/full");
        var lost = journal.Append("lost"u8);

        var failed = await Assert.ThrowsAsync<StreamException>(() => journal.WhenDurableAsync(lost).AsTask());

        AssertLatched(journal, failed, StreamErrorCode.OutcomeUnknown);
        Assert.Contains(_directory.SegmentPath, failed.Message);
        await journal.WhenDurableAsync(1);
        await journal.DisposeAsync();
        await using (_directory.Open())
            Assert.Equal(["kept"], _directory.Replayed);
    }

    [Fact]
    public async Task Sync_that_fails_under_always_is_never_acknowledged_and_latches()
    {
        var journal = _directory.Open(SyncPolicy.Always);
        await journal.WhenDurableAsync(journal.Append("kept"u8));
        ReplaceDescriptor(_directory.SegmentPath, "/dev/null");
        var lost = journal.Append("lost"u8);

        var failed = await Assert.ThrowsAsync<StreamException>(() => journal.WhenDurableAsync(lost).AsTask());

        Assert.Contains("fdatasync failed", failed.Message);
        AssertLatched(journal, failed, StreamErrorCode.OutcomeUnknown);
        await journal.DisposeAsync();
    }

    [Fact]
    public async Task Sync_that_fails_a_second_later_latches_although_its_write_was_acknowledged()
    {
        var time = new ManualTimer();
        var journal = _directory.Open(SyncPolicy.EverySecond, time);
        ReplaceDescriptor(_directory.SegmentPath, "/dev/null");
        await journal.WhenDurableAsync(journal.Append("acknowledged"u8));
        Assert.Equal(TimeSpan.FromSeconds(1), time.DueTime);

        time.Fire();

        var failed = Assert.Throws<StreamException>(() => journal.Append("refused"u8));
        Assert.Contains("fdatasync failed", failed.Message);
        AssertLatched(journal, failed, StreamErrorCode.ReadOnly);
        await journal.DisposeAsync();
    }

    [Fact]
    public async Task Sync_that_fails_at_close_is_thrown_and_the_directory_is_free()
    {
        var journal = _directory.Open(SyncPolicy.Never);
        await journal.WhenDurableAsync(journal.Append("written"u8));
        ReplaceDescriptor(_directory.SegmentPath, "/dev/null");

        var failed = await Assert.ThrowsAsync<StreamException>(() => journal.DisposeAsync().AsTask());

        Assert.Equal(StreamErrorCode.ReadOnly, failed.Code);
        await _directory.Open().DisposeAsync();
    }

    [Fact]
    public async Task Concurrent_waiters_all_learn_of_the_failure()
    {
        var storeLock = new Lock();
        var journal = _directory.Open(SyncPolicy.Always);
        ReplaceDescriptor(_directory.SegmentPath, "/dev/full");

        var outcomes = await Task.WhenAll(Enumerable.Range(0, 32).Select(_ => Task.Run(async () =>
        {
            long? lsn = null;
            try
            {
                lock (storeLock)
                    lsn = journal.Append("lost"u8);
                await journal.WhenDurableAsync(lsn.Value);
                return ((bool WasAppended, StreamErrorCode? Code))(true, null);
            }
            catch (StreamException exception)
            {
                return (lsn is not null, exception.Code);
            }
        })));

        // Who comes when it is over is refused; who had appended is in doubt.
        Assert.All(outcomes, outcome => Assert.Equal(outcome.WasAppended ? StreamErrorCode.OutcomeUnknown : StreamErrorCode.ReadOnly, outcome.Code));
        Assert.Contains(outcomes, outcome => outcome.WasAppended);
        await journal.DisposeAsync();
    }

    [Fact]
    public async Task Timer_is_set_by_the_first_unsynced_write_only_and_rests_when_all_is_synced()
    {
        var time = new ManualTimer();
        await using var journal = _directory.Open(SyncPolicy.EverySecond, time);
        Assert.Equal(0, time.Settings);

        await journal.WhenDurableAsync(journal.Append("one"u8));
        await journal.WhenDurableAsync(journal.Append("two"u8));
        Assert.Equal(1, time.Settings);

        time.Fire();
        Assert.Equal(1, time.Settings);
        await journal.WhenDurableAsync(journal.Append("three"u8));
        Assert.Equal(2, time.Settings);
    }

    [Fact]
    public void Sync_of_something_that_cannot_be_synced_throws()
    {
        using var device = File.OpenHandle("/dev/null", FileMode.Open, FileAccess.Write);

        Assert.Contains("fdatasync failed", Assert.Throws<IOException>(() => DurableFile.SyncData(device)).Message);
        Assert.Contains("fsync failed", Assert.Throws<IOException>(() => DurableFile.Sync(device)).Message);
    }

    private static void AssertLatched(StreamJournal journal, StreamException failed, StreamErrorCode expected)
    {
        Assert.Equal(expected, failed.Code);
        Assert.NotNull(failed.InnerException);
        var again = Assert.Throws<StreamException>(() => journal.Append("refused"u8));
        Assert.Equal(StreamErrorCode.ReadOnly, again.Code);
        Assert.Same(failed.InnerException, again.InnerException);
    }

    /// <summary>Makes the descriptor that is open on a path refer to a device from now on.</summary>
    internal static void ReplaceDescriptor(string path, string device)
    {
        var descriptor = Directory.EnumerateFiles("/proc/self/fd")
            .Where(link => new FileInfo(link).LinkTarget == path)
            .Select(link => int.Parse(Path.GetFileName(link)))
            .Single();
        using var replacement = File.OpenHandle(device, FileMode.Open, FileAccess.ReadWrite, FileShare.ReadWrite);
        Assert.Equal(descriptor, NativeMethods.Dup2((int)replacement.DangerousGetHandle(), descriptor));
    }

    private static class NativeMethods
    {
        [DllImport("libc", EntryPoint = "dup2", SetLastError = true)]
        internal static extern int Dup2(int from, int to);
    }

    /// <summary>One timer that fires when the test says so.</summary>
    private sealed class ManualTimer : TimeProvider, ITimer
    {
        private Action? _callback;

        public int Settings { get; private set; }

        public TimeSpan DueTime { get; private set; }

        public override ITimer CreateTimer(TimerCallback callback, object? state, TimeSpan dueTime, TimeSpan period)
        {
            _callback ??= () => callback(state); // The first timer is the one that syncs.
            return this;
        }

        public bool Change(TimeSpan dueTime, TimeSpan period)
        {
            Settings++;
            DueTime = dueTime;
            return true;
        }

        public void Fire() => _callback!();

        public void Dispose()
        {
        }

        public ValueTask DisposeAsync() => ValueTask.CompletedTask;
    }
}
