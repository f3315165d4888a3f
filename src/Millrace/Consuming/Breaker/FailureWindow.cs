namespace Millrace.Consuming;

/// <summary>Successes and failures of the last while, in ten parts of which the oldest goes as a new one begins.</summary>
internal sealed class FailureWindow(TimeSpan length, TimeProvider time)
{
    private const int Parts = 10;

    private readonly (int Count, int Failures)[] _parts = new (int, int)[Parts];
    private readonly long _started = time.GetTimestamp();
    private long _newest;

    public int Count { get; private set; }

    public int Failures { get; private set; }

    public double Ratio => Count == 0 ? 0 : (double)Failures / Count;

    public void Add(bool isFailure)
    {
        MoveOn();
        ref var part = ref _parts[_newest % Parts];
        part = (part.Count + 1, part.Failures + (isFailure ? 1 : 0));
        Count++;
        Failures += isFailure ? 1 : 0;
    }

    public void Clear()
    {
        Array.Clear(_parts);
        (Count, Failures) = (0, 0);
    }

    private void MoveOn()
    {
        var now = (long)(time.GetElapsedTime(_started) / (length / Parts));
        for (var i = Math.Max(_newest + 1, now - Parts + 1); i <= now; i++)
        {
            ref var part = ref _parts[i % Parts];
            (Count, Failures) = (Count - part.Count, Failures - part.Failures);
            part = default;
        }

        _newest = Math.Max(_newest, now);
    }
}
