using Millrace.Streams;

namespace Millrace.Embedded;

/// <summary>One read that waits for entries. Every member but the task is called under the store's lock.</summary>
/// <param name="database">The database of its streams.</param>
/// <param name="streams">The streams, or keys of other types, it waits for; empty when it waits for something else.</param>
/// <param name="group">The group it reads for, or <see langword="null"/> for a read without a group.</param>
internal abstract class BlockedRead(int database, IReadOnlyList<string> streams, string? group)
{
    public int Database { get; } = database;

    public IReadOnlyList<string> Streams { get; } = streams;

    public string? Group { get; } = group;

    /// <summary>Its place in the queue of each of its streams; empty when it waits no longer.</summary>
    public List<LinkedListNode<BlockedRead>> Places { get; } = [];

    /// <summary>
    /// When it must try again although no key changed, in Unix milliseconds: pending entries become idle enough then. Null: never. A try that
    /// brings nothing sets it anew; whether it is null never changes.
    /// </summary>
    public long? NextTryMs { get; protected set; }

    /// <summary>Its number among all that ever waited. Given by <see cref="BlockedReads"/>.</summary>
    public long Order { get; set; }

    /// <summary>Ends the wait when its time is over; null when nothing limits it.</summary>
    public ITimer? Timer { get; set; }

    /// <summary>Tries again to read, in its own database. True when the wait is over, with entries or with an error.</summary>
    public abstract bool TryServe(long nowMs);

    /// <summary>The time is over: the answer is empty.</summary>
    public abstract void Expire();

    public abstract void Cancel(CancellationToken cancellationToken);

    public abstract void Fail(StreamException error);
}

/// <inheritdoc/>
/// <typeparam name="TEntry">What it reads.</typeparam>
internal sealed class BlockedRead<TEntry>(
    IReadOnlyList<string> streams, string? group, Func<long, IReadOnlyList<StreamBatch<TEntry>>> tryRead) : BlockedRead(0, streams, group)
    where TEntry : struct
{
    /// <summary>
    /// Completed under the lock, but its continuation runs on the thread pool: nothing of the reader runs under the lock, and a
    /// cancellation either comes before the entries are delivered or too late to lose them.
    /// </summary>
    private readonly TaskCompletionSource<IReadOnlyList<StreamBatch<TEntry>>> _answer =
        new(TaskCreationOptions.RunContinuationsAsynchronously);

    public Task<IReadOnlyList<StreamBatch<TEntry>>> Answer => _answer.Task;

    public override bool TryServe(long nowMs)
    {
        try
        {
            var batches = tryRead(nowMs);
            if (batches.Count == 0)
                return false;
            _answer.SetResult(batches);
        }
        catch (Exception e)
        {
            // Whatever it is, it is for who reads: not for who appended, and not for the next one either.
            _answer.SetException(e);
        }

        return true;
    }

    public override void Expire() => _answer.SetResult([]);

    public override void Cancel(CancellationToken cancellationToken) => _answer.SetCanceled(cancellationToken);

    public override void Fail(StreamException error) => _answer.SetException(error);
}
