namespace Millrace.Tests.Fixtures;

/// <summary>For what has no event to wait for, such as an acknowledgement that leaves after its handler.</summary>
public static class Eventually
{
    /// <summary>Generous, because the whole suite and other builds may share two cores.</summary>
    public static TimeSpan Deadline { get; } = TimeSpan.FromSeconds(60);

    /// <summary>Asks again and again until the answer is yes, and fails with the reason after the deadline.</summary>
    public static async Task TrueAsync(string reason, Func<ValueTask<bool>> condition)
    {
        using var deadline = new CancellationTokenSource(Deadline);
        using var pause = new PeriodicTimer(TimeSpan.FromMilliseconds(5));
        while (!await condition())
        {
            if (deadline.IsCancellationRequested)
                Assert.Fail($"Not within {Deadline}: {reason}.");
            await pause.WaitForNextTickAsync();
        }
    }
}
