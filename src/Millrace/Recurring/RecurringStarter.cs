using Microsoft.Extensions.Logging;

namespace Millrace.Recurring;

/// <summary>Sees to it that the chain of each recurring message exists: at start, and once a minute in case it broke.</summary>
/// <remarks>
/// A chain breaks when its tick is lost: the stream of ticks was deleted, or the tick went to the dead letters because it killed every process that
/// took it. A chain whose state is gone, too, as after a flush, begins anew.
/// </remarks>
internal sealed class RecurringStarter(
    MillraceCore core, IReadOnlyList<RecurringMessage> messages, Publisher publisher, ILogger logger)
{
    private static readonly TimeSpan CheckInterval = TimeSpan.FromMinutes(1);

    // A tick that is late by this much is either lost, or in a queue where a second one of another chain does no harm.
    private static readonly TimeSpan Grace = TimeSpan.FromMinutes(2);

    private readonly Dictionary<RecurringMessage, LogLimit> _failures = messages.ToDictionary(static message => message, _ => new LogLimit(core.Time));
    private readonly TaskCompletionSource _begun = new(TaskCreationOptions.RunContinuationsAsynchronously);

    /// <summary>Ends when every message has its chain.</summary>
    public Task Begun => messages.Count == 0 ? Task.CompletedTask : _begun.Task;

    /// <summary>Runs until cancelled. Never throws.</summary>
    public async Task RunAsync(CancellationToken cancellationToken)
    {
        if (messages.Count == 0)
            return;
        var toStart = messages.ToHashSet();
        try
        {
            while (true)
            {
                foreach (var message in messages)
                    await EnsureAsync(message, toStart, cancellationToken).ConfigureAwait(false);
                if (toStart.Count == 0)
                    _begun.TrySetResult();
                await Task.Delay(toStart.Count > 0 ? TimeSpan.FromSeconds(1) : CheckInterval, core.Time, cancellationToken)
                    .ConfigureAwait(false);
            }
        }
        catch (OperationCanceledException) when (cancellationToken.IsCancellationRequested)
        {
            // The host stops; the chain goes on in the store.
        }
    }

    private async Task EnsureAsync(RecurringMessage message, HashSet<RecurringMessage> toStart, CancellationToken cancellationToken)
    {
        try
        {
            var isBegun = await message
                .EnsureAsync(publisher, core.Time.GetUtcNow(), toStart.Contains(message), Grace, cancellationToken).ConfigureAwait(false);
            toStart.Remove(message);
            if (isBegun)
                LogMessages.ChainBegun(logger, message.Name, message.Ticks);
        }
        catch (Exception exception) when (!cancellationToken.IsCancellationRequested)
        {
            // The store is away, or the state is of another program: looked at again soon.
            if (_failures[message].Allows())
                LogMessages.ChainFailed(logger, exception, message.Name);
        }
    }
}
