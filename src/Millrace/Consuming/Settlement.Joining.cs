using Millrace.Streams;

namespace Millrace.Consuming;

internal sealed partial class Settlement
{
    // A conflict means that another writer got through. Nothing but the joining is repeated, so it is worth a minute: the other way to end is to run the
    // handler again, which may have had its effects elsewhere.
    private const int MaxJoins = 1_000;

    /// <summary>Applies a settlement with what <see cref="ConsumerOptions.OnSettling"/> adds to it, asked anew where that no longer holds.</summary>
    private async ValueTask<SettleResult> ApplyJoinedAsync(
        Delivery delivery, MessageContext message, SettleAction action, List<CommitCondition> conditions, List<CommitChange> changes, bool isUpkeep)
    {
        for (var run = 1; ; run++)
        {
            var (settling, failed) = await JoinAsync(delivery, message, action, run).ConfigureAwait(false);
            if (settling is null)
                return failed;
            var commit = new Commit
            {
                Conditions = [.. conditions, .. settling.Conditions],
                Changes = [.. settling.Changes, .. changes],
                IsUpkeep = isUpkeep,
            };
            var result = await ApplyAsync(delivery, commit).ConfigureAwait(false);
            if (result.Conflict is not { } conflict || !settling.Conditions.Contains(conflict))
                return result;
            if (run == MaxJoins)
                return new() { Refusal = new StreamException(StreamErrorCode.Busy, $"{MaxJoins} times it no longer held that {conflict}.") };
            if (_abort.IsCancellationRequested)
                return SettleResult.LetGo;
            if (delivery.IsLost)
                return LetGo(delivery);
            if (run > 2)
            {
                var pause = Backoff.Next(run - 2, TimeSpan.FromMilliseconds(1), TimeSpan.FromMilliseconds(64));
                await Task.Delay(pause, _core.Time, _abort).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            }
        }
    }

    /// <summary>Asks what joins; as long as it takes the store to answer, if that is what it waits for.</summary>
    private async ValueTask<(Settling? Settling, SettleResult Failed)> JoinAsync(Delivery delivery, MessageContext message, SettleAction action, int run)
    {
        for (var failures = 1; ; failures++)
        {
            var settling = new Settling(message, action, run);
            try
            {
                await _plan.Options.OnSettling!(settling, _abort).ConfigureAwait(false);
                return (settling, default);
            }
            catch (Exception exception)
            {
                // Not swallowed: a refusal is treated as a failure of the handler.
                if (_abort.IsCancellationRequested || exception is StreamException { Code: StreamErrorCode.Closed })
                    return (null, SettleResult.LetGo);
                if (exception is not StreamException { IsTransient: true } failure)
                    return (null, new() { Refusal = exception as StreamException ?? new(StreamErrorCode.ServerError, exception.Message, exception) });
                if (delivery.IsLost)
                    return (null, LetGo(delivery));
                LogMessages.SettlementRetried(_logger, failure, _plan.Stream, _plan.Group, delivery.Id);
            }

            await Backoff.WaitForStoreAsync(failures, _core.Time, _abort).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }
    }
}
