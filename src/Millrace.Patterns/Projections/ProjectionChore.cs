namespace Millrace.Projections;

/// <summary>One of the things a worker does in turns. When it fails it waits by itself, longer each time, and the others go on.</summary>
internal sealed class ProjectionChore(TimeProvider time)
{
    private static readonly TimeSpan LongestWait = TimeSpan.FromSeconds(30);
    private static readonly TimeSpan FirstWait = TimeSpan.FromMilliseconds(100);

    private readonly LogLimit _told = new(time);
    private int _failures;
    private long _failedAt;

    /// <summary>What failed the last time; <see langword="null"/>: nothing did.</summary>
    public string? Failure { get; private set; }

    /// <summary>For how long it is not to be tried.</summary>
    public TimeSpan Left => Failure is not null && WaitAfter(_failures) - time.GetElapsedTime(_failedAt) is { Ticks: > 0 } left ? left : TimeSpan.Zero;

    /// <returns>Whether to log it.</returns>
    public bool Fail(Exception exception)
    {
        (Failure, _failures, _failedAt) = (exception.Message, _failures + 1, time.GetTimestamp());
        return _told.Allows();
    }

    /// <returns>Whether it had failed before.</returns>
    public bool Succeed()
    {
        var hadFailed = Failure is not null;
        (Failure, _failures) = (null, 0);
        return hadFailed;
    }

    public static TimeSpan WaitAfter(int failures) =>
        TimeSpan.FromTicks(Math.Min(LongestWait.Ticks, FirstWait.Ticks << Math.Min(failures - 1, 20)));
}
