using Millrace.ChaosWorker;
using Millrace.Streams;

namespace Millrace.Tests.Chaos;

/// <summary>
/// Publishes jobs drawn from a seed until it is told to stop, and writes down what it was told of each. A publish whose outcome is unknown is not
/// repeated: it may be there once, or not.
/// </summary>
/// <param name="history">Where it writes.</param>
/// <param name="time">The clock of its pauses.</param>
/// <param name="seed">Says what it publishes.</param>
internal sealed class ChaosPublisher(IHistory history, TimeProvider time, int seed)
{
    /// <summary>The longest delay of a delayed message.</summary>
    public static TimeSpan MaxDelay { get; } = TimeSpan.FromSeconds(2);

    private readonly Random _random = new(seed);
    private int _count;

    /// <summary>Publishes one after the other, with pauses.</summary>
    public async Task RunAsync(Publisher publisher, int meanPauseMs, CancellationToken stop)
    {
        while (!stop.IsCancellationRequested)
        {
            await PublishAsync(publisher, () => true);
            await Task.Delay(TimeSpan.FromMilliseconds(_random.Next(2 * meanPauseMs)), time, stop)
                .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }

    /// <summary>Publishes one message.</summary>
    /// <param name="publisher">Publishes it.</param>
    /// <param name="isAlive">Whether the process still lives: what it is told afterwards, nobody hears.</param>
    public async Task PublishAsync(Publisher publisher, Func<bool> isAlive)
    {
        var message = $"job-{seed}-{++_count}";
        var job = NextJob();
        TimeSpan? delay = _random.Next(6) == 0 ? MaxDelay * _random.NextDouble() : null;
        var now = history.NowMs;
        history.Add(new(now, Happened.Publish)
        {
            Message = message,
            Stream = ChaosWorkload.Jobs,
            Key = job.Key,
            Detail = job.Kind.ToString(),
            Attempt = job.LastAttempt,
            UntilMs = delay is { } wait ? now + wait.TotalMilliseconds : 0,
        });
        try
        {
            await publisher.PublishAsync(ChaosWorkload.Jobs, job, new() { MessageId = message, Delay = delay });
            End(Happened.Published);
        }
        catch (StreamException exception)
        {
            End(exception.Code == StreamErrorCode.OutcomeUnknown ? Happened.PublishUnknown : Happened.PublishRefused, exception.Message);
        }

        void End(Happened what, string error = "") => history.Add(
            new(history.NowMs, isAlive() ? what : Happened.PublishUnknown) { Message = message, Detail = error });
    }

    private Job NextJob()
    {
        var kind = _random.Next(20) switch
        {
            < 14 => JobKind.Works,
            < 17 => JobKind.FailsFirst,
            < 19 => JobKind.Rejected,
            _ => JobKind.FailsAlways,
        };

        // Most take no time, some a while, a few longer than the lease.
        var workMs = _random.Next(20) switch
        {
            < 12 => 0,
            < 19 => _random.Next(100),
            _ => (int)(ChaosWorkload.Lease.TotalMilliseconds * (1 + _random.NextDouble())),
        };
        var key = ChaosWorkload.Keys[_random.Next(ChaosWorkload.Keys.Count)];
        return new(key, kind, _random.Next(1, ChaosWorkload.MaxAttempts), workMs, IsDeaf: _random.Next(3) == 0);
    }
}
