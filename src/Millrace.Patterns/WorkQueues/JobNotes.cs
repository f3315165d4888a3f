using System.Text;
using System.Threading.Channels;
using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.WorkQueues;

/// <summary>
/// Follows the notes of a queue for all who wait in this process, with one blocked read: those who wait for a job are woken to look at its state, and
/// jobs that run here learn that they are to end.
/// </summary>
/// <remarks>
/// A note only ever says: look. Whoever looks after he began to follow misses nothing; and in case notes were dropped before they were read, or the store
/// was emptied, everybody looks every <see cref="CheckInterval"/> besides.
/// </remarks>
internal sealed class JobNotes(IStreamStore store, string queue, TimeProvider time, ILogger logger) : IAsyncDisposable
{
    private const int BatchSize = 256;

    private static readonly TimeSpan CheckInterval = TimeSpan.FromSeconds(5);
    private static readonly TimeSpan RetryDelay = TimeSpan.FromMilliseconds(200);

    private readonly string _stream = JobNames.Notes(queue);
    private readonly LogLimit _failures = new(time);
    private readonly CancellationTokenSource _end = new();
    private readonly SemaphoreSlim _starting = new(1, 1);
    private readonly Lock _lock = new();
    private readonly Dictionary<string, List<JobSubscription>> _waiting = new(StringComparer.Ordinal);
    private readonly Dictionary<string, List<JobRun>> _running = new(StringComparer.Ordinal);
    private Task? _following;

    /// <summary>Makes sure that every note written from now on is seen. One round trip the first time, or more while the store is away.</summary>
    public ValueTask FollowAsync(CancellationToken cancellationToken) => Volatile.Read(ref _following) is null ? new(StartAsync(cancellationToken)) : default;

    /// <summary>Follows a job. What is read of it after this is not older than what the subscription tells of.</summary>
    public async ValueTask<JobSubscription> SubscribeAsync(string id, CancellationToken cancellationToken)
    {
        await FollowAsync(cancellationToken).ConfigureAwait(false);
        var subscription = new JobSubscription(ended => Remove(_waiting, id, ended));
        Add(_waiting, id, subscription);
        return subscription;
    }

    public void Add(JobRun run) => Add(_running, run.Job.Id, run);

    public void Remove(JobRun run) => Remove(_running, run.Job.Id, run);

    public async ValueTask DisposeAsync()
    {
        await _end.CancelAsync().ConfigureAwait(false);
        if (_following is { } following)
            await following.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        _end.Dispose();
        _starting.Dispose();
    }

    private async Task StartAsync(CancellationToken cancellationToken)
    {
        await _starting.WaitAsync(cancellationToken).ConfigureAwait(false);
        try
        {
            if (_following is not null)
                return;
            var last = await FindLastPatientlyAsync(cancellationToken).ConfigureAwait(false);
            Volatile.Write(ref _following, Task.Run(() => RunAsync(last), CancellationToken.None));
        }
        finally
        {
            _starting.Release();
        }
    }

    private async Task RunAsync(EntryId after)
    {
        var checkedAt = time.GetTimestamp();
        while (!_end.IsCancellationRequested)
        {
            try
            {
                var batches = await store.ReadAsync([new(_stream, after)], BatchSize, CheckInterval, _end.Token).ConfigureAwait(false);
                foreach (var entry in batches.SelectMany(batch => batch.Entries))
                {
                    after = entry.Id;
                    Tell(entry.Fields);
                }

                if (time.GetElapsedTime(checkedAt) < CheckInterval)
                    continue;
                checkedAt = time.GetTimestamp();
                await CheckAsync().ConfigureAwait(false);

                // After a flush the IDs may begin anew below the last one seen.
                var last = await FindLastAsync(_end.Token).ConfigureAwait(false);
                after = last < after ? EntryId.Zero : after;
            }
            catch (Exception exception) when (!_end.IsCancellationRequested)
            {
                // Whoever waits goes on waiting: the next read goes on where this one was, and the check makes up for what is gone.
                if (_failures.Allows())
                    LogMessages.JobNotesFailed(logger, exception, queue);
                await Task.Delay(RetryDelay, time, _end.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    private void Tell(EntryFields note)
    {
        if (!note.TryGet(JobNames.NoteKind, out var kind) || !note.TryGet(JobNames.NoteJob, out var name))
            return;
        var id = Encoding.UTF8.GetString(name.Span);
        lock (_lock)
        {
            if (_waiting.TryGetValue(id, out var waiting))
                waiting.ForEach(static subscription => subscription.Wake());
            if (kind.Span.SequenceEqual(JobNames.Cancel) && _running.TryGetValue(id, out var running))
                running.ForEach(static run => run.RequestCancel());
        }
    }

    /// <summary>What a note may not have told.</summary>
    private async Task CheckAsync()
    {
        List<JobRun> running;
        lock (_lock)
        {
            foreach (var waiting in _waiting.Values)
                waiting.ForEach(static subscription => subscription.Wake());
            running = [.. _running.Values.SelectMany(static runs => runs)];
        }

        var views = await JobDocuments.ReadAsync(store, [.. running.Select(static run => run.Job)], _end.Token).ConfigureAwait(false);
        for (var i = 0; i < views.Count; i++)
        {
            if (views[i].IsCancelRequested)
                running[i].RequestCancel();
        }
    }

    /// <summary>For as long as it takes the store to answer: an outage uses up no attempt of a job.</summary>
    private async ValueTask<EntryId> FindLastPatientlyAsync(CancellationToken cancellationToken)
    {
        while (true)
        {
            try
            {
                return await FindLastAsync(cancellationToken).ConfigureAwait(false);
            }
            catch (StreamException exception) when (exception.IsTransient)
            {
                if (_failures.Allows())
                    LogMessages.JobNotesFailed(logger, exception, queue);
                await Task.Delay(RetryDelay, time, cancellationToken).ConfigureAwait(false);
            }
        }
    }

    private async ValueTask<EntryId> FindLastAsync(CancellationToken cancellationToken) =>
        (await store.GetStreamInfoAsync(_stream, cancellationToken).ConfigureAwait(false))?.LastGeneratedId ?? EntryId.Zero;

    private void Add<T>(Dictionary<string, List<T>> all, string id, T one)
    {
        lock (_lock)
        {
            if (!all.TryGetValue(id, out var ofJob))
                all.Add(id, ofJob = new(1));
            ofJob.Add(one);
        }
    }

    private void Remove<T>(Dictionary<string, List<T>> all, string id, T one)
    {
        lock (_lock)
        {
            if (all.TryGetValue(id, out var ofJob) && ofJob.Remove(one) && ofJob.Count == 0)
                all.Remove(id);
        }
    }
}

/// <summary>One who waits for a job. Told at least once after anything happened to it.</summary>
internal sealed class JobSubscription(Action<JobSubscription> ended) : IDisposable
{
    // Woken is woken, however often.
    private readonly Channel<bool> _wakes = Channel.CreateBounded<bool>(
        new BoundedChannelOptions(1) { FullMode = BoundedChannelFullMode.DropWrite, SingleReader = true });

    public void Wake() => _wakes.Writer.TryWrite(true);

    public async ValueTask WaitAsync(CancellationToken cancellationToken) => await _wakes.Reader.ReadAsync(cancellationToken).ConfigureAwait(false);

    public void Dispose() => ended(this);
}
