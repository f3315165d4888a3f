using System.Diagnostics;

namespace Millrace.Embedded.Journal;

/// <summary>Those who wait for one batch, and how they are told.</summary>
/// <remarks>
/// <para>Most write again at once, and then meet at the store's lock: told by one thread, one after the other, they never wait for it, which makes
/// them twice as fast as told by two. But what they do is theirs: one may compute for long, or even block until another one of them has been told.
/// So a second thread watches, and where the first has not come on for <see cref="PatienceTicks"/> it tells the others, watched by a third.</para>
/// <para>Filled under the journal's lock; told once, outside of it.</para>
/// </remarks>
internal sealed class BatchWaiters
{
    /// <summary>20 microseconds: forty publishes, and less than handing all to other threads would cost.</summary>
    private static readonly long PatienceTicks = Stopwatch.Frequency / 50_000;

    private readonly List<BatchWaiter> _waiters = [];
    private Action<Action> _background = null!;
    private Exception? _failure;

    private Gathering? _gathering;

    /// <summary>How many were picked to be told.</summary>
    private int _picked;

    /// <summary>How many of them have done what they do at once.</summary>
    private int _returned;

    public int Count => _waiters.Count;

    public void Add(BatchWaiter waiter) => _waiters.Add(waiter);

    /// <summary>Tells all, on other threads.</summary>
    /// <param name="failure">What they are told; <see langword="null"/>: the batch is durable.</param>
    /// <param name="background">Runs it.</param>
    /// <param name="gathering">Ends when all have gone on, or its time is over.</param>
    public void Tell(Exception? failure, Action<Action> background, Gathering? gathering = null)
    {
        (_failure, _background, _gathering) = (failure, background, gathering);
        background(TellRest);
        if (Count > 1 || gathering is not null)
            background(Watch);
    }

    private void TellRest()
    {
        for (int i; (i = Interlocked.Increment(ref _picked) - 1) < Count;)
        {
            _waiters[i].Complete(_failure);
            if (Interlocked.Increment(ref _returned) == Count)
                _gathering?.End();
        }
    }

    private void Watch()
    {
        var (picked, since, spinner) = (Volatile.Read(ref _picked), Stopwatch.GetTimestamp(), new SpinWait());
        while (picked < Count || _gathering is { IsOver: false })
        {
            spinner.SpinOnce(sleep1Threshold: -1);
            var now = Stopwatch.GetTimestamp();
            if (_gathering is { IsOver: false } && _gathering.IsLate(now))
                _gathering.End();
            if (Volatile.Read(ref _picked) != picked)
            {
                (picked, since) = (Volatile.Read(ref _picked), now);
            }
            else if (picked < Count && now - since >= PatienceTicks)
            {
                _background(Watch);
                TellRest();
                return;
            }
        }
    }
}
