using Millrace.Hosting;
using Millrace.Messages;

namespace Millrace.Consuming;

/// <summary>
/// Brings deliveries of one handler together, calls it once for all of them, and gives each its own outcome. Before and after that a delivery
/// goes its way like any other: it is decoded, deduplicated, committed and retried by itself.
/// </summary>
/// <remarks>
/// A batch runs when it is full, when its first message has waited long enough, or when the worker stops; at most
/// <see cref="ConsumerOptions.Concurrency"/> at once. What waits for that when the gate closes does not begin, nor wait on. A message that was
/// delivered before and never settled may be what killed the process, so it runs alone.
/// </remarks>
internal sealed class BatchHandlers(HandlerInvoker invoker, ConsumerOptions options, TimeProvider time, Admission admission)
{
    /// <summary>The outcome of a message that no handler has seen, because the gate closed. It may be invoked again.</summary>
    public static readonly Exception NotBegun = new InvalidOperationException("The gate closed before the batch began.");

    private readonly Lock _lock = new();
    private readonly Dictionary<ConsumerRegistration, Batch> _gathering = [];
    private readonly SemaphoreSlim _running = new(options.Concurrency);

    /// <summary>Joins a batch and waits for its end. Never throws.</summary>
    /// <returns><see langword="null"/>: the message was handled. Otherwise what it failed of.</returns>
    public ValueTask<Exception?> InvokeAsync(
        ConsumerRegistration handler, object message, MessageContext context, CancellationToken cancellationToken)
    {
        var item = new Item(message, context, cancellationToken);
        if (context.DeliveryCount > 1)
        {
            _ = RunAsync(handler, [item]);
            return new(item.Outcome.Task);
        }

        Batch batch;
        bool isFirst, isFull;
        lock (_lock)
        {
            isFirst = !_gathering.TryGetValue(handler, out batch!);
            if (isFirst)
                _gathering.Add(handler, batch = new());
            batch.Items.Add(item);
            isFull = batch.Items.Count == options.BatchSize;
            if (isFull)
                _gathering.Remove(handler);
        }

        if (isFull)
            batch.Full.SetResult();
        if (isFirst)
            _ = GatherAsync(handler, batch);
        return new(item.Outcome.Task);
    }

    private async Task GatherAsync(ConsumerRegistration handler, Batch batch)
    {
        await batch.Full.Task.WaitAsync(options.BatchWait, time, admission.Closing)
            .ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing | ConfigureAwaitOptions.ForceYielding);
        lock (_lock)
        {
            if (_gathering.TryGetValue(handler, out var current) && current == batch)
                _gathering.Remove(handler);
        }

        await RunAsync(handler, batch.Items).ConfigureAwait(false);
    }

    private async Task RunAsync(ConsumerRegistration handler, List<Item> items)
    {
        await WaitForPlaceAsync(items).ConfigureAwait(false);
        try
        {
            await RunCoreAsync(handler, items).ConfigureAwait(false);
        }
        finally
        {
            _running.Release();
        }
    }

    /// <summary>However often the gate changes meanwhile: what it bars goes at once.</summary>
    private async Task WaitForPlaceAsync(List<Item> items)
    {
        var place = _running.WaitAsync(CancellationToken.None);
        while (!place.IsCompleted)
        {
            var change = admission.NextChange; // Asked for before the look, so that none is missed.
            EndBarred(items);
            await Task.WhenAny(place, change).ConfigureAwait(false);
        }
    }

    private async Task RunCoreAsync(ConsumerRegistration handler, List<Item> items)
    {
        EndBarred(items);
        items.RemoveAll(static item => !item.TryTake());
        if (items.Count == 0)
            return;

        // They came to us side by side; the handler sees them as they stand in the stream.
        items.Sort(static (one, other) => one.Context.EntryId.CompareTo(other.Context.EntryId));
        var batch = new BatchContext([.. items.Select(item => item.Context)]);
        using var timeLimit = new CancellationTokenSource(options.HandlerTimeout, time);
        using var allCancelled = new CancelledTogether(items.Select(item => item.CancellationToken), timeLimit);
        var thrown = await invoker.InvokeBatchAsync(handler, [.. items.Select(item => item.Message)], batch, timeLimit.Token)
            .ConfigureAwait(false);
        if (thrown is OperationCanceledException && timeLimit.IsCancellationRequested && !allCancelled.Happened)
            thrown = new TimeoutException($"The handler took longer than its time limit of {options.HandlerTimeout}.", thrown);
        for (var i = 0; i < items.Count; i++)
            items[i].Outcome.SetResult(batch.Outcome(i, thrown));
    }

    /// <summary>Ends what may not begin any more. The others wait on.</summary>
    private void EndBarred(List<Item> items)
    {
        foreach (var item in items)
        {
            if (!admission.MayStillBegin(item.Context.Delivery))
                item.End(NotBegun);
        }
    }

    private sealed class Batch
    {
        public List<Item> Items { get; } = [];

        public TaskCompletionSource Full { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);
    }

    private sealed class Item
    {
        private int _isTaken;

        public Item(object message, MessageContext context, CancellationToken cancellationToken)
        {
            (Message, Context, CancellationToken) = (message, context, cancellationToken);

            // Its lease is lost, or it has to be handed back.
            cancellationToken.UnsafeRegister(static (item, token) => ((Item)item!).End(new OperationCanceledException(token)), this);
        }

        public object Message { get; }

        public MessageContext Context { get; }

        public CancellationToken CancellationToken { get; }

        public TaskCompletionSource<Exception?> Outcome { get; } = new(TaskCreationOptions.RunContinuationsAsynchronously);

        /// <summary>Takes it into the batch that begins now, or out of it.</summary>
        public bool TryTake() => Interlocked.Exchange(ref _isTaken, 1) == 0;

        /// <summary>Ends it, unless its batch has begun.</summary>
        public void End(Exception outcome)
        {
            if (TryTake())
                Outcome.SetResult(outcome);
        }
    }

    /// <summary>Cancels the batch once every message of it is cancelled; one that lost its lease must not end the others.</summary>
    private sealed class CancelledTogether : IDisposable
    {
        private readonly List<CancellationTokenRegistration> _registrations;
        private int _left;

        public CancelledTogether(IEnumerable<CancellationToken> tokens, CancellationTokenSource batch)
        {
            var all = tokens.ToList();
            _left = all.Count;
            _registrations = [.. all.Select(token => token.UnsafeRegister(_ =>
            {
                if (Interlocked.Decrement(ref _left) == 0)
                    batch.Cancel();
            }, null))];
        }

        public bool Happened => Volatile.Read(ref _left) == 0;

        public void Dispose()
        {
            foreach (var registration in _registrations)
                registration.Dispose();
        }
    }
}
