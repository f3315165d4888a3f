using System.Text.Json;
using Microsoft.Extensions.Logging;
using Millrace.Streams;

namespace Millrace.WorkQueues;

/// <summary>One attempt at a job in this process: its token, its progress, and how it ended.</summary>
internal sealed class JobRun : IDisposable
{
    // A worker that died leaves its last report behind; nobody asks for it a day later.
    private static readonly TimeSpan ProgressTimeToLive = TimeSpan.FromDays(1);

    private readonly IStreamStore _store;
    private readonly TimeSpan _interval;
    private readonly TimeProvider _time;
    private readonly ILogger _logger;
    private readonly LogLimit _failures;
    private readonly CancellationTokenSource _cancel = new();
    private readonly CancellationTokenSource _end = new();
    private readonly Lock _lock = new();
    private JobProgress? _latest;
    private JobProgress? _written;
    private Task? _writing;

    // The limit is that of all runs of the queue in this process.
    public JobRun(JobReference job, IStreamStore store, TimeSpan interval, TimeProvider time, ILogger logger, LogLimit failures) =>
        (Job, _store, _interval, _time, _logger, _failures) = (job, store, interval, time, logger, failures);

    public JobReference Job { get; }

    /// <summary>The record as this run left it when it began; <see langword="null"/>: it is none of this run's business how the job ends.</summary>
    public JobRecord? Record { get; set; }

    /// <summary>Whether others wanted something of the job when it began.</summary>
    public bool HasRequests { get; set; }

    /// <summary>How the job ends with this run, if the message is acknowledged.</summary>
    public JobState Ending { get; set; } = JobState.Succeeded;

    /// <summary>Why it ends so, if that needs to be said.</summary>
    public string? EndingReason { get; set; }

    /// <summary>What the handler returned, as JSON.</summary>
    public JsonElement? Result { get; set; }

    public JobProgress? Progress
    {
        get
        {
            lock (_lock)
                return _latest;
        }
    }

    /// <summary>Cancelled when the job is to end.</summary>
    public CancellationToken Cancelled => _cancel.Token;

    /// <summary>Tells the handler to end. On the pool: what it registered may block.</summary>
    public void RequestCancel()
    {
        if (!_cancel.IsCancellationRequested)
            _ = _cancel.CancelAsync();
    }

    /// <summary>Takes note; written now, or when the interval since the last write is over.</summary>
    public void Report(JobProgress progress)
    {
        lock (_lock)
        {
            _latest = progress;
            if (_writing is null && !_end.IsCancellationRequested)
                _writing = WriteAsync();
        }
    }

    /// <summary>Ends the writing; the record has the last report.</summary>
    public async ValueTask EndAsync()
    {
        Task? writing;
        lock (_lock)
        {
            writing = _writing;
            _end.Cancel();
        }

        if (writing is not null)
            await writing.ConfigureAwait(false);
    }

    public void Dispose()
    {
        _end.Dispose();

        // Not the other one: a note may come for a run that is over, and nobody waits on a handle of it.
    }

    private async Task WriteAsync()
    {
        await Task.Yield(); // The handler does not wait for the store.
        while (true)
        {
            JobProgress next;
            lock (_lock)
            {
                if (_end.IsCancellationRequested || _latest == _written)
                {
                    _writing = null;
                    return;
                }

                _written = next = _latest!;
            }

            try
            {
                await _store.CommitAsync(new Commit
                {
                    Changes =
                    [
                        new CommitChange.PutState(
                            JobNames.Progress(Job), JsonSerializer.SerializeToUtf8Bytes(next, WorkQueueJson.Default.JobProgress), ProgressTimeToLive),
                        JobNames.Note(Job, JobNames.GotOn),
                    ],
                }, _end.Token).ConfigureAwait(false);
            }
            catch (Exception exception)
            {
                // For people: the job does not fail for it, the next report is written again, and the last one is in the record.
                if (!_end.IsCancellationRequested && _failures.Allows())
                    LogMessages.JobProgressFailed(_logger, exception, Job.Id, Job.Queue);
            }

            await Task.Delay(_interval, _time, _end.Token).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
