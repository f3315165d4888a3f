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
/// <param name="victim">The group whose processes one of the messages ends, or nothing: none does.</param>
internal sealed class ChaosPublisher(IHistory history, TimeProvider time, int seed, string? victim)
{
    /// <summary>The one that kills: late enough that everything runs, early enough that its deaths come while it does.</summary>
    private const int Killer = 10;

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
        var isRisky = _random.Next(4) == 0;
        var job = NextJob(isRisky);
        TimeSpan? delay = _random.Next(6) == 0 ? MaxDelay * _random.NextDouble() : null;
        if (_count == Killer && victim is not null)
            (job, isRisky, delay) = (job with { Kind = JobKind.Kills, WorkMs = 0, Victim = victim }, true, null);
        var stream = isRisky ? ChaosWorkload.Risky : ChaosWorkload.Jobs;
        var now = history.NowMs;
        history.Add(new(now, Happened.Publish)
        {
            Message = message,
            Stream = stream,
            Group = job.Victim,
            Key = job.Key,
            Detail = job.Kind.ToString(),
            Attempt = job.LastAttempt,
            UntilMs = delay is { } wait ? now + wait.TotalMilliseconds : 0,
        });
        try
        {
            var id = await publisher.PublishAsync(stream, job, new() { MessageId = message, Delay = delay });
            End(Happened.Published, entry: id == EntryId.Zero ? "" : id.ToString());
        }
        catch (StreamException exception)
        {
            End(exception.Code == StreamErrorCode.OutcomeUnknown ? Happened.PublishUnknown : Happened.PublishRefused, exception.Message);
        }

        void End(Happened what, string error = "", string entry = "") => history.Add(
            new(history.NowMs, isAlive() ? what : Happened.PublishUnknown) { Message = message, Detail = error, Entry = entry });
    }

    private Job NextJob(bool isRisky)
    {
        var kind = _random.Next(20) switch
        {
            < 14 => JobKind.Works,
            < 17 => JobKind.FailsFirst,
            < 19 => JobKind.Rejected,
            _ => JobKind.FailsAlways,
        };

        // Most take no time, some a while, a few longer than the lease; none where deaths are counted, so that they do not meet too many.
        var workMs = _random.Next(20) switch
        {
            < 12 => 0,
            _ when isRisky => _random.Next(20),
            < 19 => _random.Next(100),
            _ => (int)(ChaosWorkload.Lease.TotalMilliseconds * (1 + _random.NextDouble())),
        };
        var key = ChaosWorkload.Keys[_random.Next(ChaosWorkload.Keys.Count)];
        return new(key, kind, _random.Next(1, ChaosWorkload.MaxAttempts), workMs, IsDeaf: _random.Next(3) == 0);
    }
}
